//! What can hold something up: one closed list, and for each kind what clears it and who may.

use crate::v1::Blocker;

/// Who can clear a blocker, where it names nobody itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Everybody who may use Shipway.
    Anybody,
    /// Whoever runs its hosts.
    Operator,
    /// It clears by itself.
    Nobody,
}

/// What stands in place of names in the commands that clear a blocker. What is empty is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The run that waits.
    pub run: String,
    /// The flow: `shop/production`.
    pub path: String,
    /// The node that waits.
    pub node: String,
    /// The run that has what is waited for.
    pub holder: String,
    /// The labels that an executor needs, separated by commas.
    pub labels: String,
    /// The host that is meant.
    pub host: String,
    /// The process that is meant, by its number.
    pub process: String,
    /// The resource that is meant, by its id in documents.
    pub resource: String,
    /// The delivery that is meant.
    pub delivery: String,
    /// The freeze that is meant, by its name.
    pub freeze: String,
    /// The hold that is meant, by its name.
    pub hold: String,
    /// What is marked bad: its digest, or the run that was marked.
    pub bad: String,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal, $who:ident, $action:literal, $advice:literal;)*) => {
        /// What can hold something up. In the order in which blockers are told: what somebody can do something about first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its name in answers.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$kind => $word,)* }
            }

            /// The command that clears it, what is to be said of that, and who may.
            const fn row(self) -> (&'static str, &'static str, Who) {
                match self { $(Self::$kind => ($action, $advice, Who::$who),)* }
            }
        }
    };
}

kinds! {
    /// A run that goes on and that nothing will move: a defect.
    Stuck = "stuck", Anybody, "shipway abort {run}",
        "this must not be: tell whoever runs Shipway, and keep `shipway events --stream run-{run}`";
    /// Nobody can know what a node did.
    Unknown = "unknown", Anybody, "shipway resolve {run} {node} --happened",
        "look whether it has happened; `--failed` if it has not, `--again` to have it tried again";
    /// People have to approve.
    Approval = "approval", Anybody, "shipway approve {run} {node}", "`shipway reject {run} {node}` says no";
    /// A freeze holds what has not begun.
    Freeze = "freeze", Anybody, "shipway unfreeze {freeze}",
        "for this run alone: `shipway unfreeze --run {run} --reason …`";
    /// Somebody has stopped all that begins.
    Stopped = "stopped", Anybody, "shipway unfreeze {freeze}", "it lets no run pass; `shipway freezes` says who stopped it";
    /// A hold keeps what would be released.
    Hold = "hold", Anybody, "shipway unhold {hold}",
        "for this run alone: `shipway unhold --run {run} --reason …`";
    /// A hold keeps something from a stage, and nothing waits for its end.
    HeldBack = "held_back", Anybody, "shipway unhold {hold}",
        "then start it: `shipway run {path}`; or all the same: `shipway run {path} --despite-hold …`";
    /// A freeze, and nothing waits for its end.
    Frozen = "frozen", Anybody, "shipway unfreeze {freeze}", "`shipway freezes` says who froze it; what starts now waits";
    /// What would be released is marked bad.
    Bad = "bad", Anybody, "shipway good {bad}", "takes that back; or build another: then `shipway run {path}`";
    /// Somebody has to let a fork's pull request run.
    Fork = "fork", Anybody, "shipway deliveries approve {delivery}", "look at the commit first: it is a stranger's";
    /// A process was told to end and does not.
    Process = "process", Operator, "kill -9 {process}", "on host {host}; the run has ended once the process has";
    /// The flow's triggers are switched off.
    Paused = "paused", Anybody, "shipway flow resume {path}", "what came meanwhile is kept: `shipway replay` starts it";
    /// No executor is known at all.
    NoExecutor = "no_executor", Operator, "shipway serve executor", "one that is there takes it at once";
    /// No executor has the labels: nobody could ever do it.
    Labels = "labels", Operator, "shipway serve executor --set executor.labels={labels}",
        "then start it again: `shipway run {path}`; or change `runsOn`";
    /// The host that has to do it is given up.
    HostLost = "host_lost", Operator, "shipway addon move {resource}",
        "that brings a backup to another host; or start host {host} again";
    /// The executor that has to do it is away.
    ExecutorAway = "executor_away", Operator, "shipway serve executor", "on host {host}, which is away";
    /// The executor that has to do it is stopping.
    ExecutorDraining = "executor_draining", Operator, "shipway serve executor",
        "on host {host}, whose executor is stopping and takes nothing more";
    /// What a condition asks for does not hold.
    Condition = "condition", Nobody, "", "it is asked again and again; `shipway abort {run}` gives it up";
    /// A failed attempt is tried again later.
    Retry = "retry", Anybody, "shipway retry {run} {node}", "tries it now; it is tried by itself anyway";
    /// A lock that another node has.
    Lock = "lock", Anybody, "shipway abort {holder}", "or wait for it: the lock comes free when that node has ended";
    /// Another run of the flow goes first.
    Lane = "lane", Anybody, "shipway abort {holder}", "or wait for it: the next one goes on when it has ended";
    /// Everything that could do it is busy.
    Room = "room", Anybody, "shipway abort {holder}", "or wait, or start another executor: `shipway serve executor`";
    /// A run of another flow.
    Child = "child", Anybody, "shipway abort {holder}", "or wait for it: the node ends as that run does";
    /// Something is let finish although its run gives way.
    Finish = "finish", Anybody, "shipway abort {run}", "stops it all the same; or wait until it has finished";
    /// An executor that has to confirm a stop.
    Stop = "stop", Nobody, "", "it is over when its executor says so, at the latest 25 s after it was last heard of";
    /// What it needs is being moved to another host, or its content restored.
    Restoring = "restoring", Nobody, "", "it goes on when run {holder} has ended";
    /// A repository has to be asked.
    Repository = "repository", Nobody, "", "it is asked again by itself; `shipway deliveries show {delivery}` says more";
    /// A delivery that nobody has looked at yet.
    Stored = "stored", Nobody, "", "it is judged in a moment";
    /// An executor is at work.
    Work = "work", Nobody, "", "`shipway logs {run} {node} -f` shows it";
    /// Other steps of the run come first.
    Steps = "steps", Nobody, "", "its turn comes when they have ended";
    /// A flow that is due at a time.
    Schedule = "schedule", Anybody, "shipway run {path}", "starts it now; it starts by itself at that time";
    /// The run has failed.
    Failed = "failed", Anybody, "shipway run {path}", "starts it again; `shipway logs {run} {node}` says more";
    /// The run was aborted.
    Aborted = "aborted", Anybody, "shipway run {path}", "starts it again";
    /// Another run was active, and the flow forbids a second one.
    Refused = "refused", Anybody, "shipway run {path}", "starts it again, once run {holder} has ended";
    /// A newer run took its place in the queue.
    Superseded = "superseded", Anybody, "shipway run {path}", "asks for it again; run {holder} has taken its place";
    /// A newer run took its place.
    Replaced = "replaced", Anybody, "shipway run {path}", "asks for it again; run {holder} has taken its place";
    /// No trigger wanted the delivery.
    Unmatched = "unmatched", Anybody, "shipway replay {delivery}", "judges it once more, after the rule has been changed";
    /// It came before.
    Repeated = "repeated", Anybody, "shipway replay {delivery}", "has the first one judged once more";
    /// Nobody has started the next stage with it.
    NotStarted = "not_started", Anybody, "shipway run {path}", "brings it there; `shipway plan {path}` says what that does";
}

