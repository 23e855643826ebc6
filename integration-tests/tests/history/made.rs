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
    pub(crate) count: u64,
    /// The position and the time of each run's first event.
    pub(crate) places: Vec<(u64, Timestamp)>,
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

pub(crate) fn run_id(n: u64) -> RunId {
    RunId::new(uuid(2, n + 1))
}

/// The digest of what is built of a commit.
pub(crate) fn digest(commit: &str) -> String {
    format!("sha256:{commit}{}", "0".repeat(24))
}

/// A run of so many.
pub(crate) fn made(n: u64, count: u64) -> Made {
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
            900..=998 => 2,
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
        let root =
            PlanNode { reference: "workflow".to_owned(), kind: "Workflow".to_owned(), ..PlanNode::default() };
        let step = PlanNode {
            reference: "deploy".to_owned(),
            kind: "Noop".to_owned(),
            parent: Some(0),
            pointer: "/spec/spec/steps/0".to_owned(),
            spec: json!({}),
            interruptible: true,
            ..PlanNode::default()
        };
        let root = PlanNode { spec: json!({"type": "sequential"}), interruptible: true, ..root };
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
            plan: Plan { nodes: vec![root, step], triggers, ..Plan::default() },
        }
    }

    /// What happened in it; the attempt's fence is not known before the log has placed it, and nobody asks.
    fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Started(self.started())];
        if self.status == RunStatus::Running {
            return events;
        }
        let fence = Fence::new(0, 1);
        events.push(Event::AttemptRequested(AttemptRequested {
            node: 1,
            attempt: 1,
            executor: ExecutorId::new(uuid(5, 1)),
            registration: RegistrationId::new(uuid(6, 1)),
            effect: EffectClass::Keyed,
            work: Value::Null,
            deadline: None,
            detached: false,
        }));
        if self.status == RunStatus::Success {
            events.push(Event::NodeSucceeded(NodeSucceeded {
                node: 1,
                fence: Some(fence),
                outputs: Map::new(),
                effects: self.effects(),
            }));
        } else {
            let (code, message) = ("exit_status".to_owned(), "it ended with 1".to_owned());
            let error = NodeError { code, message, transient: false };
            events.push(Event::NodeFailed(NodeFailed { node: 1, fence: Some(fence), error }));
        }
        events.push(Event::Ended(Ended { status: self.status, reason: None, by: None }));
        events
    }

    /// What is of a commit is released.
    pub(crate) fn effects(&self) -> Vec<Effect> {
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

/// Writes so many runs.
pub(crate) async fn write(log: &Arc<dyn Log>, count: u64) -> Histories {
    let mut places = Vec::with_capacity(usize::try_from(count).unwrap());
    let mut next = 0;
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
        }
        next += AT_ONCE;
    }
    Histories { count, places }
}
