//! Holds and bad marks: what they are about is not released, by whatever run.
//!
//! A run that started by itself and of which nothing has begun is skipped, with an event that says what held it: there is
//! nobody who waits for it, and a newer one comes by itself. Whoever starts a run by hand is told, and has to say that they
//! mean it. In all other runs the node waits, until the hold has ended or somebody lets the run go on. What is marked bad
//! is refused wherever a hold would have waited.

use std::sync::Arc;

use shipway_events::{
    Actor, HoldId, NodeStatus, Timestamp,
    plan::Artifact,
    policy::{Before, Predicate, Subject},
    run::{self, NodeError, Origin, Started},
};
use shipway_nodes::workload::Workload;

use crate::{Command, Rejection, RunState, Step, decide::Decision};

mod version;

pub use version::{parse as parse_version, version_of};

/// The code of a failure because what a node would release is marked bad.
pub const MARKED_BAD: &str = "marked_bad";
/// The code of a failure because a node that cleans up would release what is held.
pub const ON_HOLD: &str = "on_hold";

/// A hold that is in force where a run is, or a bad mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The hold, or the mark.
    pub hold: HoldId,
    /// What people call it; empty for a mark.
    pub name: String,
    /// It marks something bad.
    pub bad: bool,
    /// Who made it.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// What it is about.
    pub what: Predicate,
    /// The targets that it is about, by their ids in documents; all that the run has if there are none.
    pub targets: Option<Vec<String>>,
}

/// Something that a run would release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node that would.
    pub node: u32,
    /// What would get it, by its id in documents.
    pub target: String,
    /// What it would get; without a digest if it is still to be built.
    pub artifact: Artifact,
}

impl Hold {
    /// Whether it is about something that a run would release.
    #[must_use]
    pub fn is_about(&self, started: &Started, candidate: &Candidate) -> bool {
        let targets = self.targets.as_ref();
        targets.is_none_or(|targets| targets.contains(&candidate.target))
            && matches(&self.what, Some(started), &candidate.artifact)
    }

    /// Whether it is about an artifact, whatever would release it.
    #[must_use]
    pub fn is_about_artifact(&self, artifact: &Artifact) -> bool {
        matches(&self.what, None, artifact)
    }

    /// What a run says of it.
    #[must_use]
    pub fn on(&self, candidate: &Candidate) -> run::Held {
        let Candidate { node, target, artifact } = candidate.clone();
        let Self { hold, name, bad, by, reason, until, .. } = self.clone();
        run::Held { node, target, artifact, hold, name, bad, by, reason, until }
    }
}

/// Whether a predicate is about an artifact.
fn matches(what: &Predicate, started: Option<&Started>, artifact: &Artifact) -> bool {
    match what {
        Predicate::Lineage { artifacts, earlier } => {
            artifacts.iter().any(|subject| is_same(subject, artifact))
                || earlier.iter().any(|before| is_before(before, artifact))
        }
        Predicate::Version { below, inclusive } => {
            match (version_of(started, artifact), version::parse(below)) {
                (Some(version), Some(below)) => version < below || (*inclusive && version == below),
                // Nobody can tell that it is a newer one.
                _ => true,
            }
        }
        Predicate::Commit { commit, lines } => {
            let known = |line: &&shipway_events::policy::Line| {
                line.service == artifact.service && line.branch == artifact.branch
            };
            let came_after = |line: &shipway_events::policy::Line| !line.before.contains(&artifact.commit);
            let is_it = !commit.is_empty() && artifact.commit.starts_with(commit.as_str());
            is_it || (!artifact.commit.is_empty() && lines.iter().find(known).is_some_and(came_after))
        }
    }
}

/// Whether both are the same, or were made of the same.
fn is_same(subject: &Subject, artifact: &Artifact) -> bool {
    let same = |one: &str, other: &str| !one.is_empty() && one == other;
    same(&subject.digest, &artifact.digest)
        || (subject.service == artifact.service && same(&subject.commit, &artifact.commit))
}

fn is_before(before: &Before, artifact: &Artifact) -> bool {
    before.service == artifact.service && before.commits.contains(&artifact.commit)
}

