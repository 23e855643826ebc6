//! Runs that branch off others: what is run again is what depends on where they go on, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use shipway_engine::{
    CannotResume, Command, Free, RunState, Slots, Wish, branch, decide, decide_and_evolve, invariants,
};
use shipway_events::{
    Asker, NodeStatus, Position, Recorded, RunStatus, Timestamp,
    plan::{Plan, PlanNode},
    run::{Event, NodeError},
};
use shipway_nodes::workload::Outcome;

use crate::{
    language::Toy,
    plan::{plan, started},
    story::{id, recorded},
};

/// A run with its events, and the nodes that executors were given.
#[derive(Default)]
struct Played {
    state: RunState,
    log: Vec<Recorded<Event>>,
    asked: BTreeSet<String>,
    /// Invariants are checked at the end only: a graph has many nodes.
    is_large: bool,
}

impl Played {
    fn tell(&mut self, command: &Command) {
        let open = self.state.open_attempts().count() as u32;
        let mut slots = Slots::new([Free::new(id(1), id(1), 300 - open, 300 - open)]);
        let now = Timestamp::from_micros(self.log.len() as i64 + 1);
        let events = decide_and_evolve(&mut self.state, command, &Toy, &mut slots, now).unwrap();
        for event in events {
            let position = self.log.len() as Position + 1;
            self.state.settle(&event, position, 0);
            if let Event::AttemptRequested(request) = &event {
                self.asked.insert(self.state.name_of(request.node));
            }
            self.log.push(recorded(event, position, now));
        }
        if !self.is_large {
            invariants::check(&self.state).unwrap();
        }
    }

    /// Ends what runs, one after another, until nothing does; the nodes of these names fail.
    fn play_on(&mut self, fail: &[&str]) {
        loop {
            let open = self.state.open_attempts().map(|open| (open.node, open.fence)).next();
            let Some((node, fence)) = open else { break };
            let name = self.state.name_of(node);
            let outcome = if fail.contains(&name.as_str()) {
                let (code, message) = ("broken".to_owned(), "it broke".to_owned());
                Outcome::Failed { error: NodeError { code, message, transient: false } }
            } else {
                Outcome::Succeeded {
                    outputs: Map::from_iter([("of".to_owned(), json!(name))]),
                    effects: Vec::new(),
                }
            };
            self.tell(&Command::Complete { node, fence, outcome });
        }
        invariants::check(&self.state).unwrap();
        invariants::check_history(&self.log, 0).unwrap();
        let mut folded = RunState::new();
        self.log.iter().for_each(|recorded| folded.evolve(recorded, 0));
        assert_eq!(folded.nodes(), self.state.nodes(), "a restart tells otherwise");
    }

    fn ended(text: &str, fail: &[&str]) -> Self {
        Self::of(plan(text), fail)
    }

    fn of(plan: Plan, fail: &[&str]) -> Self {
        let mut played = Self { is_large: plan.nodes.len() > 100, ..Self::default() };
        played.tell(&Command::Start { started: Box::new(started(plan)) });
        played.play_on(fail);
        played
    }

    /// The branch that somebody wishes for, up to where it needs an executor.
    fn branch(&self, wish: &Wish) -> Result<Self, CannotResume> {
        let (started, resumed) = branch(&self.state, wish, id(2))?;
        let mut played = Self { is_large: self.is_large, ..Self::default() };
        played.tell(&Command::Resume { started: Box::new(started), resumed: Box::new(resumed) });
        Ok(played)
    }

    fn resumed(&self, wish: &Wish) -> Self {
        let mut played = self.branch(wish).unwrap();
        played.play_on(&[]);
        played
    }

    fn status(&self, name: &str) -> NodeStatus {
        self.state.node(self.state.node_by_name(name).unwrap()).unwrap().status
    }

    fn asked(&self) -> Vec<&str> {
        self.asked.iter().map(String::as_str).collect()
    }
}

fn from(names: &[&str]) -> Wish {
    Wish { from: names.iter().map(|&name| name.to_owned()).collect(), ..Wish::default() }
}

const RELEASE: &str = "\
main: sequential
  build: Build heavy
  gate: Approval approve=1
  both: parallel
    web: Release
    jobs: sequential
      migrate: JobRun heavy
      check: Noop
  smoke: Noop
  undo: Noop when=failure
  tell: Message when=always";

fn approved(text: &str, fail: &[&str]) -> Played {
    let mut played = Played::ended(text, fail);
    let ana =
        Asker { actor: shipway_events::Actor::Person("bo".to_owned()), roles: Vec::new(), counts: true };
    let gate = played.state.node_by_name("gate").unwrap();
    played.tell(&Command::Approve { node: gate, by: ana, reason: String::new(), plan: None });
    played.play_on(fail);
    played
}

