//! What many clients did to runs and learnt of them, and whether that can have been so.

use std::{collections::BTreeMap, time::Instant};

use shipway_contracts::v1::Run;
use tonic::{Code, Status};
use uuid::Uuid;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    None,
    Running,
    Aborting,
    Ended,
}

/// A run in everything in which it only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) stage: Stage,
    /// Somebody has approved or rejected it.
    pub(super) judged: bool,
    /// How many attempts of its step that always fails have begun.
    pub(super) tries: u32,
}

const START: At = At { stage: Stage::None, judged: false, tries: 0 };
const END: At = At { stage: Stage::Ended, judged: true, tries: u32::MAX };

/// What an operation learnt. There was a moment between question and answer at which the run was no less than `least`
/// and no more than `most`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) least: At,
    pub(super) most: At,
    /// How it ended, if that was said.
    pub(super) status: String,
    /// What was said of it by those who judge it.
    pub(super) approved: Option<bool>,
    /// It was done; false if it was refused, or nobody said.
    pub(super) done: bool,
    /// Somebody answered.
    pub(super) answered: bool,
}

impl Seen {
    /// There was no answer: it may have been done at any time since.
    pub(super) fn nothing() -> Self {
        Self { least: START, most: END, status: String::new(), approved: None, done: false, answered: false }
    }

    /// The run was there, or further.
    pub(super) fn at_least(stage: Stage) -> Self {
        Self { least: At { stage, ..START }, answered: true, ..Self::nothing() }
    }

    /// It was there exactly; nothing else is known of it.
    pub(super) fn exactly(stage: Stage) -> Self {
        Self { most: At { stage, ..END }, ..Self::at_least(stage) }
    }

    /// Of a run as it is shown.
    pub(super) fn of(run: &Run) -> Self {
        let node = |name: &str| run.nodes.iter().find(|node| node.r#ref == name);
        let approved = node("gate").and_then(|gate| match gate.status.as_str() {
            "success" => Some(true),
            "failure" => Some(false),
            _ => None,
        });
        let tries = node("flaky").map_or(0, |flaky| flaky.attempt);
        let at = At { stage: stage(&run.status), judged: approved.is_some(), tries };
        let status = if at.stage == Stage::Ended { run.status.clone() } else { String::new() };
        Self { least: at, most: at, status, approved, done: true, answered: true }
    }

    /// Of what was asked and done: the answer shows the run as it is a moment later.
    pub(super) fn done(stage: Stage, run: &Run) -> Self {
        let shown = Self::of(run);
        let least = At { stage: stage.max(shown.least.stage), ..shown.least };
        Self { least, most: END, ..shown }
    }

    /// A refusal of an abort says how far the run is, any other that it is there; what is no refusal says nothing.
    pub(super) fn refused(what: &str, status: &Status) -> Self {
        match status.code() {
            Code::NotFound => Self::exactly(Stage::None),
            Code::FailedPrecondition if what == "abort" => Self::exactly(Stage::Ended),
            Code::FailedPrecondition => Self::at_least(Stage::Running),
            Code::InvalidArgument | Code::Internal => panic!("{what}: {status}"),
            _ => Self::nothing(),
        }
    }
}

fn stage(status: &str) -> Stage {
    match status {
        "aborting" => Stage::Aborting,
        "success" | "failure" | "aborted" | "skipped" => Stage::Ended,
        _ => Stage::Running,
    }
}

/// One operation of a client's: with everything that it did until it had an answer to the same command, or gave it up.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) what: &'static str,
    pub(super) run: Uuid,
    pub(super) asked: Instant,
    pub(super) answered: Instant,
    pub(super) seen: Seen,
}

/// What cannot have been so, in words.
pub(super) fn faults(history: &[Operation]) -> Vec<String> {
    let mut of_run = BTreeMap::<Uuid, Vec<&Operation>>::new();
    for operation in history {
        of_run.entry(operation.run).or_default().push(operation);
    }
    of_run.values().flat_map(|operations| faults_of_run(operations)).collect()
}

fn faults_of_run(operations: &[&Operation]) -> Vec<String> {
    let mut faults = seen_less_later(operations);
    let mut ends: Vec<&str> = operations.iter().map(|operation| operation.seen.status.as_str()).collect();
    ends.retain(|end| !end.is_empty());
    ends.sort_unstable();
    ends.dedup();
    if ends.len() > 1 {
        faults.push(format!("two ends: {ends:?} {operations:?}"));
    }
    let said = |approved| operations.iter().find(|operation| operation.seen.approved == Some(approved));
    if let (Some(yes), Some(no)) = (said(true), said(false)) {
        faults.push(format!("approved and rejected: {yes:?} {no:?}"));
    }
    for operation in operations {
        let seen = &operation.seen;
        let asked = |what: &str| {
            let before = |other: &&&Operation| other.what == what && other.asked <= operation.answered;
            operations.iter().filter(before).count()
        };
        let was_aborting = seen.least.stage == Stage::Aborting || seen.status == "aborted";
        if was_aborting && asked("abort") == 0 {
            faults.push(format!("aborted by nobody: {operation:?}"));
        }
        if seen.least.stage > Stage::None && asked("start") == 0 {
            faults.push(format!("started by nobody: {operation:?}"));
        }
        match seen.approved {
            Some(true) if asked("approve") == 0 => faults.push(format!("approved by nobody: {operation:?}")),
            Some(false) if asked("reject") == 0 => faults.push(format!("rejected by nobody: {operation:?}")),
            _ => {}
        }
        // The first one comes by itself.
        if seen.least.tries as usize > 1 + asked("retry") {
            faults.push(format!("tried more often than asked: {operation:?}"));
        }
        let retried = |other: &&&Operation| {
            other.what == "retry" && other.seen.done && other.answered < operation.asked
        };
        // The last one may wait for its executor; those before it have failed.
        if (seen.most.tries as usize) < operations.iter().filter(retried).count() {
            faults.push(format!("tried less often than it was said: {operation:?}"));
        }
        if seen.status == "failure" && asked("reject") == 0 && asked("retry") + 1 < TRIES as usize {
            faults.push(format!("given up before it was tried: {operation:?}"));
        }
    }
    faults
}

