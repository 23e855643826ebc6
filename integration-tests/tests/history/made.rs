//! Histories of runs that could have been: what each of them is follows from its number.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use shipway_eventing::{Expected, Item, Log};
use shipway_events::{
    Actor, Cause, CommandId, ConcurrencyPolicy, EffectClass, ExecutorId, Fence, FlowId, Meta, NewEvent,
    PipelineId, ProjectId, RegistrationId, ResourceId, RunId, RunStatus, StreamEvent, StreamName, Timestamp,
    plan::{Artifact, Plan, PlanNode},
    run::{AttemptRequested, Effect, Ended, Event, NodeError, NodeFailed, NodeSucceeded, Origin, Started},
};
use uuid::Uuid;

/// How many items are handed to the log at a time.
const AT_ONCE: u64 = 256;
/// So many of the last runs are not over.
const OPEN: u64 = 20;

/// A run, as its number says.
pub(crate) struct Made {
    pub(crate) run: RunId,
    pub(crate) project: ProjectId,
    pub(crate) pipeline: String,
    pub(crate) stage: &'static str,
    pub(crate) path: String,
    pub(crate) origin: Origin,
    pub(crate) author: String,
    pub(crate) branch: String,
    pub(crate) commit: String,
    pub(crate) status: RunStatus,
    pub(crate) name: String,
}

/// All of them, and where the log has put them.
pub(crate) struct Histories {
    count: u64,
    /// The position and the time of each run's first event.
    places: Vec<(u64, Timestamp)>,
    /// The log's end.
    pub(crate) end: u64,
}

/// A run in a list: one of the log's, or a copy of it.
pub(crate) struct Row {
    /// Which one of the log's runs.
    pub(crate) n: usize,
    pub(crate) position: u64,
    pub(crate) at: Timestamp,
}

impl Histories {
    /// From one copy to the next: positions, and microseconds.
    pub(crate) fn span(&self) -> (u64, i64) {
        let (first, last) = (self.places[0].1, self.places[self.places.len() - 1].1);
        (self.end, last.micros() - first.micros() + 1)
    }

    /// The runs of so many times the log, oldest first; of those that are not over there is one.
    pub(crate) fn rows(&self, times: u64) -> Vec<Row> {
        let (positions, micros) = self.span();
        let row = |copy: u64, n: u64| {
            let (position, at) = self.places[n as usize];
            let at = Timestamp::from_micros(at.micros() + micros * i64::try_from(copy).unwrap());
            Row { n: n as usize, position: position + copy * positions, at }
        };
        let all = (0..times).flat_map(|copy| (0..self.count).map(move |n| (copy, n)));
        all.filter(|(copy, n)| *copy == 0 || n + OPEN < self.count).map(|(copy, n)| row(copy, n)).collect()
    }

    /// What the log's runs are.
    pub(crate) fn made(&self) -> Vec<Made> {
        (0..self.count).map(|n| made(n, self.count)).collect()
    }

    /// Two times between the first run and the last one of the log.
    pub(crate) fn between(&self) -> (Timestamp, Timestamp) {
        (self.places[self.places.len() / 2].1, self.places[self.places.len() * 3 / 4].1)
    }

    /// The first run that is like this.
    pub(crate) fn some(&self, is: impl Fn(&Made) -> bool) -> Made {
        self.made().into_iter().find(is).unwrap()
    }
}

/// A number that looks like chance.
const fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn uuid(kind: u64, n: u64) -> Uuid {
    Uuid::from_u128(u128::from(n) << 80 | 0x7000_8000_0000_0000_0000 | u128::from(kind))
}

/// A project by its number: the first has most of the runs, the last very few.
pub(crate) fn project(n: u64) -> ProjectId {
    ProjectId::new(uuid(1, n))
}

fn run_id(n: u64) -> RunId {
    RunId::new(uuid(2, n + 1))
}

/// The digest of what is built of a commit.
fn digest(commit: &str) -> String {
    format!("sha256:{commit}{}", "0".repeat(24))
}

/// A run of so many.
fn made(n: u64, count: u64) -> Made {
    let of = |salt: u64, most: u64| mix(n ^ (salt << 56)) % most;
    let pipeline = format!("shop-{:02}", of(1, 20));
    let stage = ["development", "development", "staging", "production"][of(2, 4) as usize];
    let origin = [Origin::Git, Origin::Git, Origin::Git, Origin::Manual, Origin::Schedule][of(3, 5) as usize];
    let is_git = origin == Origin::Git;
    let commit = match is_git {
        // Some runs are of the same commit.
        true => format!("{:016x}{:024x}", mix(n / 4), n / 4),
        false => String::new(),
    };
    let branch = match (is_git, of(4, 10)) {
        (false, _) => String::new(),
        (true, 0..=6) => "main".to_owned(),
        _ => format!("feature-{}", of(5, 300)),
    };
    let status = match of(6, 1000) {
        _ if n + OPEN >= count => RunStatus::Running,
        0..=879 => RunStatus::Success,
        880..=979 => RunStatus::Failure,
        980..=998 => RunStatus::Aborted,
        _ => RunStatus::Skipped,
    };
    let name = match n % 997 {
        17 => format!("1.{n} Hotfix für 50%"),
        _ => format!("calm-otter-{:06x}", mix(n) & 0xff_ffff),
    };
    Made {
        run: run_id(n),
        project: project(match of(7, 1000) {
            0..=899 => 1,
            900..=989 => 2,
            _ => 3,
        }),
        path: format!("{pipeline}/{stage}"),
        pipeline,
        stage,
        origin,
        author: if of(8, 500) == 0 { "grace".to_owned() } else { format!("dev-{}", of(9, 40)) },
        branch,
        commit,
        status,
        name,
    }
}

