//! Large runs: what a decision costs does not depend on how large its run is. Counted, not timed.

use std::{cell::Cell, fmt::Write as _, time::Instant};

use serde_json::Value;
use shipway_engine::{Command, Free, Language, RunState, Slots, Step, decide_and_evolve};
use shipway_events::{Fence, RunStatus, Timestamp, run::NodeError};
use shipway_nodes::workload::Outcome;

use crate::{language::Toy, plan, story::id};

/// Counts how often nodes are asked what they want.
struct Counting(Cell<u32>);

impl Language for Counting {
    fn step(&self, state: &RunState, node: u32) -> Result<Step, NodeError> {
        self.0.set(self.0.get() + 1);
        Toy.step(state, node)
    }

    fn truthy(&self, state: &RunState, node: u32, value: &Value) -> Result<bool, NodeError> {
        Toy.truthy(state, node, value)
    }

    fn iterations(&self, state: &RunState, node: u32) -> Result<Vec<Value>, NodeError> {
        Toy.iterations(state, node)
    }
}

/// Runs it on 256 slots, the oldest attempt first; returns events and questions.
fn run(plan: &str) -> (usize, u32) {
    let (mut state, language, mut position) = (RunState::new(), Counting(Cell::new(0)), 0);
    let start = Command::Start { started: Box::new(plan::started(plan::plan(plan))) };
    let mut next = Some(start);
    let mut events = 0;
    let since = Instant::now();
    while let Some(command) = next {
        let open = state.open_attempts().count() as u32;
        let mut slots = Slots::new([Free::new(id(1), id(1), 256 - open, 0)]);
        let now = Timestamp::from_micros(position);
        for event in decide_and_evolve(&mut state, &command, &language, &mut slots, now).unwrap() {
            position += 1;
            events += 1;
            state.settle(&event, position as u64, 0);
        }
        next = state.open_attempts().map(|open| (open.fence, open.node)).min().map(complete);
    }
    assert_eq!(state.status(), RunStatus::Success);
    println!("{events} events, {} questions in {:?}", language.0.get(), since.elapsed());
    (events, language.0.get())
}

fn complete((fence, node): (Fence, u32)) -> Command {
    Command::Complete {
        node,
        fence,
        outcome: Outcome::Succeeded { outputs: Default::default(), effects: vec![] },
    }
}

fn steps(of: &str, count: u32) -> String {
    (0..count).fold(format!("main: {of}"), |mut plan, n| {
        let _ = write!(plan, "\n  n{n}: Noop");
        plan
    })
}

#[test]
fn ten_thousand_nodes_in_sequence_are_asked_once_each() {
    assert_eq!(run(&steps("sequential", 10_000)), (20_002, 10_000));
}

#[test]
fn ten_thousand_nodes_side_by_side_are_asked_at_most_twice_each() {
    let (events, asked) = run(&steps("parallel", 10_000));
    assert_eq!(events, 20_002);
    assert!(asked <= 20_000, "asked {asked} times");
}

#[test]
fn a_failure_at_the_front_of_ten_thousand_steps_passes_over_the_others() {
    let plan = steps("sequential", 10_000).replace("n0: Noop", "n0: Noop broken");
    let start = Command::Start { started: Box::new(plan::started(plan::plan(&plan))) };
    let mut state = RunState::new();
    let events =
        decide_and_evolve(&mut state, &start, &Toy, &mut Slots::none(), Timestamp::default()).unwrap();
    assert_eq!((events.len(), state.status()), (3, RunStatus::Failure));
}
