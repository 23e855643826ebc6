//! A run told as commands in words, each answered by the events that it makes, in words.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Map, Value, json};
use shipway_engine::{
    ChildEnd, Command, Free, Hold, Locks, Resolution, RunState, Slots, applied, decide_and_evolve,
    invariants,
    lane::{self, LaneState},
    why,
};
use shipway_events::{
    Actor, Asker, Cause, ConcurrencyPolicy, Fence, Meta, NodeStatus, Position, Recorded, RunStatus,
    StreamEvent, Timestamp,
    lane::{Admitted, Event as Lane, Left, Replaced, Superseded},
    lock::{Event as Lock, Queued, Released, Taken},
    policy::Predicate,
    run::{self, Effect, Event, Frozen, Origin},
};
use shipway_nodes::workload::Outcome;

use crate::{
    language::{Toy, error},
    plan,
};

/// A run with its log, a clock and executors.
pub(crate) struct Story {
    plan: String,
    pub(crate) state: RunState,
    pub(crate) log: Vec<Recorded<Event>>,
    now: Timestamp,
    locks: Locks,
    lane: LaneState,
    freezes: Vec<Frozen>,
    holds: Vec<Hold>,
    /// Name, light slots, heavy slots, start.
    executors: Vec<(char, u32, u32, u32)>,
}

impl Story {
    /// A story about a plan, before anything has happened; there is one executor with many slots, `a`.
    pub(crate) fn new(plan: &str) -> Self {
        let executors = vec![('a', 256, 8, 1)];
        Self {
            plan: plan.to_owned(),
            state: RunState::new(),
            log: Vec::new(),
            now: at(0),
            locks: Locks::new(),
            lane: LaneState::default(),
            freezes: Vec::new(),
            holds: Vec::new(),
            executors,
        }
    }

    /// Carries out a command and returns what was recorded, a line each; or why it was refused.
    pub(crate) fn tell(&mut self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let rest = |from: usize| words[from..].join(" ");
        let command = match words[0] {
            "start" => {
                let mut started = plan::started(plan::plan(&self.plan));
                for word in &words[1..] {
                    match (*word, word.strip_prefix("by=")) {
                        (_, Some(who)) => started.author = Some(author(who)),
                        ("pushed", _) => started.origin = Origin::Git,
                        ("wanted", _) => started.origin = Origin::Run,
                        ("despite", _) => {}
                        _ => started.policy = ConcurrencyPolicy::parse(word).unwrap(),
                    }
                }
                let started = Box::new(started);
                match words.contains(&"despite") {
                    true => Command::StartDespite { started, by: author("bo"), reason: "the fix".to_owned() },
                    false => Command::Start { started },
                }
            }
            "assign" => Command::Assign,
            "abort" => Command::Abort { reason: rest(1), by: None },
            "replaced" => Command::Abort { reason: "replaced".to_owned(), by: Some(id(9)) },
            "lane" => {
                self.lane_moves(&words[1..]);
                if self.state.started().is_none() {
                    return Vec::new();
                }
                Command::Assign
            }
            "freeze" => {
                self.freezes.push(freeze(&words[1..]));
                if self.state.started().is_none() {
                    return Vec::new();
                }
                Command::Assign
            }
            "lift" => {
                self.freezes.retain(|freeze| freeze.name != words[1]);
                Command::Assign
            }
            "hold" => {
                self.holds.push(hold(&words[1..]));
                if self.state.started().is_none() {
                    return Vec::new();
                }
                Command::Assign
            }
            "unhold" => {
                self.holds.retain(|hold| hold.name != words[1]);
                Command::Assign
            }
            "pass" => Command::OverrideHolds { by: Actor::Person(words[1].to_owned()), reason: rest(2) },
            "override" => Command::OverrideFreeze { by: Actor::Person(words[1].to_owned()), reason: rest(2) },
            "lost" => {
                let fences = vec![self.fence(self.node(words[1]))];
                let never_started = words.get(2) == Some(&"never-started");
                Command::AttemptsLost { fences, reason: "its executor is gone".to_owned(), never_started }
            }
            "resolve" => {
                let resolution = match words[2] {
                    "happened" => Resolution::Happened,
                    "failed" => Resolution::Failed("it had not".to_owned()),
                    _ => Resolution::Again,
                };
                Command::Resolve { node: self.node(words[1]), resolution }
            }
            "try" => Command::TryNow { node: self.node(words[1]) },
            "approve" | "reject" => {
                let (node, by) = (self.node(words[1]), asker(words[2]));
                let plan = words.get(3).and_then(|word| word.strip_prefix("plan=")).map(str::to_owned);
                let reason = rest(if plan.is_some() { 4 } else { 3 });
                match words[0] {
                    "approve" => Command::Approve { node, by, reason, plan },
                    _ => Command::Reject { node, by, reason, plan },
                }
            }
            "child" => {
                let node = self.node(words[1]);
                let wanted = self.log.iter().rev().find_map(|recorded| match &recorded.event {
                    Event::ChildRequested(e) if e.node == node => Some(e.child),
                    _ => None,
                });
                let end = ChildEnd {
                    status: RunStatus::parse(words[2]).unwrap(),
                    reason: rest(3),
                    refs: Map::from_iter([("build".to_owned(), json!({ "id": "b1" }))]),
                };
                Command::ChildEnded { node, child: wanted.unwrap(), end: Box::new(end) }
            }
            "other" => {
                let (run, node) = (id(9), 1);
                let event = match words[1] {
                    "takes" => Taken { run, node }.into(),
                    _ => Released { run, node }.into(),
                };
                self.locks.entry(words[2].to_owned()).or_default().evolve(&event);
                Command::Assign
            }
            "wait" => {
                self.now = self.now.plus(Duration::from_secs(words[1].parse().unwrap()));
                Command::Due
            }
            "executors" => {
                self.executors = words[1..].iter().map(|word| executor(word)).collect();
                return Vec::new();
            }
            "restart" => {
                let before = std::mem::take(&mut self.state);
                for recorded in &self.log {
                    self.state.evolve(recorded, 0);
                }
                assert_eq!(before.nodes(), self.state.nodes(), "the log says something else than the state");
                Command::Assign
            }
            "applied" => return applied(&self.state),
            "why" => return why(&self.state, self.now).into_iter().map(|blocker| blocker.words).collect(),
            name => self.complete(self.node(name), &words[1..]),
        };
        self.carry_out(&command)
    }