impl Made {
    fn started(&self) -> Started {
        let mut triggers = Map::new();
        if !self.commit.is_empty() {
            triggers.insert("app".to_owned(), json!({"branch": self.branch, "sha": self.commit}));
        }
        Started {
            run: self.run,
            project: self.project,
            pipeline: Some(PipelineId::new(uuid(3, 1))),
            flow: FlowId::new(uuid(4, mix(self.path.bytes().map(u64::from).sum()))),
            path: self.path.clone(),
            flow_version: 1,
            name: self.name.clone(),
            description: String::new(),
            origin: self.origin,
            author: Some(Actor::Person(self.author.clone())),
            parent: None,
            policy: ConcurrencyPolicy::Allow,
            rollback: None,
            plan: Plan { nodes: nodes(1), triggers, ..Plan::default() },
        }
    }

    /// What happened in it; the attempt's fence is not known before the log has placed it, and nobody asks.
    fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Started(self.started())];
        if self.status == RunStatus::Running {
            return events;
        }
        let fence = Fence::new(0, 1);
        events.push(requested(1));
        if self.status == RunStatus::Success {
            events.push(succeeded(1, self.effects()));
        } else {
            let (code, message) = ("exit_status".to_owned(), "it ended with 1".to_owned());
            let error = NodeError { code, message, transient: false };
            events.push(Event::NodeFailed(NodeFailed { node: 1, fence: Some(fence), error }));
        }
        events.push(Event::Ended(Ended { status: self.status, reason: None, by: None }));
        events
    }

    /// What is of a commit is released.
    fn effects(&self) -> Vec<Effect> {
        if self.commit.is_empty() || self.status != RunStatus::Success {
            return Vec::new();
        }
        let target = ResourceId::new(uuid(7, self.path.bytes().map(u64::from).sum()));
        let artifact = Artifact {
            digest: digest(&self.commit),
            build: format!("build-{}", self.run),
            service: "build".to_owned(),
            commit: self.commit.clone(),
            branch: self.branch.clone(),
        };
        vec![Effect::Released { target, slug: self.path.replace('/', "-"), artifact }]
    }
}

/// A workflow of so many steps side by side.
fn nodes(steps: u32) -> Vec<PlanNode> {
    let node = |reference: String, kind: &str, parent, spec| PlanNode {
        reference,
        kind: kind.to_owned(),
        parent,
        spec,
        interruptible: true,
        ..PlanNode::default()
    };
    let root = node("workflow".to_owned(), "Workflow", None, json!({"type": "parallel"}));
    let steps = (0..steps).map(|n| node(format!("step-{n}"), "Noop", Some(0), json!({})));
    std::iter::once(root).chain(steps).collect()
}

fn requested(node: u32) -> Event {
    Event::AttemptRequested(AttemptRequested {
        node,
        attempt: 1,
        executor: ExecutorId::new(uuid(5, 1)),
        registration: RegistrationId::new(uuid(6, 1)),
        effect: EffectClass::Keyed,
        work: Value::Null,
        deadline: None,
        detached: false,
    })
}

fn succeeded(node: u32, effects: Vec<Effect>) -> Event {
    let outputs = Map::from_iter([("number".to_owned(), node.into())]);
    Event::NodeSucceeded(NodeSucceeded { node, fence: Some(Fence::new(0, 1)), outputs, effects })
}

/// Writes one run of so many nodes side by side.
pub(crate) async fn write_large(log: &Arc<dyn Log>, steps: u32) -> RunId {
    let made = made(0, 1);
    let plan = Plan { nodes: nodes(steps), ..Plan::default() };
    let mut events = vec![Event::Started(Started { plan, ..made.started() })];
    for node in 1..=steps {
        events.extend([requested(node), succeeded(node, Vec::new())]);
    }
    events.push(Event::Ended(Ended { status: RunStatus::Success, reason: None, by: None }));
    for (n, part) in (1..).zip(events.chunks(500)) {
        let events: Vec<NewEvent> = part.iter().map(StreamEvent::encode).collect();
        let meta = Meta { actor: Actor::nobody(), cause: Cause::Request, trace: None };
        let (command, stream) = (CommandId::new(uuid(8, n)), StreamName::run(made.run));
        log.append(Item::one(command, meta, stream, Expected::Any, events)).await.unwrap();
    }
    made.run
}

/// Writes so many runs.
pub(crate) async fn write(log: &Arc<dyn Log>, count: u64) -> Histories {
    let mut places = Vec::with_capacity(usize::try_from(count).unwrap());
    let (mut next, mut end) = (0, 0);
    while next < count {
        let items = (next..count.min(next + AT_ONCE)).map(|n| {
            let made = made(n, count);
            let events: Vec<NewEvent> = made.events().iter().map(StreamEvent::encode).collect();
            let meta = Meta { actor: Actor::Person(made.author.clone()), cause: Cause::Request, trace: None };
            let (command, stream) = (CommandId::new(uuid(8, n + 1)), StreamName::run(made.run));
            Item::one(command, meta, stream, Expected::New, events)
        });
        for appended in log.append_all(items.collect()).await {
            let appended = appended.unwrap();
            places.push((appended.first, appended.at));
            end = appended.last;
        }
        next += AT_ONCE;
    }
    Histories { count, places, end }
}
