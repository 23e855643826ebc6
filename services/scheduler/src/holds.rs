//! The holds of a project and what is marked bad in it, and which of that is about a run.

mod candidates;
mod resolve;
mod shown;

use std::sync::Arc;

use shipway_engine::Hold;
use shipway_events::{
    Actor, HoldId, Recorded, Timestamp,
    plan::Artifact,
    policy::{self, Held, MarkedBad, Predicate, Scope, Subject},
};

pub(crate) use self::{
    candidates::candidates,
    resolve::{Wanted, version},
    shown::{shown_bad, shown_hold},
};

/// A hold that is not released.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) held: Held,
    pub(crate) by: Actor,
    pub(crate) at: Timestamp,
}

/// A bad mark that is not taken back.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) marked: MarkedBad,
    pub(crate) by: Actor,
    pub(crate) at: Timestamp,
}

/// A project's holds and bad marks, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds {
    holds: Vec<Kept>,
    bad: Vec<Mark>,
}

impl Holds {
    pub(crate) fn evolve(&mut self, recorded: &Recorded<policy::Event>) {
        let (by, at) = (recorded.meta.actor.clone(), recorded.at);
        match &recorded.event {
            policy::Event::Held(held) => self.holds.push(Kept { held: held.clone(), by, at }),
            policy::Event::Released(released) => self.holds.retain(|kept| kept.held.hold != released.hold),
            policy::Event::MarkedBad(marked) => self.bad.push(Mark { marked: marked.clone(), by, at }),
            policy::Event::Unmarked(unmarked) => self.bad.retain(|mark| mark.marked.mark != unmarked.mark),
            policy::Event::Froze(_) | policy::Event::Lifted(_) => {}
        }
    }

    /// The holds that are not over.
    pub(crate) fn ahead(&self, now: Timestamp) -> impl Iterator<Item = &Kept> {
        self.holds.iter().filter(move |kept| kept.held.until.is_none_or(|until| now < until))
    }

    /// The bad marks.
    pub(crate) fn bad(&self) -> &[Mark] {
        &self.bad
    }

    /// The hold of that id, over or not.
    pub(crate) fn get(&self, id: HoldId) -> Option<&Kept> {
        self.holds.iter().find(|kept| kept.held.hold == id)
    }

    /// The hold of that id or name.
    pub(crate) fn named(&self, text: &str, now: Timestamp) -> Option<&Kept> {
        let id = text.parse::<HoldId>().ok();
        self.ahead(now).find(|kept| Some(kept.held.hold) == id || kept.held.name == text)
    }

    /// What may be about what runs of that path release: `shop/production`, or `cd/shop/web` where a service or a job takes
    /// a build by itself. What a service had is given back to it on another host whatever holds there are.
    pub(crate) fn about(&self, path: &str, now: Timestamp) -> Arc<[Hold]> {
        let parts: Vec<&str> = path.split('/').collect();
        if self.holds.is_empty() && self.bad.is_empty() || matches!(parts.as_slice(), ["service", _, _]) {
            return Arc::default();
        }
        let holds = self.ahead(now).filter_map(|kept| kept.about(&parts));
        holds.chain(self.bad.iter().map(Mark::hold)).collect()
    }
}

impl Kept {
    /// The hold as runs of that path meet it.
    fn about(&self, path: &[&str]) -> Option<Hold> {
        let Held { scope: Scope { pipeline, stage, .. }, members, .. } = &self.held;
        match (pipeline, path) {
            (None, _) => Some(self.hold(None)),
            (Some(pipeline), [of, at]) => {
                let is_there = pipeline == of && stage.as_ref().is_none_or(|stage| stage == at);
                is_there.then(|| self.hold(None))
            }
            (Some(_), ["cd", _, _]) => Some(self.hold(Some(members.clone()))),
            (Some(_), _) => None,
        }
    }

    fn hold(&self, targets: Option<Vec<String>>) -> Hold {
        let Held { hold, name, what, until, reason, .. } = self.held.clone();
        Hold { hold, name, bad: false, by: self.by.clone(), reason, until, what, targets }
    }
}

impl Mark {
    fn hold(&self) -> Hold {
        let MarkedBad { mark, artifacts, reason, .. } = self.marked.clone();
        Hold {
            hold: mark,
            name: String::new(),
            bad: true,
            by: self.by.clone(),
            reason,
            until: None,
            what: Predicate::Lineage { artifacts, earlier: Vec::new() },
            targets: None,
        }
    }

    /// Whether that is what was marked: a digest, the beginning of one or of a run's id, or the mark.
    pub(crate) fn is_called(&self, text: &str) -> bool {
        let MarkedBad { mark, run, artifacts, .. } = &self.marked;
        let digits = text.strip_prefix("sha256:").unwrap_or(text).to_lowercase();
        let begins = |digest: &str| digest.strip_prefix("sha256:").unwrap_or(digest).starts_with(&digits);
        let is_long = digits.len() >= 8;
        mark.to_string() == digits
            || (is_long && artifacts.iter().any(|subject| begins(&subject.digest)))
            || (is_long && artifacts.iter().any(|subject| subject.commit.starts_with(&digits)))
            || (is_long && run.is_some_and(|run| run.to_string().starts_with(&digits)))
    }

    /// Whether it is about an artifact.
    pub(crate) fn is_about(&self, artifact: &Artifact) -> bool {
        self.marked.artifacts.iter().any(|subject| {
            subject.digest == artifact.digest
                || (subject.service == artifact.service
                    && subject.commit == artifact.commit
                    && !subject.commit.is_empty())
        })
    }
}

/// An artifact as holds and marks know it.
pub(crate) fn subject(artifact: &Artifact) -> Subject {
    let Artifact { digest, service, commit, .. } = artifact.clone();
    Subject { digest, service, commit }
}
