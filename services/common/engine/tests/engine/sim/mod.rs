//! Everything around the engine, simulated in one thread: two schedulers over a log that fails, conflicts and
//! loses its answers, a bus that drops, repeats and reorders, executors that crash, sleep and come back as
//! zombies, targets that count effects, a clock. All of it follows from a seed.

mod executor;
pub(crate) mod freezes;
mod judge;
mod others;
pub(crate) mod plans;
pub(crate) mod rng;
mod scheduler;
mod target;

use std::collections::BTreeMap;

use shipway_engine::{Locks, RunState};
use shipway_events::{
    Fence, Recorded, RunId, RunStatus, Timestamp,
    plan::Plan,
    run::{Event, Started},
};
use shipway_nodes::workload::Outcome;

use self::{
    executor::{Executor, Offer},
    freezes::Freeze,
    plans::Behaviour,
    rng::Rng,
    scheduler::Scheduler,
    target::Target,
};

/// How often things go wrong while they do, in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) drop: u64,
    pub(crate) duplicate: u64,
    pub(crate) append_fails: u64,
    pub(crate) lost_ack: u64,
    pub(crate) refuse: u64,
    /// Decisions that wait for others before they are committed.
    pub(crate) linger: u64,
    /// Crashes and sleeps, at each look (about three a second).
    pub(crate) crash: u64,
}

/// Where a scripted crash comes, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    BeforeIntent,
    AfterIntent,
    AfterEffect,
    AfterAck,
}

/// What is simulated.
pub(crate) struct Settings {
    pub(crate) plan: Plan,
    pub(crate) behaviours: Vec<Behaviour>,
    pub(crate) executors: usize,
    pub(crate) rates: Rates,
    /// When everything that fails by chance stops, in milliseconds.
    pub(crate) faults_until: u64,
    pub(crate) abort_at: Option<u64>,
    /// It gives way to another run when it is aborted; a person may abort it for good later.
    pub(crate) replaced: bool,
    pub(crate) crash: Option<Point>,
    pub(crate) freezes: Vec<Freeze>,
    /// Whole events are part of the trace, and have to come back from their stored form.
    pub(crate) deep: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) trace: u64,
    pub(crate) status: RunStatus,
    pub(crate) log: Vec<Recorded<Event>>,
    /// When nothing was left to do, in milliseconds.
    pub(crate) over_at: u64,
    /// Nodes that were queued, starting, waiting for a retry, running when the abort came.
    pub(crate) aborted_at: [u32; 4],
    /// From the abort to the moment when nothing of it ran, in milliseconds.
    pub(crate) stopped_after: Option<u64>,
    /// How often the effect of node 1 happened.
    pub(crate) effects: u32,
}

#[derive(Clone, Debug)]
enum Happening {
    Tick(usize),
    Beat(usize),
    Offered(Offer),
    /// To an executor, about a node's attempt that was given to one of its starts.
    Stop(usize, Fence, u32, u32),
    Said {
        executor: usize,
        fence: Fence,
        started: bool,
        node: u32,
        outcome: Outcome,
    },
    WorkEnds(Offer),
    ShimEnds(usize, u32, u64),
    Restarts(usize),
    Fault,
    Abort,
    /// A run of another flow has ended that this node wanted.
    ChildEnds(u32, RunId),
    /// A person looks at what waits for approval.
    Person,
}

struct World {
    seed: u64,
    rng: Rng,
    now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    serial: u64,
    started: Box<Started>,
    behaviours: Vec<Behaviour>,
    rates: Rates,
    faults_until: u64,
    crash: Option<Point>,
    deep: bool,
    replaced: bool,
    freezes: Vec<Freeze>,
    log: Vec<Recorded<Event>>,
    observer: RunState,
    schedulers: Vec<Scheduler>,
    executors: Vec<Executor>,
    /// Registration and last beat of each executor, in the database.
    leases: Vec<(u32, u64)>,
    target: Target,
    /// All locks, and how often they were written to.
    locks: Locks,
    lock_version: usize,
    trace: u64,
    broken: Option<String>,
    /// A person has failed a node.
    given_up: bool,
    aborted_at: [u32; 4],
    stopped_after: Option<u64>,
}

/// Everything has to be over this long after the faults, in milliseconds.
const BOUND: u64 = 120_000;

/// Plays it; the error says which promise was broken.
pub(crate) fn play(seed: u64, settings: Settings) -> Result<Report, String> {
    let mut world = World::new(seed, settings);
    let aloud = std::env::var_os("SHIPWAY_SEED").is_some();
    let mut over_at = None;
    while let Some(((now, _), happening)) = world.queue.pop_first() {
        world.now = now;
        world.trace(now);
        if aloud {
            println!("{now:>6} {happening:?}");
        }
        world.happen(happening);
        if let Some(broken) = world.broken {
            return Err(format!("at {} ms: {broken}", world.now));
        }
        if !world.observer.is_over() {
            over_at = None;
        } else if now > *over_at.get_or_insert(now) + 9_000 {
            break;
        }
        if now > world.faults_until + BOUND {
            let why = shipway_engine::why(&world.observer, world.time());
            return Err(format!("not over {BOUND} ms after the faults: {why:?}"));
        }
    }
    world.judge()?;
    Ok(Report {
        trace: world.trace,
        status: world.observer.status(),
        log: world.log,
        over_at: over_at.unwrap_or(world.now),
        aborted_at: world.aborted_at,
        stopped_after: world.stopped_after,
        effects: world.target.times(1.min(world.behaviours.len() as u32 - 1)),
    })
}