#[test]
fn a_failed_run_goes_on_where_it_failed_and_keeps_the_rest() {
    let first = approved(RELEASE, &["migrate"]);
    assert_eq!(first.state.status(), RunStatus::Failure);
    let second = first.resumed(&Wish::default());
    assert_eq!(second.asked(), ["check", "migrate", "smoke", "tell"]);
    assert_eq!(second.state.status(), RunStatus::Success);
    // The approval stays: the plan is the same.
    assert_eq!(second.state.plan_hash(), first.state.plan_hash());
    assert_eq!((second.status("gate"), second.status("undo")), (NodeStatus::Success, NodeStatus::Skipped));
    let build = second.state.node_by_name("build").unwrap();
    assert_eq!(second.state.node(build).unwrap().outputs, first.state.node(build).unwrap().outputs);
    assert_eq!(second.state.resumed().unwrap().from, ["migrate"]);
    // A branch of the branch.
    let third = second.resumed(&from(&["web"]));
    assert_eq!(third.asked(), ["smoke", "tell", "web"]);
    assert_eq!(first.state.status(), RunStatus::Failure, "the first one stays as it was");
}

#[test]
fn other_values_are_another_plan_and_ask_for_approval_again() {
    let first = approved(RELEASE, &["smoke"]);
    let set = |node: &str, field: &str| vec![(node.to_owned(), field.to_owned(), json!("other"))];
    let wish = Wish { set: set("smoke", "needs"), ..Wish::default() };
    let second = first.branch(&wish).unwrap();
    assert_ne!(second.state.plan_hash(), first.state.plan_hash());
    assert_eq!(second.status("gate"), NodeStatus::ApprovalWait);
    assert_eq!(second.status("build"), NodeStatus::Success);

    let kept = first.branch(&Wish { set: set("build", "needs"), ..Wish::default() }).err();
    assert_eq!(kept, Some(CannotResume::Keeps("build".to_owned())));
    let deep = first.branch(&Wish { set: set("smoke", "not/there"), ..Wish::default() }).err();
    let (node, field) = ("smoke".to_owned(), "not/there".to_owned());
    assert_eq!(deep, Some(CannotResume::NoSuchField { node, field }));
    let gate = first.branch(&Wish { set: set("gate", "amount"), ..Wish::default() }).err();
    assert_eq!(gate, Some(CannotResume::Gate("gate".to_owned())), "who approves is not for them to say");
}

#[test]
fn a_failed_node_can_be_passed_over_with_a_reason() {
    let first = approved(RELEASE, &["migrate"]);
    let skip = BTreeMap::from([("migrate".to_owned(), "done by hand".to_owned())]);
    let second = first.resumed(&Wish { skip, ..Wish::default() });
    assert_eq!(second.asked(), ["check", "smoke", "tell"]);
    let migrate = second.state.node(second.state.node_by_name("migrate").unwrap()).unwrap();
    assert_eq!((migrate.status, migrate.reason.as_deref()), (NodeStatus::Skipped, Some("done by hand")));
    assert_eq!(second.state.status(), RunStatus::Success);
}

#[test]
fn what_cannot_be_resumed_says_why() {
    let well = Played::ended("main: sequential\n  one: Noop", &[]);
    assert_eq!(well.branch(&Wish::default()).err(), Some(CannotResume::NothingToRun));
    let nobody = well.branch(&from(&["two"])).err();
    assert_eq!(nobody, Some(CannotResume::NoSuchNode("two".to_owned())));
    assert_eq!(well.branch(&from(&["one"])).unwrap().asked(), ["one"]);
    let mut open = Played::default();
    open.tell(&Command::Start { started: Box::new(started(plan("main: sequential\n  one: Noop"))) });
    assert_eq!(open.branch(&from(&["one"])).err(), Some(CannotResume::GoesOn));

    // What nobody knows is not done again without being named.
    let attempt = open.state.open_attempts().map(|open| open.fence).next().unwrap();
    let text = "main: sequential\n  one: Noop effect=once\n  two: Noop";
    let mut unknown = Played::default();
    unknown.tell(&Command::Start { started: Box::new(started(plan(text))) });
    let outcome = Outcome::Unknown { reason: "the host died".to_owned() };
    unknown.tell(&Command::Complete { node: 1, fence: attempt, outcome });
    unknown.tell(&Command::Abort { reason: "enough".to_owned(), by: None });
    assert_eq!(unknown.branch(&Wish::default()).err(), Some(CannotResume::Unknown("one".to_owned())));
    assert_eq!(unknown.resumed(&from(&["one"])).asked(), ["one", "two"]);
    let skip = BTreeMap::from([("one".to_owned(), "it has happened".to_owned())]);
    assert_eq!(unknown.resumed(&Wish { skip, ..Wish::default() }).asked(), ["two"]);
}

#[test]
fn a_loop_keeps_its_iterations_and_runs_the_one_again_that_failed() {
    let text = "\
main: sequential
  first: Noop
  each: loop times=3
    warm: Noop
    cool: Noop
  last: Noop";
    let first = Played::ended(text, &["each[1].warm"]);
    assert_eq!(first.state.status(), RunStatus::Failure);
    let second = first.resumed(&Wish::default());
    let again = ["each[1].cool", "each[1].warm", "each[2].cool", "each[2].warm", "last"];
    assert_eq!(second.asked(), again);
    // From the loop itself all of it is found out and run again.
    let all = second.resumed(&from(&["each"]));
    assert_eq!(all.asked.len(), 7);
}

