//! Lanes, simulated in one thread: four schedulers over one log, of which one at a time has the lane and any may die or
//! fall asleep at any moment; runs that all ask at once; executors that end what they are given. All of it follows from a
//! seed.

mod judge;
mod scheduler;

use std::collections::{BTreeMap, BTreeSet};

use shipway_engine::{Command, RunState, lane::LaneState};
use shipway_events::{
    ConcurrencyPolicy, Fence, Recorded, RunId, Timestamp,
    lane::Event as Lane,
    run::{Event, Started},
};

use self::scheduler::{Pending, Scheduler};
use crate::{plan, sim::rng::Rng, story::id};

/// What every run does: its first step may not be interrupted.
const PLAN: &str = "main: sequential
  migrate: JobRun heavy uninterruptible
  rest: JobRun heavy
  goodbye: Message when=always";
/// How many schedulers there are.
const SCHEDULERS: usize = 4;
/// So long after the last kill everything is over, in milliseconds.
const BOUND: u64 = 60_000;

/// What came of a round.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) kills: u32,
    /// Commits that were decided again because another was first.
    pub(crate) conflicts: u32,
    pub(crate) success: u32,
    pub(crate) skipped: u32,
    pub(crate) aborted: u32,
}

#[derive(Clone, Debug)]
enum Happening {
    /// Somebody asks for a run, until it is there.
    Asked(RunId),
    /// A scheduler's append arrives at the log.
    Commit { s: usize, life: u32, pending: Box<Pending> },
    /// A scheduler looks whom the lane has something to say to.
    Moved { s: usize, life: u32 },
    /// A scheduler hears what was written to the lane.
    Heard { s: usize, life: u32, event: Lane },
    /// A scheduler opens all runs that go on: it has the lane now.
    TakesUp { s: usize, life: u32 },
    /// An executor says how an attempt ended, until it is taken.
    Ends { run: RunId, node: u32, fence: Fence, stopped: bool },
    /// Executors look whether they are to stop something.
    Beat,
    /// Something goes wrong.
    Fault,
}

struct World {
    rng: Rng,
    policy: ConcurrencyPolicy,
    now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    serial: u64,
    position: u64,
    /// The lane's stream, and what it adds up to.
    lane: Vec<Lane>,
    observed: LaneState,
    /// Each run's stream, and what it adds up to.
    streams: BTreeMap<RunId, Vec<Recorded<Event>>>,
    runs: BTreeMap<RunId, RunState>,
    /// Attempts whose end is known.
    ended: BTreeSet<Fence>,
    schedulers: Vec<Scheduler>,
    owner: usize,
    faults_until: u64,
    report: Report,
    broken: Option<String>,
}

/// Plays a round; the error says which promise was broken.
pub(crate) fn play(seed: u64, policy: ConcurrencyPolicy, triggers: u32) -> Result<Report, String> {
    let mut rng = Rng::new(seed ^ 0x1a_9e);
    let spread = rng.within(1, 400);
    let mut world = World {
        policy,
        now: 0,
        queue: BTreeMap::new(),
        serial: 0,
        position: 0,
        lane: Vec::new(),
        observed: LaneState::default(),
        streams: BTreeMap::new(),
        runs: BTreeMap::new(),
        ended: BTreeSet::new(),
        schedulers: (0..SCHEDULERS).map(|_| Scheduler::default()).collect(),
        owner: 0,
        faults_until: rng.within(0, 6_000),
        report: Report::default(),
        broken: None,
        rng,
    };
    for run in 1..=triggers {
        let at = world.rng.within(0, spread);
        world.later(at, Happening::Asked(id(run)));
    }
    world.later(50, Happening::Beat);
    world.later(30, Happening::Fault);
    while let Some(((now, _), happening)) = world.queue.pop_first() {
        world.now = now;
        if std::env::var_os("SHIPWAY_SEED").is_some() {
            println!("{now:>6} owner={} {happening:?}", world.owner);
        }
        world.happen(happening);
        if let Some(broken) = world.broken {
            return Err(format!("{policy}, at {now} ms: {broken}"));
        }
        let all = world.runs.len() == triggers as usize;
        if all && world.runs.values().all(RunState::is_over) {
            break;
        }
        if now > world.faults_until + BOUND {
            let open = world.runs.iter().filter(|(_, state)| !state.is_over());
            let open: Vec<_> = open.map(|(run, state)| format!("{run} {}", state.status())).collect();
            return Err(format!("{policy}: not over in time: {open:?}, {:?}", world.observed));
        }
    }
    world.judge().map_err(|broken| format!("{policy}: {broken}"))?;
    Ok(world.report)
}