impl World {
    fn new(seed: u64, settings: Settings) -> Self {
        let mut rng = Rng::new(seed ^ 0x5317_0a7a);
        let nodes = settings.plan.nodes.len();
        let executors: Vec<Executor> = (0..settings.executors)
            .map(|_| Executor {
                registration: 1,
                up: true,
                light: rng.within(1, 5) as u32,
                heavy: rng.within(1, 3) as u32,
                ..Executor::default()
            })
            .collect();
        let mut world = Self {
            seed,
            rng,
            now: 0,
            queue: BTreeMap::new(),
            serial: 0,
            started: Box::new(crate::plan::started(settings.plan)),
            behaviours: settings.behaviours,
            rates: settings.rates,
            faults_until: settings.faults_until,
            crash: settings.crash,
            deep: settings.deep,
            replaced: settings.replaced,
            freezes: settings.freezes,
            log: Vec::new(),
            observer: RunState::new(),
            schedulers: vec![Scheduler::default(), Scheduler::default()],
            leases: vec![(1, 0); executors.len()],
            executors,
            target: Target::new(nodes),
            locks: Locks::new(),
            lock_version: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            broken: None,
            given_up: false,
            aborted_at: [0; 4],
            stopped_after: None,
        };
        (0..2).for_each(|s| world.later(s as u64 * 150, Happening::Tick(s)));
        (0..world.executors.len()).for_each(|e| world.later(100 * e as u64, Happening::Beat(e)));
        world.later(300, Happening::Fault);
        world.later(500, Happening::Person);
        if let Some(at) = settings.abort_at {
            world.later(at, Happening::Abort);
        }
        world
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tick(s) => self.tick(s),
            Happening::Beat(e) => self.beat(e),
            Happening::Offered(offer) => self.offered(offer),
            Happening::Stop(e, fence, node, registration) => self.stop(e, fence, node, registration),
            Happening::Said { executor, fence, started, node, outcome } => {
                self.said(executor, fence, started, node, outcome);
            }
            Happening::WorkEnds(offer) => self.work_ends(offer),
            Happening::ShimEnds(e, node, serial) => self.shim_ends(e, node, serial),
            Happening::Restarts(e) => self.restarts(e),
            Happening::Fault => self.fault(),
            Happening::Abort => self.abort(),
            Happening::ChildEnds(node, child) => self.child_ends(node, child),
            Happening::Person => self.person(),
        }
        if self.observer.aborting().is_some() && self.stopped_after.is_none() {
            self.note_stopped();
        }
    }

    fn fault(&mut self) {
        if self.now >= self.faults_until {
            return;
        }
        self.later(300, Happening::Fault);
        let e = self.rng.within(0, self.executors.len() as u64) as usize;
        if self.rng.per_mille(self.rates.crash) && self.executors[e].up {
            self.crash(e);
        } else if self.rng.per_mille(self.rates.crash) && self.executors[e].asleep_until < self.now {
            self.executors[e].asleep_until = self.now + self.rng.within(500, 10_000);
        } else if self.rng.per_mille(self.rates.crash) {
            let s = self.rng.within(0, 2) as usize;
            self.forget(s);
        }
    }

    /// Sends a message: it may be lost, come twice, and overtake others.
    fn send(&mut self, happening: Happening) {
        if self.faulty(self.rates.drop) {
            return;
        }
        if self.faulty(self.rates.duplicate) {
            let delay = self.rng.within(1, 900);
            self.later(delay, happening.clone());
        }
        let slow = self.faulty(self.rates.duplicate);
        let delay = if slow { self.rng.within(1, 900) } else { self.rng.within(1, 8) };
        self.later(delay, happening);
    }

    fn later(&mut self, delay: u64, happening: Happening) {
        self.serial += 1;
        self.queue.insert((self.now + delay, self.serial), happening);
    }

    /// Whether something goes wrong now, that does so many times in a thousand while there are faults.
    fn faulty(&mut self, per_mille: u64) -> bool {
        self.now < self.faults_until && per_mille > 0 && self.rng.per_mille(per_mille)
    }

    fn crashes_here(&mut self, point: Point) -> bool {
        let here = self.crash == Some(point);
        if here {
            self.crash = None;
        }
        here
    }

    /// What loops have added to the plan behaves somehow, too.
    fn grow(&mut self) {
        for node in self.behaviours.len()..self.observer.nodes().len() {
            let mut rng = Rng::new(self.seed ^ ((node as u64) << 32));
            let plan = self.observer.plan_node(node as u32).unwrap();
            self.behaviours.push(plans::behaviour(&mut rng, plan));
        }
        self.target.grow(self.behaviours.len());
    }

    fn behaves(&self, node: u32) -> Behaviour {
        self.behaviours[node as usize]
    }

    fn is_in_flight(&self, node: u32) -> bool {
        self.queue
            .values()
            .any(|happening| matches!(happening, Happening::Said { node: of, .. } if *of == node))
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.now as i64 * 1_000)
    }

    fn trace(&mut self, value: u64) {
        self.trace = (self.trace ^ value).wrapping_mul(0x0100_0000_01b3);
    }

    fn broken(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }
}

/// The state that a log adds up to.
fn fold(log: &[Recorded<Event>]) -> RunState {
    let mut state = RunState::new();
    log.iter().for_each(|recorded| state.evolve(recorded, 0));
    state
}
