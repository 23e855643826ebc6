//! A simulated scheduler: it keeps runs folded, decides on what it has read, and appends a moment later.

use std::collections::{BTreeMap, BTreeSet};

use shipway_engine::{
    Command, Free, Rejection, RunState, Slots, decide_and_evolve, invariants,
    lane::{Call, LaneState, steps},
};
use shipway_events::{
    ConcurrencyPolicy, Fence, RunId,
    lane::{Event as Lane, Queued},
    run::Event,
};

use super::{Happening, World};
use crate::{
    language::Toy,
    story::{id, recorded},
};

#[derive(Default)]
pub(super) struct Scheduler {
    /// Grows with each death: what an earlier life had in mind is gone.
    pub(super) life: u32,
    /// Runs that are open here, with how much of their streams they hold.
    open: BTreeMap<RunId, (RunState, usize)>,
    /// Runs that are open here and wait.
    waiting: BTreeSet<RunId>,
    /// Runs with an append under way: one at a time.
    busy: BTreeSet<RunId>,
    /// Whether a run is asking the lane: one at a time.
    asking: bool,
    /// When it looks next whom the lane has something to say to.
    looks_at: Option<u64>,
}

/// Decided, and on its way to the log.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    run: RunId,
    command: Command,
    events: Vec<Event>,
    version: usize,
    /// The version of the lane that was decided on, if the run had to ask.
    lane: Option<usize>,
}

impl World {
    /// Decides, and sends what was decided to the log.
    pub(super) fn command(&mut self, s: usize, run: RunId, command: Command) {
        let (mut state, version) = match self.schedulers[s].open.get(&run) {
            Some((state, version)) => (state.clone(), *version),
            None => self.folded(run),
        };
        let starts = matches!(command, Command::Start { .. });
        let asks = self.policy != ConcurrencyPolicy::Allow && (starts || state.waits_for_lane());
        let scheduler = &self.schedulers[s];
        if scheduler.busy.contains(&run) || (asks && scheduler.asking) {
            // Whoever starts or completes something asks again by itself; a run's task looks at its lane when it can.
            if matches!(command, Command::Due) {
                self.look(s, 5);
            }
            return;
        }
        let lane = asks.then(|| self.observed.clone());
        let room = Free::new(id(1), id(1), 1_000, 1_000);
        let mut slots = Slots::new([room]).with_lane(lane);
        let events = match decide_and_evolve(&mut state, &command, &Toy, &mut slots, self.time()) {
            Ok(events) => events,
            Err(Rejection::NotStarted | Rejection::Ended(_) | Rejection::AlreadyStarted) => return,
            // It was decided on what is old.
            Err(_) => return self.read_again(s, run),
        };
        let scheduler = &mut self.schedulers[s];
        scheduler.note(run, &state);
        if events.is_empty() {
            scheduler.open.insert(run, (state, version));
            return;
        }
        scheduler.busy.insert(run);
        scheduler.asking |= asks;
        let lane = asks.then_some(self.lane.len());
        let pending = Box::new(Pending { run, command, events, version, lane });
        let slow = self.now < self.faults_until && self.rng.per_mille(30);
        let delay = if slow { self.rng.within(100, 1_500) } else { self.rng.within(1, 12) };
        self.later(delay, Happening::Commit { s, life: self.schedulers[s].life, pending });
    }

    /// The append arrives: all of it counts, or nothing.
    pub(super) fn commit(&mut self, s: usize, pending: Pending) {
        let Pending { run, command, events, version, lane } = pending;
        let asked = lane.is_some();
        self.schedulers[s].busy.remove(&run);
        if asked {
            self.schedulers[s].asking = false;
        }
        let here = self.streams.get(&run).map_or(0, Vec::len);
        if here != version || lane.is_some_and(|lane| lane != self.lane.len()) {
            self.report.conflicts += 1;
            self.read_again(s, run);
            if self.owner == s {
                self.command(s, run, command);
            }
            return;
        }
        let steps = steps(run, &events);
        self.append(s, run, &events);
        for step in &steps {
            self.observe(step);
        }
        self.check(run);
        let waited_for = !self.schedulers[s].waiting.is_empty();
        if !steps.is_empty() && (asked || waited_for) {
            self.look(s, 1);
        }
        for (s, event) in (0..self.schedulers.len()).flat_map(|s| steps.iter().map(move |step| (s, step))) {
            let (life, delay) = (self.schedulers[s].life, self.rng.within(5, 40));
            self.later(delay, Happening::Heard { s, life, event: event.clone() });
        }
        if self.owner != s {
            self.leave(s);
        }
    }