/// Whether a run started by itself: nobody waits for what becomes of it.
const fn is_automatic(origin: Origin) -> bool {
    matches!(origin, Origin::Git | Origin::Webhook | Origin::Schedule | Origin::Resource)
}

impl Decision<'_> {
    /// Whether a run may start by hand: what is held has to be meant, and what is marked bad is not released.
    pub(crate) fn may_start(&self, started: &Started, despite: bool) -> Result<(), Rejection> {
        if is_automatic(started.origin) || started.origin == Origin::Run || self.slots.holds().is_empty() {
            return Ok(());
        }
        match self.first_held(started) {
            Some(held) if held.bad => Err(Rejection::MarkedBad(in_words(&held, started))),
            Some(held) if !despite => Err(Rejection::OnHold(in_words(&held, started))),
            _ => Ok(()),
        }
    }

    /// The first thing that a run would release and that is held; what is marked bad before all other.
    fn first_held(&self, started: &Started) -> Option<run::Held> {
        let found = self.language.candidates(started);
        let held = found.iter().filter_map(|candidate| self.hold_on(started, candidate));
        held.min_by_key(|held| (!held.bad, held.node))
    }

    /// The hold that is about a candidate: a bad mark before all, and of several holds the one that ends last.
    fn hold_on(&self, started: &Started, candidate: &Candidate) -> Option<run::Held> {
        let in_force = self.slots.holds().iter().filter(|hold| {
            hold.until.is_none_or(|until| until > self.now) && hold.is_about(started, candidate)
        });
        let hold = in_force.max_by_key(|hold| (hold.bad, hold.until.is_none(), hold.until, hold.hold))?;
        Some(hold.on(candidate))
    }

    /// Skips a run that started by itself, of which nothing has begun and that would release what is held. Nodes that wait
    /// for the end of a hold are looked at again.
    pub(crate) fn look_at_holds(&mut self) {
        for node in self.state.agenda.on_hold.keys().copied().collect::<Vec<_>>() {
            self.look_again(node);
        }
        let Some(started) = self.state.started.clone() else { return };
        let state = &*self.state;
        let is_new = !state.begun && state.resumed.is_none() && state.aborting.is_none();
        if !is_new || state.ended.is_some() || !is_automatic(started.origin) || self.slots.holds().is_empty()
        {
            return;
        }
        if let Some(held) = self.first_held(&started) {
            let reason = skipped_in_words(&held);
            self.record(held);
            self.record(run::NodeSkipped { node: 0, reason });
            self.end();
        }
    }

    fn look_again(&mut self, node: u32) {
        match self.hold_of(node) {
            Some(held) if !held.bad => self.note(held),
            // Its turn has come again: it goes on, or fails.
            _ => self.record(run::LetGo { node }),
        }
    }

    /// Whether a node whose turn has come has to wait for the end of a hold, or has failed because it may not release what
    /// it would.
    pub(crate) fn is_held_back(&mut self, node: u32) -> bool {
        let (Some(held), Some(started)) = (self.hold_of(node), self.state.started.clone()) else {
            return false;
        };
        // What cleans up a run that is to end must not wait for a person.
        if held.bad || self.state.aborting.is_some() {
            let code = if held.bad { MARKED_BAD } else { ON_HOLD };
            let message = in_words(&held, &started);
            self.record(held);
            let error = NodeError { code: code.to_owned(), message, transient: false };
            self.fail_for_good(node, error);
        } else {
            self.note(held);
        }
        true
    }

    /// The hold that is about what a node would release now.
    fn hold_of(&self, node: u32) -> Option<run::Held> {
        self.state.plan_node(node).filter(|plan| plan.kind == "Release")?;
        let (started, asked_before) = (self.state.started.clone()?, self.state.at(node).attempts > 0);
        // An attempt that was begun is seen to its end: it may be half done.
        if self.slots.holds().is_empty() || asked_before {
            return None;
        }
        let Ok(Step::Work { work: Workload::Release(release), .. }) = self.language.step(self.state, node)
        else {
            return None;
        };
        let candidate = Candidate { node, target: release.target.slug, artifact: release.artifact };
        self.hold_on(&started, &candidate).filter(|held| held.bad || !self.state.overrides_holds)
    }

    /// That a node is held, unless it is known.
    fn note(&mut self, held: run::Held) {
        if self.state.agenda.on_hold.get(&held.node).map(AsRef::as_ref) != Some(&held) {
            self.record(held);
        }
    }

    pub(crate) fn override_holds(&mut self, by: &Actor, reason: &str) -> Result<(), Rejection> {
        if let Some(ended) = self.state.ended() {
            return Err(Rejection::Ended(ended.status));
        }
        if self.state.agenda.on_hold.is_empty() {
            return Err(Rejection::NotOnHold);
        }
        self.record(run::HoldOverridden { by: by.clone(), reason: reason.to_owned() });
        Ok(())
    }
}