    fn carry_out(&mut self, command: &Command) -> Vec<String> {
        let mut slots = self.slots();
        let events = match decide_and_evolve(&mut self.state, command, &Toy, &mut slots, self.now) {
            Ok(events) => events,
            Err(rejection) => return vec![format!("refused: {rejection}")],
        };
        let before = self.log.len();
        let mut lines = Vec::new();
        for event in events {
            let position = self.log.len() as Position + 1;
            self.state.settle(&event, position, 0);
            lines.push(format!("{position} {}", self.words(&event)));
            self.log.push(recorded(event, position, self.now));
        }
        // Lanes that admit all are not worth telling.
        let asks = self.state.started().filter(|started| started.policy != ConcurrencyPolicy::Allow);
        if let Some(run) = asks.map(|started| started.run) {
            let new: Vec<Event> =
                self.log.iter().skip(before).map(|recorded| recorded.event.clone()).collect();
            for step in lane::steps(run, &new) {
                self.lane.evolve(&step);
                lines.push(format!("- {}", step.kind().replace('.', " ")));
            }
        }
        for (name, event) in self.state.lock_events(&self.locks) {
            let word = event.kind().trim_start_matches("lock.").to_owned();
            let (Lock::Taken(Taken { node, .. })
            | Lock::Queued(Queued { node, .. })
            | Lock::Released(Released { node, .. })) = event;
            self.locks.entry(name.clone()).or_default().evolve(&event);
            lines.push(format!("- lock {name} {word} {}", self.state.name_of(node)));
        }
        invariants::check(&self.state).unwrap();
        invariants::check_history(&self.log, 0).unwrap();
        lines
    }

    /// The statuses at the end: the run's, then each node's.
    pub(crate) fn summary(&self) -> String {
        let over = if self.state.is_over() { ", over" } else { "" };
        let mut text = format!("= {}{over}\n", self.state.status());
        for (node, at) in self.state.nodes().iter().zip(0..) {
            let _ = write!(text, "= {}: {}", self.state.name_of(at), node.status);
            if let Some(reason) = &node.reason {
                let _ = write!(text, " ({reason})");
            }
            if node.status == NodeStatus::Failure
                && let Some(error) = &node.error
            {
                let _ = write!(text, " ({}: {})", error.code, error.message);
            }
            if let Some(later) = &node.later {
                let how = later.error.as_ref().map_or("well", |error| error.code.as_str());
                let _ = write!(text, ", later ended {how}");
            }
            text.push('\n');
        }
        text
    }