#[test]
fn what_names_a_node_depends_on_it() {
    let mut plan = plan("main: parallel\n  one: Noop\n  one-more: Noop\n  ready: Noop\n  other: Noop");
    plan.nodes[3].spec = json!({"expression": "${refs.one.of}"});
    plan.nodes[4].spec = json!({"expression": "${refs.one-more.of}"});
    let first = Played::of(plan, &[]);
    assert_eq!(first.resumed(&from(&["one"])).asked(), ["one", "ready"]);
    assert_eq!(first.resumed(&from(&["one-more"])).asked(), ["one-more", "other"]);
}

/// A graph of so many nodes, each of which comes after some of those before it.
fn graph(nodes: u32, edges: &[(u32, u32)]) -> Plan {
    let root = PlanNode {
        reference: "main".to_owned(),
        kind: "Workflow".to_owned(),
        spec: json!({"type": "graph"}),
        ..PlanNode::default()
    };
    let mut plan = Plan { nodes: vec![root], ..Plan::default() };
    for n in 1..=nodes {
        let mut depends_on: Vec<u32> =
            edges.iter().filter(|(_, to)| *to == n).map(|(from, _)| *from).collect();
        depends_on.sort_unstable();
        depends_on.dedup();
        plan.nodes.push(PlanNode {
            reference: format!("n{n}"),
            kind: "Noop".to_owned(),
            parent: Some(0),
            spec: Value::Object(Map::new()),
            depends_on,
            interruptible: true,
            ..PlanNode::default()
        });
    }
    plan
}

fn edges(nodes: u32) -> impl Strategy<Value = Vec<(u32, u32)>> {
    let edge = (1..=nodes, 1..=nodes).prop_filter_map("to itself", |(a, b)| match a.cmp(&b) {
        std::cmp::Ordering::Less => Some((a, b)),
        std::cmp::Ordering::Greater => Some((b, a)),
        std::cmp::Ordering::Equal => None,
    });
    proptest::collection::vec(edge, nodes as usize / 2..nodes as usize * 3 / 2)
}

/// How many graphs are resumed from each of their nodes.
fn graphs() -> u32 {
    if std::env::var_os("SHIPWAY_FULL").is_some() { 20 } else { 1 }
}

/// What depends on a node, found by looking at every edge again and again.
fn dependents(edges: &[(u32, u32)], node: u32) -> BTreeSet<String> {
    let mut found = BTreeSet::from([node]);
    loop {
        let more: Vec<u32> = edges
            .iter()
            .filter(|(from, to)| found.contains(from) && !found.contains(to))
            .map(|(_, to)| *to)
            .collect();
        if more.is_empty() {
            return found.iter().map(|n| format!("n{n}")).collect();
        }
        found.extend(more);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: graphs(), ..ProptestConfig::default() })]

    /// From each node of 200: what depends on it is run, and nothing else.
    #[test]
    fn from_each_node_of_a_graph_what_depends_on_it_is_run(edges in edges(200)) {
        let first = Played::of(graph(200, &edges), &[]);
        prop_assert_eq!(first.asked.len(), 200);
        for node in 1..=200 {
            let second = first.resumed(&from(&[format!("n{node}").as_str()]));
            prop_assert_eq!(&second.asked, &dependents(&edges, node), "from n{}", node);
            prop_assert_eq!(second.state.status(), RunStatus::Success);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever failed, and whatever comes again or late: the branch has run what failed and what depends on it, and
    /// after each of its events a restart finds the same.
    #[test]
    fn a_branch_of_what_failed_ends_well_over_restarts_and_repeats(
        edges in edges(30), failed in proptest::collection::btree_set(1_u32..=30, 1..4),
    ) {
        let names: Vec<String> = failed.iter().map(|n| format!("n{n}")).collect();
        let fail: Vec<&str> = names.iter().map(String::as_str).collect();
        let first = Played::of(graph(30, &edges), &fail);
        prop_assert_eq!(first.state.status(), RunStatus::Failure);
        let mut second = first.branch(&Wish::default()).unwrap();
        let mut done = Vec::new();
        while let Some((node, fence)) = second.state.open_attempts().map(|open| (open.node, open.fence)).last() {
            let complete = Command::Complete {
                node, fence, outcome: Outcome::Succeeded { outputs: Map::new(), effects: Vec::new() },
            };
            second.tell(&complete);
            done.push(complete);
            // Everything that was said comes again.
            for said in &done {
                let again = decide(&second.state, said, &Toy, &mut Slots::none(), Timestamp::from_micros(9_000_000));
                prop_assert!(again.unwrap().is_empty());
            }
            // A restart after each event.
            let mut folded = RunState::new();
            second.log.iter().for_each(|recorded| folded.evolve(recorded, 0));
            prop_assert_eq!(folded.nodes(), second.state.nodes());
        }
        let mut expected = BTreeSet::new();
        for node in failed {
            expected.extend(dependents(&edges, node));
        }
        prop_assert_eq!(&second.asked, &expected);
        prop_assert_eq!(second.state.status(), RunStatus::Success);
    }
}