    fn append(&mut self, s: usize, run: RunId, events: &[Event]) {
        let (mut state, mut version) = self.folded(run);
        for event in events {
            self.position += 1;
            version += 1;
            let recorded = recorded(event.clone(), self.position, self.time());
            state.evolve(&recorded, 0);
            self.streams.entry(run).or_default().push(recorded);
            if let Event::AttemptRequested(request) = event {
                let (node, fence) = (request.node, Fence::new(0, self.position));
                let takes = self.rng.within(1, 120);
                self.later(takes, Happening::Ends { run, node, fence, stopped: false });
            }
        }
        let scheduler = &mut self.schedulers[s];
        scheduler.note(run, &state);
        scheduler.open.insert(run, (state.clone(), version));
        if let Err(broken) = invariants::check(&state) {
            self.broken(broken.to_string());
        }
        self.runs.insert(run, state);
    }

    /// Whoever the lane has something to say to hears of it, if it is here.
    pub(super) fn moved(&mut self, s: usize) {
        self.schedulers[s].looks_at = None;
        if self.owner != s {
            return self.leave(s);
        }
        for call in self.observed.calls() {
            let (run, command) = match call {
                Call::Ask(run) => (run, Command::Due),
                Call::Abort { run, by } => {
                    (run, Command::Abort { reason: format!("replaced by run {by}"), by: Some(by) })
                }
            };
            if self.schedulers[s].open.contains_key(&run) {
                self.command(s, run, command);
            }
        }
        let unheard = self.observed.calls().iter().any(|call| matches!(call, Call::Abort { .. }));
        if unheard && !self.schedulers[s].waiting.is_empty() {
            self.look(s, 200);
        }
    }

    /// Many looks that are to come are one.
    fn look(&mut self, s: usize, delay: u64) {
        let (scheduler, at) = (&mut self.schedulers[s], self.now + delay);
        if scheduler.looks_at.is_none_or(|looks| looks > at) {
            scheduler.looks_at = Some(at);
            let life = scheduler.life;
            self.later(delay, Happening::Moved { s, life });
        }
    }

    pub(super) fn heard(&mut self, s: usize, event: &Lane) {
        let is_new = |queued: &Queued| !self.schedulers[s].open.contains_key(&queued.run);
        match event {
            Lane::Queued(queued) if is_new(queued) && self.owner == s => self.open(s, queued.run),
            // Its owner opens it.
            Lane::Queued(queued) if is_new(queued) => {}
            _ if !self.schedulers[s].waiting.is_empty() => self.look(s, 1),
            _ => {}
        }
    }

    /// The lane has come here.
    pub(super) fn take_up(&mut self, s: usize) {
        let open = self.runs.iter().filter(|(_, state)| !state.is_over());
        for run in open.map(|(run, _)| *run).collect::<Vec<_>>() {
            self.open(s, run);
        }
    }

    fn open(&mut self, s: usize, run: RunId) {
        self.read_again(s, run);
        self.command(s, run, Command::Due);
        self.look(s, 1);
    }

    /// What is held of a run is what the log says: its task goes on, even if another is just asking the lane.
    fn read_again(&mut self, s: usize, run: RunId) {
        let (state, version) = self.folded(run);
        let scheduler = &mut self.schedulers[s];
        scheduler.note(run, &state);
        scheduler.open.remove(&run);
        if version > 0 {
            scheduler.open.insert(run, (state, version));
        }
    }

    /// The lane is another scheduler's: nothing is kept.
    fn leave(&mut self, s: usize) {
        self.schedulers[s].open.clear();
        self.schedulers[s].waiting.clear();
    }

    fn folded(&self, run: RunId) -> (RunState, usize) {
        let state = self.runs.get(&run).cloned().unwrap_or_default();
        (state, self.streams.get(&run).map_or(0, Vec::len))
    }

    fn observe(&mut self, step: &Lane) {
        let before = self.observed.clone();
        self.observed.evolve(step);
        self.lane.push(step.clone());
        if let Err(broken) = self.obeys(&before, step) {
            self.broken(broken);
        }
    }
}

impl Scheduler {
    pub(super) fn die(&mut self) {
        *self = Self { life: self.life + 1, ..Self::default() };
    }

    fn note(&mut self, run: RunId, state: &RunState) {
        if state.waits_for_lane() {
            self.waiting.insert(run);
        } else {
            self.waiting.remove(&run);
        }
    }
}

/// What is known of a lane once all of it has happened.
pub(super) fn fold(events: &[Lane]) -> LaneState {
    let mut lane = LaneState::default();
    events.iter().for_each(|event| lane.evolve(event));
    lane
}
