//! Given a lane, when a run asks, then it is let in, waits or ends, and the others are told.

use std::collections::BTreeMap;

use shipway_events::{
    Actor, Cause, CommandId, Meta, Recorded, StreamEvent, Timestamp,
    plan::{Plan, PlanNode},
};

use super::*;
use crate::{Command, Language, Rejection, Slots, Step, decide_and_evolve};

/// Nodes that never end by themselves: an approval that nobody gives.
struct Waits;

impl Language for Waits {
    fn step(&self, _: &RunState, _: u32) -> Result<Step, run::NodeError> {
        Ok(Step::Approve {
            rule: run::ApprovalRule { amount: 1, ..run::ApprovalRule::default() },
            timeout_seconds: None,
        })
    }

    fn truthy(&self, _: &RunState, _: u32, _: &serde_json::Value) -> Result<bool, run::NodeError> {
        Ok(false)
    }

    fn iterations(&self, _: &RunState, _: u32) -> Result<Vec<serde_json::Value>, run::NodeError> {
        Ok(Vec::new())
    }
}

/// A lane and its runs.
#[derive(Default)]
struct World {
    lane: LaneState,
    runs: BTreeMap<RunId, RunState>,
}

fn id(number: u32) -> RunId {
    format!("{number:032x}").parse().unwrap()
}

fn number(run: RunId) -> u128 {
    run.uuid().as_u128()
}

impl World {
    /// Runs that ask one after another, with one policy.
    fn of(policy: ConcurrencyPolicy, runs: std::ops::RangeInclusive<u32>) -> Self {
        let mut world = Self::default();
        for run in runs {
            world.start(run, policy);
        }
        world
    }

    fn command(&mut self, run: u32, command: &Command) -> Result<Vec<run::Event>, Rejection> {
        let state = self.runs.entry(id(run)).or_default();
        let mut slots = Slots::none().with_lane(Some(self.lane.clone()));
        let events = decide_and_evolve(state, command, &Waits, &mut slots, Timestamp::from_micros(0))?;
        for step in steps(id(run), &events) {
            self.lane.evolve(&step);
        }
        crate::invariants::check(&self.runs[&id(run)]).unwrap();
        Ok(events)
    }

    fn start(&mut self, run: u32, policy: ConcurrencyPolicy) -> Vec<run::Event> {
        let nil = "00000000-0000-0000-0000-000000000000";
        let nodes = vec![
            PlanNode {
                kind: "Workflow".to_owned(),
                interruptible: true,
                spec: serde_json::json!({ "type": "sequential" }),
                ..PlanNode::default()
            },
            PlanNode {
                kind: "Approval".to_owned(),
                parent: Some(0),
                interruptible: true,
                ..PlanNode::default()
            },
        ];
        let started = run::Started {
            run: id(run),
            project: nil.parse().unwrap(),
            pipeline: None,
            flow: nil.parse().unwrap(),
            path: String::new(),
            flow_version: 1,
            name: String::new(),
            description: String::new(),
            origin: run::Origin::Manual,
            author: None,
            parent: None,
            policy,
            rollback: None,
            plan: Plan { nodes, ..Plan::default() },
        };
        self.command(run, &Command::Start { started: Box::new(started) }).unwrap()
    }

    fn abort(&mut self, run: u32) {
        self.command(run, &Command::Abort { reason: "enough".to_owned(), by: None }).unwrap();
    }

    /// Everybody does what the lane has to say, until it has nothing more to say.
    fn settle(&mut self) {
        for _ in 0..100 {
            let before = self.lane.clone();
            for call in self.lane.calls() {
                let (run, command) = match call {
                    Call::Ask(run) => (run, Command::Due),
                    Call::Abort { run, by } => {
                        (run, Command::Abort { reason: "replaced".to_owned(), by: Some(by) })
                    }
                };
                self.command(number(run) as u32, &command).unwrap();
            }
            if before == self.lane {
                return;
            }
        }
        panic!("the lane never comes to rest: {:?}", self.lane);
    }

    /// `3 queued` for each run, in their order.
    fn statuses(&self) -> Vec<String> {
        let words = |(run, state): (&RunId, &RunState)| {
            let by = state.ended().and_then(|ended| ended.by);
            let by = by.map(|by| format!(" by {}", number(by))).unwrap_or_default();
            format!("{} {}{by}", number(*run), state.status())
        };
        self.runs.iter().map(words).collect()
    }
}

fn kinds(events: &[run::Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind().trim_start_matches("run.")).collect()
}