    /// Another run does something in the lane: `lane admitted 9`, `lane superseded us by 9`.
    fn lane_moves(&mut self, words: &[&str]) {
        let run = |word: &&str| if *word == "us" { id(0) } else { id(word.parse().unwrap()) };
        let of = run(&words[1]);
        let event: Lane = match words[0] {
            "admitted" => Admitted { run: of }.into(),
            "left" => Left { run: of }.into(),
            "superseded" => Superseded { run: of, by: run(&words[3]) }.into(),
            "replaced" => Replaced { run: of, by: run(&words[3]) }.into(),
            other => panic!("`{other}` is nothing that happens in a lane"),
        };
        self.lane.evolve(&event);
    }

    fn complete(&self, node: u32, words: &[&str]) -> Command {
        let fence = words.iter().find_map(|word| word.strip_prefix("fence="));
        let fence = fence.map_or_else(|| self.fence(node), |at| Fence::new(0, at.parse().unwrap()));
        let outputs = || {
            let pairs = words[1..].iter().filter(|word| !word.starts_with("fence="));
            pairs
                .filter_map(|word| word.split_once('='))
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .collect::<Map<String, Value>>()
        };
        let reason = "said the executor".to_owned();
        let outcome = match words[0] {
            "ok" => Outcome::Succeeded { outputs: outputs(), effects: Vec::new() },
            "backed-up" => Outcome::Succeeded { outputs: outputs(), effects: vec![backed_up()] },
            "started" => Outcome::Started { outputs: outputs() },
            "fails" => Outcome::Failed { error: error("broken", "it broke", false) },
            "stumbles" => Outcome::Failed { error: error("busy", "try again", true) },
            "stopped" => Outcome::Stopped,
            "refused" => Outcome::Refused { reason },
            "unknown" => Outcome::Unknown { reason },
            other => panic!("`{other}` is no outcome"),
        };
        Command::Complete { node, fence, outcome }
    }

    fn words(&self, event: &Event) -> String {
        let data = serde_json::from_str::<Value>(&event.encode().data).unwrap();
        let mut text = event.kind().trim_start_matches("run.").replace('_', " ");
        if let Some(node) = data.get("node").and_then(Value::as_u64) {
            let _ = write!(text, " {}", self.state.name_of(node as u32));
        }
        let mut detail = |name: &str, value: String| {
            let _ = write!(text, " {name}={value}");
        };
        match event {
            Event::AttemptRequested(e) => {
                detail("attempt", e.attempt.to_string());
                detail("on", name(e.executor).to_string());
                if let Some(deadline) = e.deadline {
                    detail("until", seconds(deadline));
                }
            }
            Event::RetryScheduled(e) => {
                detail("attempt", e.attempt.to_string());
                detail("at", seconds(e.at));
            }
            Event::Frozen(e) => {
                detail("by", e.name.clone());
                if let Some(until) = e.until {
                    detail("until", seconds(until));
                }
            }
            Event::FreezeOverridden(e) => detail("by", e.by.name().to_owned()),
            Event::Held(e) => {
                detail("by", if e.bad { "a mark".to_owned() } else { e.name.clone() });
                if let Some(until) = e.until {
                    detail("until", seconds(until));
                }
            }
            Event::HoldOverridden(e) => detail("by", e.by.name().to_owned()),
            Event::NotedWords(e) => detail("name", e.name.clone().unwrap_or_default()),
            Event::NodeFailed(e) => detail("code", e.error.code.clone()),
            Event::ApprovalRequested(run::ApprovalRequested { deadline: Some(deadline), .. })
            | Event::WaitStarted(run::WaitStarted { deadline: Some(deadline), .. }) => {
                detail("until", seconds(*deadline));
            }
            Event::ApprovalGiven(e) => detail("by", e.by.name().to_owned()),
            Event::ApprovalRejected(e) => detail("by", e.by.name().to_owned()),
            Event::ChildRequested(e) => {
                detail("attempt", e.attempt.to_string());
                detail("flow", e.flow.clone());
            }
            Event::NodeEndedLater(e) => {
                detail("error", e.error.as_ref().map_or("none", |error| &error.code).to_owned());
            }
            Event::OutcomeRejected(e) => detail("fence", e.fence.position().to_string()),
            Event::Ended(e) => {
                detail("status", e.status.to_string());
                if let Some(reason) = &e.reason {
                    detail("because", reason.clone());
                }
            }
            _ => {}
        }
        text
    }