impl World {
    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Asked(run) => {
                if !self.runs.contains_key(&run) {
                    let started = Box::new(self.started(run));
                    self.command(self.owner, run, Command::Start { started });
                    let patience = self.rng.within(50, 300);
                    self.later(patience, Happening::Asked(run));
                }
            }
            Happening::Commit { s, life, pending } => {
                if self.lives(s, life) {
                    self.commit(s, *pending);
                }
            }
            Happening::Moved { s, life } => {
                if self.lives(s, life) {
                    self.moved(s);
                }
            }
            Happening::Heard { s, life, event } => {
                if self.lives(s, life) {
                    self.heard(s, &event);
                }
            }
            Happening::TakesUp { s, life } => {
                if self.lives(s, life) && self.owner == s {
                    self.take_up(s);
                }
            }
            Happening::Ends { run, node, fence, stopped } => self.ends(run, node, fence, stopped),
            Happening::Beat => self.beat(),
            Happening::Fault => self.fault(),
        }
    }

    fn started(&self, run: RunId) -> Started {
        Started { run, policy: self.policy, ..plan::started(plan::plan(PLAN)) }
    }

    /// The executor of an attempt says how it ended, until that is in the log.
    fn ends(&mut self, run: RunId, node: u32, fence: Fence, stopped: bool) {
        let open = self.runs[&run].assignment(node).is_some_and(|open| open.fence == Some(fence));
        if !open {
            return;
        }
        self.ended.insert(fence);
        let outcome = match stopped {
            true => shipway_nodes::Outcome::Stopped,
            false => {
                let (outputs, effects) = (serde_json::Map::new(), Vec::new());
                shipway_nodes::Outcome::Succeeded { outputs, effects }
            }
        };
        self.command(self.owner, run, Command::Complete { node, fence, outcome });
        self.later(150, Happening::Ends { run, node, fence, stopped });
    }

    /// What is to stop has stopped a moment later, unless it ends by itself.
    fn beat(&mut self) {
        self.later(100, Happening::Beat);
        let mut stopping = Vec::new();
        for (run, state) in &self.runs {
            let open = state.open_attempts().filter(|open| open.attempt.stopping);
            stopping.extend(open.map(|open| (*run, open.node, open.fence)));
        }
        for (run, node, fence) in stopping {
            if self.ended.insert(fence) {
                self.later(20, Happening::Ends { run, node, fence, stopped: true });
            }
        }
    }

    /// The scheduler that has the lane dies, or falls asleep: then what it has decided may still come to the log.
    fn fault(&mut self) {
        if self.now >= self.faults_until {
            return;
        }
        let pause = self.rng.within(20, 900);
        self.later(pause, Happening::Fault);
        self.report.kills += 1;
        let s = self.owner;
        if self.rng.per_mille(700) {
            self.schedulers[s].die();
        }
        self.owner = (s + self.rng.within(1, SCHEDULERS as u64) as usize) % SCHEDULERS;
        let (s, delay) = (self.owner, self.rng.within(1, 200));
        self.later(delay, Happening::TakesUp { s, life: self.schedulers[s].life });
    }

    fn lives(&self, s: usize, life: u32) -> bool {
        self.schedulers[s].life == life
    }

    fn later(&mut self, delay: u64, happening: Happening) {
        self.serial += 1;
        self.queue.insert((self.now + delay, self.serial), happening);
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.now as i64 * 1_000)
    }

    fn broken(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }
}