#[test]
fn allow_admits_beside_what_is_active_without_asking() {
    let mut world = World::of(ConcurrencyPolicy::Allow, 1..=3);
    assert_eq!(world.lane.active().count(), 3);
    assert_eq!(world.statuses(), ["1 approval_wait", "2 approval_wait", "3 approval_wait"]);
    world.abort(2);
    assert_eq!(world.lane.active().map(number).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn queue_lets_in_one_at_a_time_in_the_order_of_asking() {
    let mut world = World::of(ConcurrencyPolicy::Queue, 1..=4);
    assert_eq!(world.statuses(), ["1 approval_wait", "2 queued", "3 queued", "4 queued"]);
    assert_eq!(world.lane.ahead(id(4)), Some((id(1), 2)));
    assert_eq!(world.runs[&id(4)].behind(), Some(id(3)));
    world.abort(3);
    world.abort(1);
    assert_eq!(world.lane.calls(), [Call::Ask(id(2))]);
    world.settle();
    assert_eq!(world.statuses(), ["1 aborted", "2 approval_wait", "3 aborted", "4 queued"]);
    world.abort(2);
    world.settle();
    assert_eq!(world.statuses()[3], "4 approval_wait");
    world.abort(4);
    assert_eq!(world.lane, LaneState::default(), "nothing is left of whoever has left");
}

#[test]
fn forbid_skips_and_says_because_of_whom() {
    let mut world = World::of(ConcurrencyPolicy::Forbid, 1..=1);
    let events = world.start(2, ConcurrencyPolicy::Forbid);
    assert_eq!(kinds(&events), ["started", "ended"]);
    let rejected = steps(id(2), &events);
    let reason = format!("run {} is active", id(1));
    assert_eq!(rejected, [Rejected { run: id(2), reason, by: Some(id(1)) }.into()]);
    assert_eq!(world.statuses(), ["1 approval_wait", "2 skipped by 1"]);
    world.abort(1);
    world.start(3, ConcurrencyPolicy::Forbid);
    assert_eq!(world.statuses()[2], "3 approval_wait");
}

#[test]
fn latest_keeps_the_active_one_and_the_newest_that_waits() {
    let mut world = World::of(ConcurrencyPolicy::Latest, 1..=4);
    world.settle();
    assert_eq!(world.statuses(), ["1 approval_wait", "2 skipped by 3", "3 skipped by 4", "4 queued"]);
    world.abort(1);
    world.settle();
    assert_eq!(world.statuses()[3], "4 approval_wait");
}

#[test]
fn replace_aborts_the_others_and_begins_when_they_have_ended() {
    let mut world = World::of(ConcurrencyPolicy::Replace, 1..=3);
    assert_eq!(world.statuses(), ["1 approval_wait", "2 queued", "3 queued"]);
    assert_eq!(world.lane.calls(), [Call::Ask(id(2)), Call::Abort { run: id(1), by: id(2) }]);
    world.settle();
    assert_eq!(world.statuses(), ["1 aborted by 2", "2 aborted by 3", "3 approval_wait"]);
}

#[test]
fn a_flow_may_change_its_policy_while_runs_wait() {
    let mut world = World::of(ConcurrencyPolicy::Queue, 1..=2);
    world.start(3, ConcurrencyPolicy::Allow);
    world.start(4, ConcurrencyPolicy::Forbid);
    world.start(5, ConcurrencyPolicy::Latest);
    world.settle();
    let expected = ["1 approval_wait", "2 skipped by 5", "3 approval_wait", "4 skipped by 1", "5 queued"];
    assert_eq!(world.statuses(), expected);
    world.abort(1);
    world.settle();
    assert_eq!(world.statuses()[4], "5 queued", "another goes on");
    world.abort(3);
    world.settle();
    assert_eq!(world.statuses()[4], "5 approval_wait");
}

#[test]
fn whoever_has_left_is_not_dismissed() {
    let mut lane = LaneState::default();
    lane.evolve(&Superseded { run: id(1), by: id(2) }.into());
    lane.evolve(&Replaced { run: id(1), by: id(2) }.into());
    assert_eq!(lane, LaneState::default());
}

#[test]
fn nobody_decides_for_one_that_waits_without_the_lane() {
    let mut world = World::of(ConcurrencyPolicy::Queue, 1..=2);
    world.abort(1);
    let state = world.runs.get_mut(&id(2)).unwrap();
    let now = Timestamp::from_micros(0);
    let events = decide_and_evolve(state, &Command::Due, &Waits, &mut Slots::none(), now).unwrap();
    assert_eq!(kinds(&events), [""; 0]);
    assert_eq!(state.status(), RunStatus::Queued);
}

#[test]
fn asked_again_it_says_the_same_and_a_restart_changes_nothing() {
    let mut world = World::of(ConcurrencyPolicy::Queue, 1..=1);
    let events = world.start(2, ConcurrencyPolicy::Queue);
    assert_eq!(kinds(&events), ["started", "queued"]);
    assert_eq!(kinds(&world.command(2, &Command::Due).unwrap()), [""; 0]);
    let meta = Meta { actor: Actor::System("test".to_owned()), cause: Cause::Clock, trace: None };
    let mut folded = RunState::new();
    for (event, position) in events.into_iter().zip(1..) {
        let (at, command) = (Timestamp::from_micros(0), CommandId::new(id(0).uuid()));
        let meta = meta.clone();
        folded.evolve(&Recorded { position, version: position, at, meta, command, event }, 0);
    }
    assert_eq!(folded.nodes(), world.runs[&id(2)].nodes());
    assert_eq!(folded.status(), RunStatus::Queued);
    let blockers = crate::why(&folded, Timestamp::from_micros(0));
    assert_eq!(blockers[0].blocked, crate::Blocked::Lane { behind: id(1) });
}