impl Command {
    /// Who lets the run that this starts release what is held, and why.
    pub(crate) fn despite(&self) -> Option<run::HoldOverridden> {
        match self {
            Self::StartDespite { by, reason, .. } => {
                Some(run::HoldOverridden { by: by.clone(), reason: reason.clone() })
            }
            _ => None,
        }
    }
}

impl RunState {
    /// The hold that a node waits for.
    #[must_use]
    pub fn hold_on(&self, node: u32) -> Option<&run::Held> {
        self.agenda.on_hold.get(&node).map(AsRef::as_ref)
    }

    /// The hold, or the mark, that was met last.
    #[must_use]
    pub fn last_held(&self) -> Option<&run::Held> {
        self.last_held.as_deref()
    }

    /// A node waits for the end of a hold, if its turn has come.
    pub(crate) fn hold_back(&mut self, held: &run::Held) {
        let held = Arc::new(held.clone());
        if self.at(held.node).status == NodeStatus::Ready {
            self.agenda.remove(held.node);
            self.agenda.on_hold.insert(held.node, held.clone());
        }
        self.last_held = Some(held);
    }

    /// What waited for the end of holds has its turn again.
    pub(crate) fn let_all_go(&mut self) {
        let waiting = std::mem::take(&mut self.agenda.on_hold);
        self.agenda.fresh.extend(waiting.into_keys());
    }
}

/// Why a node of a run that has started like this releases nothing, with what would let it.
#[must_use]
pub fn in_words(held: &run::Held, started: &Started) -> String {
    let run::Held { target, artifact, name, until, bad, .. } = held;
    let what = what_in_words(artifact);
    if *bad {
        let undo = if artifact.digest.is_empty() { &artifact.commit } else { &artifact.digest };
        return format!("`{target}` may not get {what}: {} marked it bad; `shipway good {undo}`", who(held));
    }
    let ends = match until {
        Some(until) => format!("until {until}"),
        None => "until somebody ends it".to_owned(),
    };
    let verb = if started.rollback.is_some() { "rollback" } else { "run" };
    format!(
        "`{target}` may not get {what}: the hold `{name}` of {} holds it {ends}; `shipway unhold {name}`, or for one run \
         alone `shipway unhold --run` (`shipway {verb} --despite-hold` for a new one)",
        who(held)
    )
}

/// Why a run was skipped.
fn skipped_in_words(held: &run::Held) -> String {
    let (what, target) = (what_in_words(&held.artifact), &held.target);
    match held.bad {
        true => format!("{what} for `{target}` is marked bad by {}", who(held)),
        false => format!("held by {} of {}: {what} for `{target}`", held.name, who(held)),
    }
}

fn who(held: &run::Held) -> String {
    let by = if held.by.is_nobody() { "somebody" } else { held.by.name() };
    format!("{by} ({})", held.reason)
}

fn what_in_words(artifact: &Artifact) -> String {
    let commit = artifact.commit.get(..7).unwrap_or(&artifact.commit);
    match commit {
        "" => format!("the build of {}", artifact.branch),
        commit => format!("commit {commit} of {}", artifact.branch),
    }
}

#[cfg(test)]
mod tests;