    fn slots(&self) -> Slots {
        let free = self.executors.iter().map(|(name, light, heavy, start)| {
            let here = |heavy: bool| {
                let open = self.state.open_attempts().filter(|open| {
                    open.attempt.executor == id(*name as u32)
                        && open.attempt.registration == id(*start)
                        && open.attempt.heavy == heavy
                });
                open.count() as u32
            };
            let (light, heavy) = (light.saturating_sub(here(false)), heavy.saturating_sub(here(true)));
            Free::new(id(*name as u32), id(*start), light, heavy)
        });
        Slots::new(free)
            .with_locks(self.locks.clone())
            .with_lane(Some(self.lane.clone()))
            .with_freezes(self.freezes.clone().into())
            .with_holds(self.holds.clone().into())
    }

    fn node(&self, reference: &str) -> u32 {
        let found = self.state.node_by_name(reference);
        found.unwrap_or_else(|| panic!("`{reference}` is no node and no command"))
    }

    /// The fence of the node's latest attempt.
    fn fence(&self, node: u32) -> Fence {
        let request = self.log.iter().rev().find_map(|recorded| match &recorded.event {
            Event::AttemptRequested(e) if e.node == node => Some(Fence::new(0, recorded.position)),
            _ => None,
        });
        request.unwrap_or_default()
    }
}

/// An event with an envelope that does not matter.
pub(crate) fn recorded(event: Event, position: Position, at: Timestamp) -> Recorded<Event> {
    let meta = Meta { actor: Actor::System("test".to_owned()), cause: Cause::Clock, trace: None };
    Recorded { position, version: position, at, meta, command: id(0), event }
}

/// An id with this number.
pub(crate) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(number: u32) -> T {
    format!("{number:032x}").parse().unwrap()
}

/// So many seconds after the story's beginning.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn seconds(at: Timestamp) -> String {
    format!("{}s", at.millis() as f64 / 1000.0)
}

fn name(executor: shipway_events::ExecutorId) -> char {
    ('a'..='z').find(|name| id::<shipway_events::ExecutorId>(*name as u32) == executor).unwrap()
}

/// `weekend until=60`, or `outage all` for one that stops all.
fn freeze(words: &[&str]) -> Frozen {
    let until = words.iter().find_map(|word| word.strip_prefix("until="));
    Frozen {
        freeze: id(words[0].bytes().map(u32::from).sum()),
        name: words[0].to_owned(),
        by: Actor::Person("ana".to_owned()),
        reason: String::new(),
        until: until.map(|until| at(until.parse().unwrap())),
        stops_all: words.contains(&"all"),
    }
}

/// `after-9 commit=c1 until=60`, or `after-9 commit=c1 bad` for a mark.
fn hold(words: &[&str]) -> Hold {
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let commit = value("commit=").unwrap_or_default().to_owned();
    Hold {
        hold: id(words[0].bytes().map(u32::from).sum()),
        name: words[0].to_owned(),
        bad: words.contains(&"bad"),
        by: Actor::Person("ana".to_owned()),
        reason: "broken".to_owned(),
        until: value("until=").map(|until| at(until.parse().unwrap())),
        what: Predicate::Commit { commit, lines: Vec::new() },
        targets: None,
    }
}

/// `a:light/heavy`, with `@start` for another start than the first.
fn executor(word: &str) -> (char, u32, u32, u32) {
    let (word, start) = word.split_once('@').unwrap_or((word, "1"));
    let (name, slots) = word.split_once(':').unwrap();
    let (light, heavy) = slots.split_once('/').unwrap();
    (name.chars().next().unwrap(), light.parse().unwrap(), heavy.parse().unwrap(), start.parse().unwrap())
}

fn backed_up() -> Effect {
    Effect::BackedUp {
        addon: "db".to_owned(),
        backup: "b1".to_owned(),
        digest: "sha256:1".to_owned(),
        bytes: 1,
    }
}

/// `bo` with a token, `bo/lead` with a role too; `?` brings none where others have one.
fn asker(word: &str) -> Asker {
    if word == "?" {
        return Asker { actor: Actor::nobody(), roles: Vec::new(), counts: false };
    }
    let (name, roles) = word.split_once('/').unwrap_or((word, ""));
    let roles = roles.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect();
    Asker { actor: Actor::Person(name.to_owned()), roles, counts: true }
}

/// `ana`, `hook:ana` who sent a delivery, `?` who brought no token, or `schedule`.
fn author(word: &str) -> Actor {
    match (word, word.strip_prefix("hook:")) {
        (_, Some(sender)) => Actor::Hook(sender.to_owned()),
        ("?", _) => Actor::nobody(),
        ("schedule", _) => Actor::System("schedule".to_owned()),
        (name, _) => Actor::Person(name.to_owned()),
    }
}