/// How often the step that always fails is tried.
pub(super) const TRIES: u32 = 3;

fn seen_less_later(operations: &[&Operation]) -> Vec<String> {
    let mut faults = Vec::new();
    for earlier in operations {
        for later in operations.iter().filter(|later| earlier.answered < later.asked) {
            let (least, most) = (earlier.seen.least, later.seen.most);
            if most.stage < least.stage || (least.judged && !most.judged) || most.tries < least.tries {
                faults.push(format!("seen less later: {earlier:?} then {later:?}"));
            }
        }
    }
    faults
}

/// The checker finds what it is there for.
#[test]
fn row_e_18_a_history_that_cannot_be_is_found() {
    use std::time::Duration;

    use shipway_contracts::v1::Node;

    let (begin, run) = (Instant::now(), Uuid::nil());
    let at = |ms| begin + Duration::from_millis(ms);
    let did = |what, from, to, seen| Operation { what, run, asked: at(from), answered: at(to), seen };
    let shown = |status: &str, gate: &str, attempt| {
        let gate = Node { r#ref: "gate".to_owned(), status: gate.to_owned(), ..Node::default() };
        let flaky = Node { r#ref: "flaky".to_owned(), attempt, ..Node::default() };
        Run { status: status.to_owned(), nodes: vec![gate, flaky], ..Run::default() }
    };
    let looked = |from, to, run: &Run| did("get", from, to, Seen::of(run));
    let get = |from, to, status: &str| looked(from, to, &shown(status, "", 0));
    let start = did("start", 0, 10, Seen::at_least(Stage::Running));
    let abort = did("abort", 20, 30, Seen::at_least(Stage::Aborting));
    let count = |history: &[Operation]| faults(history).len();
    assert_eq!(count(&[start.clone(), get(5, 12, "running"), abort.clone(), get(31, 32, "aborted")]), 0);
    assert_eq!(count(&[start.clone(), abort.clone(), get(25, 40, "running")]), 0, "at the same time");
    assert_eq!(count(&[start.clone(), abort.clone(), get(31, 40, "running")]), 1, "a stale answer");
    let none = did("get", 11, 12, Seen::refused("get", &Status::not_found("")));
    assert_eq!(count(&[start.clone(), none]), 1, "a lost run");
    assert_eq!(count(&[start.clone(), get(11, 12, "aborting")]), 1, "aborted by nobody");
    assert_eq!(count(&[start.clone(), abort, get(31, 32, "aborted"), get(33, 34, "success")]), 1, "two ends");
    assert_eq!(count(&[get(0, 1, "running")]), 1, "started by nobody");

    let yes = did("approve", 20, 30, Seen::done(Stage::Running, &shown("running", "success", 1)));
    let no = did("reject", 20, 30, Seen::refused("reject", &Status::failed_precondition("")));
    let approved = looked(31, 32, &shown("running", "success", 1));
    assert_eq!(count(&[start.clone(), yes.clone(), no.clone(), approved.clone()]), 0);
    assert_eq!(
        count(&[start.clone(), yes.clone(), looked(31, 32, &shown("running", "", 1))]),
        1,
        "forgotten"
    );
    assert_eq!(count(&[start.clone(), no, approved.clone()]), 1, "approved by nobody");
    let rejected = looked(33, 34, &shown("failure", "failure", 1));
    let both = did("reject", 31, 32, Seen::done(Stage::Running, &shown("failure", "failure", 1)));
    assert_eq!(count(&[start.clone(), both.clone(), rejected]), 0);
    assert_eq!(count(&[start.clone(), yes.clone(), both]), 1, "approved and rejected");

    let retry = did("retry", 40, 50, Seen::done(Stage::Running, &shown("running", "success", 2)));
    let tried = |from, to, tries| looked(from, to, &shown("running", "success", tries));
    assert_eq!(count(&[start.clone(), yes.clone(), tried(35, 36, 1), retry.clone(), tried(51, 52, 2)]), 0);
    assert_eq!(count(&[start.clone(), yes.clone(), retry.clone(), tried(51, 52, 1)]), 1, "a lost retry");
    assert_eq!(count(&[start.clone(), yes.clone(), retry, tried(51, 52, 3)]), 1, "done twice");
    assert_eq!(count(&[start, yes, looked(51, 52, &shown("failure", "success", 1))]), 1, "given up too soon");
}