impl Kind {
    /// The kind of that name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// A blocker of this kind, with what clears it.
    #[must_use]
    pub fn blocker(self, facts: &Facts, words: impl Into<String>) -> Blocker {
        let (action, advice, who) = self.row();
        Blocker {
            kind: self.as_str().to_owned(),
            run: facts.run.clone(),
            path: facts.path.clone(),
            node: facts.node.clone(),
            words: words.into(),
            holder_run: facts.holder.clone(),
            action: facts.fill(action),
            advice: facts.fill(advice),
            who: match who {
                Who::Anybody => vec!["everybody".to_owned()],
                Who::Operator => vec!["whoever runs the hosts".to_owned()],
                Who::Nobody => Vec::new(),
            },
            ..Blocker::default()
        }
    }
}

impl Facts {
    /// The text with its names in place.
    fn fill(&self, text: &str) -> String {
        let names = [
            ("{run}", &self.run),
            ("{path}", &self.path),
            ("{node}", &self.node),
            ("{holder}", &self.holder),
            ("{labels}", &self.labels),
            ("{host}", &self.host),
            ("{process}", &self.process),
            ("{resource}", &self.resource),
            ("{delivery}", &self.delivery),
            ("{freeze}", &self.freeze),
            ("{hold}", &self.hold),
            ("{bad}", &self.bad),
        ];
        names.into_iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, &quoted(value)))
    }
}

/// As a shell takes it: nodes of loops have brackets in their names.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@=".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What can be done something about first, then what has waited longest.
pub fn sort(blockers: &mut [Blocker]) {
    blockers.sort_by(|a, b| {
        let key = |blocker: &Blocker| Kind::parse(&blocker.kind);
        (key(a), &a.since).cmp(&(key(b), &b.since))
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn facts() -> Facts {
        let text = |text: &str| text.to_owned();
        Facts {
            run: text("r1"),
            path: text("shop/staging"),
            node: text("loop[0].it"),
            holder: text("r2"),
            labels: text("gpu,eu"),
            host: text("h1"),
            process: text("77"),
            resource: text("shop-db"),
            freeze: text("friday"),
            hold: text("after-1.9"),
            bad: text("sha256:0f"),
            delivery: text("d1"),
        }
    }

    #[test]
    fn every_kind_says_what_to_do_and_who_may() {
        let words: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), Kind::ALL.len(), "two kinds have one name");
        for &kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            let blocker = kind.blocker(&facts(), "words");
            assert_eq!(blocker.action.is_empty(), blocker.who.is_empty(), "{blocker:?}");
            assert!(!blocker.advice.is_empty(), "{blocker:?}");
            let said = format!("{} {}", blocker.action, blocker.advice);
            assert!(!said.contains(['{', '}']), "a name is not known: {said}");
        }
    }

    #[test]
    fn a_command_can_be_pasted() {
        assert_eq!(Kind::Retry.blocker(&facts(), "").action, "shipway retry r1 'loop[0].it'");
        assert_eq!(
            Kind::Labels.blocker(&facts(), "").action,
            "shipway serve executor --set executor.labels=gpu,eu"
        );
    }

    #[test]
    fn what_people_can_clear_comes_first() {
        let at = |kind: Kind, since: &str| Blocker {
            since: since.to_owned(),
            ..kind.blocker(&Facts::default(), "")
        };
        let mut all =
            [at(Kind::Steps, "1"), at(Kind::Lock, "3"), at(Kind::Lock, "2"), at(Kind::Approval, "9")];
        sort(&mut all);
        let order: Vec<_> =
            all.iter().map(|blocker| (blocker.kind.as_str(), blocker.since.as_str())).collect();
        assert_eq!(order, [("approval", "9"), ("lock", "2"), ("lock", "3"), ("steps", "1")]);
    }
}
