//! Simulated executors: they start what they are offered, say how it ended until they are heard, die, sleep
//! through their lease and wake as zombies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, json};
use shipway_events::{EffectClass, Fence};
use shipway_nodes::workload::Outcome;

use super::{Happening, World, plans::Ends};
use crate::language::error;

/// After so many milliseconds without a good beat an executor's work is dead, and it starts nothing.
const SELF_FENCE: u64 = 4_000;

/// What an executor is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) executor: usize,
    pub(crate) registration: u32,
    pub(crate) node: u32,
    pub(crate) fence: Fence,
    pub(crate) number: u32,
    pub(crate) class: EffectClass,
    pub(crate) detached: bool,
}

#[derive(Default)]
pub(crate) struct Executor {
    pub(crate) registration: u32,
    pub(crate) up: bool,
    pub(crate) asleep_until: u64,
    pub(crate) last_good_beat: u64,
    pub(crate) light: u32,
    pub(crate) heavy: u32,
    /// What it works on.
    pub(crate) held: BTreeMap<Fence, Offer>,
    /// What it has to say until it is heard.
    pub(crate) outbox: BTreeMap<(Fence, bool), (u32, Outcome)>,
    /// What it will never start.
    pub(crate) known: BTreeSet<Fence>,
    /// The processes of `checked` and `once` work, by node, and their records: they outlive the executor.
    pub(crate) shims: BTreeMap<u32, Shim>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shim {
    pub(crate) state: ShimState,
    serial: u64,
    offer: Offer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShimState {
    Running,
    Done,
    Failed,
    Dead,
}

impl World {
    /// A beat: the executor says what it has and hears what to hold and what to stop.
    pub(crate) fn beat(&mut self, e: usize) {
        self.later(700, Happening::Beat(e));
        if !self.executors[e].up || self.executors[e].asleep_until > self.now || self.faulty(self.rates.drop)
        {
            return;
        }
        self.sweep_shims(e);
        if self.executors[e].last_good_beat + SELF_FENCE < self.now {
            self.register_again(e);
        }
        let keeps_hearing = !self.faulty(self.rates.drop);
        self.leases[e] = (self.executors[e].registration, self.now);
        if keeps_hearing {
            self.executors[e].last_good_beat = self.now;
            self.answer_beat(e);
        }
        let unheard: Vec<_> = self.executors[e].outbox.keys().copied().collect();
        for (fence, started) in unheard {
            self.say(e, fence, started);
        }
    }

    /// An offer arrives.
    pub(crate) fn offered(&mut self, offer: Offer) {
        let e = offer.executor;
        let executor = &self.executors[e];
        let fence = offer.fence;
        let ready =
            executor.up && executor.asleep_until <= self.now && executor.registration == offer.registration;
        let alive = executor.last_good_beat + SELF_FENCE >= self.now;
        if !ready || !alive || executor.held.contains_key(&fence) || executor.known.contains(&fence) {
            return;
        }
        if self.faulty(self.rates.refuse) {
            return self.finish(offer, Outcome::Refused { reason: "no room".to_owned() });
        }
        if offer.detached {
            self.executors[e]
                .outbox
                .insert((fence, true), (offer.node, Outcome::Started { outputs: Map::new() }));
            self.say(e, fence, true);
        }
        self.executors[e].held.insert(fence, offer);
        match offer.class {
            EffectClass::Keyed | EffectClass::Fenced => self.work(offer, Happening::WorkEnds(offer)),
            EffectClass::Checked | EffectClass::Once => self.start_shim(offer),
        }
    }

    /// Work without a shim ends, in the executor.
    pub(crate) fn work_ends(&mut self, offer: Offer) {
        let executor = &self.executors[offer.executor];
        if executor.asleep_until > self.now {
            let wait = executor.asleep_until - self.now + 1;
            return self.later(wait, Happening::WorkEnds(offer));
        }
        if executor.registration == offer.registration && executor.held.contains_key(&offer.fence) {
            let outcome = self.do_it(offer);
            if self.executors[offer.executor].up {
                self.finish(offer, outcome);
            }
        }
    }

    /// A shim's process ends, whatever its executor does.
    pub(crate) fn shim_ends(&mut self, e: usize, node: u32, serial: u64) {
        self.sweep_shims(e);
        let Some(shim) = self.executors[e].shims.get(&node).copied() else { return };
        if shim.serial != serial || shim.state != ShimState::Running {
            return;
        }
        let outcome = self.do_it(shim.offer);
        let well = matches!(outcome, Outcome::Succeeded { .. });
        let state = if well { ShimState::Done } else { ShimState::Failed };
        self.executors[e].shims.insert(node, Shim { state, ..shim });
        let executor = &self.executors[e];
        let holder = executor.held.values().find(|held| held.node == node).copied();
        match holder {
            _ if !executor.up => {}
            Some(holder) => self.finish(holder, outcome),
            None if shim.offer.class == EffectClass::Once => self.finish(shim.offer, outcome),
            None => {}
        }
    }

    /// The executor is told to stop an attempt, or to drop one that is not open any more.
    ///
    /// A start answers only for what was given to it, and for what it found still running from before.
    pub(crate) fn stop(&mut self, e: usize, fence: Fence, node: u32, registration: u32) {
        self.sweep_shims(e);
        let survives = self.survives(e, node, fence);
        let executor = &mut self.executors[e];
        if !executor.up || executor.asleep_until > self.now || executor.outbox.contains_key(&(fence, false)) {
            return;
        }
        match executor.held.get(&fence).copied() {
            Some(offer) => {
                let others = executor.held.values().any(|held| held.node == node && held.fence != fence);
                if let Some(shim) = executor.shims.get_mut(&node).filter(|_| !others)
                    && shim.state == ShimState::Running
                {
                    shim.state = ShimState::Dead;
                }
                self.finish(offer, Outcome::Stopped);
            }
            None if survives => {
                self.kill_by_hand(node);
                self.executors[e].outbox.insert((fence, false), (node, Outcome::Stopped));
                self.say(e, fence, false);
            }
            None if registration == executor.registration && executor.known.insert(fence) => {
                let outcome = Outcome::Refused { reason: "told to stop before it started".to_owned() };
                executor.outbox.insert((fence, false), (node, outcome));
                self.say(e, fence, false);
            }
            None => {}
        }
    }

    /// `kill -9`, at times of the whole host, then a new start.
    pub(crate) fn crash(&mut self, e: usize) {
        let host_too = self.rng.per_mille(300);
        let in_flight: Vec<Offer> = self.executors[e].held.values().copied().collect();
        for offer in in_flight {
            let keeps_going = matches!(offer.class, EffectClass::Keyed | EffectClass::Fenced);
            if keeps_going && self.behaves(offer.node).ends == Ends::Well && self.rng.per_mille(500) {
                self.target.apply(offer.class, offer.node, offer.fence);
            }
        }
        let executor = &mut self.executors[e];
        executor.up = false;
        executor.held.clear();
        executor.outbox.clear();
        executor.known.clear();
        for shim in executor.shims.values_mut().filter(|shim| host_too && shim.state == ShimState::Running) {
            shim.state = ShimState::Dead;
        }
        let pause = self.rng.within(50, 3_000);
        self.later(pause, Happening::Restarts(e));
    }

    pub(crate) fn restarts(&mut self, e: usize) {
        self.sweep_shims(e);
        let remembers = self.rng.per_mille(500);
        let executor = &mut self.executors[e];
        executor.up = true;
        executor.registration += 1;
        executor.last_good_beat = self.now;
        self.leases[e] = (executor.registration, self.now);
        let of_once = |shim: &&Shim| shim.offer.class == EffectClass::Once;
        let records: Vec<Shim> = executor.shims.values().filter(of_once).copied().collect();
        for shim in records.into_iter().filter(|_| remembers) {
            match shim.state {
                ShimState::Done => self.finish(shim.offer, well(shim.offer.node)),
                ShimState::Failed => self.finish(shim.offer, badly(true)),
                ShimState::Running | ShimState::Dead => {}
            }
        }
    }

    /// Whether a process of the node may still change the world.
    pub(crate) fn is_at_work(&self, node: u32) -> bool {
        self.executors.iter().any(|executor| {
            let shim = executor.shims.get(&node).is_some_and(|shim| shim.state == ShimState::Running);
            shim && executor.last_good_beat + SELF_FENCE >= self.now
        })
    }

    /// Whether a process of this attempt, or of an earlier one at the same effect, goes on although the executor's
    /// start that had it is over.
    pub(crate) fn survives(&self, e: usize, node: u32, fence: Fence) -> bool {
        let executor = &self.executors[e];
        let shim = executor.shims.get(&node).filter(|shim| shim.state == ShimState::Running);
        shim.is_some_and(|shim| shim.offer.fence <= fence) && executor.last_good_beat + SELF_FENCE >= self.now
    }

    /// A person ends what still runs of a node.
    pub(crate) fn kill_by_hand(&mut self, node: u32) {
        let shims = self.executors.iter_mut().filter_map(|executor| executor.shims.get_mut(&node));
        for shim in shims.filter(|shim| shim.state == ShimState::Running) {
            shim.state = ShimState::Dead;
        }
    }

    /// The scheduler has heard it.
    pub(crate) fn heard(&mut self, e: usize, fence: Fence, started: bool) {
        self.executors[e].outbox.remove(&(fence, started));
    }

    fn register_again(&mut self, e: usize) {
        let forgets = self.rng.per_mille(500);
        let executor = &mut self.executors[e];
        executor.registration += 1;
        executor.held.clear();
        if forgets {
            executor.outbox.clear();
        }
    }

    fn sweep_shims(&mut self, e: usize) {
        let executor = &mut self.executors[e];
        if executor.last_good_beat + SELF_FENCE < self.now {
            for shim in executor.shims.values_mut().filter(|shim| shim.state == ShimState::Running) {
                shim.state = ShimState::Dead;
            }
        }
    }

    fn start_shim(&mut self, offer: Offer) {
        let executor = &self.executors[offer.executor];
        let known = executor.shims.get(&offer.node).map(|shim| shim.state);
        match (offer.class, known) {
            (EffectClass::Checked, _) if self.target.times(offer.node) > 0 => {
                self.finish(offer, well(offer.node))
            }
            (_, Some(ShimState::Done)) => self.finish(offer, well(offer.node)),
            (_, Some(ShimState::Running)) => {}
            _ => {
                self.serial += 1;
                let serial = self.serial;
                let shim = Shim { state: ShimState::Running, serial, offer };
                self.executors[offer.executor].shims.insert(offer.node, shim);
                self.work(offer, Happening::ShimEnds(offer.executor, offer.node, serial));
            }
        }
    }

    fn work(&mut self, offer: Offer, end: Happening) {
        let behaviour = self.behaves(offer.node);
        if behaviour.ends != Ends::Not {
            self.later(behaviour.takes, end);
        }
    }

    fn do_it(&mut self, offer: Offer) -> Outcome {
        match self.behaves(offer.node).ends {
            Ends::Badly { transient } => return badly(transient),
            Ends::WellAfter(attempts) if offer.number <= attempts => return badly(true),
            _ => {}
        }
        if !self.target.apply(offer.class, offer.node, offer.fence) {
            return Outcome::Failed { error: error("stale", "the target has seen a higher fence", false) };
        }
        if self.crashes_here(super::Point::AfterEffect) {
            self.crash(offer.executor);
        }
        well(offer.node)
    }

    fn finish(&mut self, offer: Offer, outcome: Outcome) {
        let executor = &mut self.executors[offer.executor];
        executor.held.remove(&offer.fence);
        executor.known.insert(offer.fence);
        executor.outbox.insert((offer.fence, false), (offer.node, outcome));
        self.say(offer.executor, offer.fence, false);
    }

    fn say(&mut self, e: usize, fence: Fence, started: bool) {
        let Some((node, outcome)) = self.executors[e].outbox.get(&(fence, started)).cloned() else { return };
        self.send(Happening::Said { executor: e, fence, started, node, outcome });
    }
}

fn well(node: u32) -> Outcome {
    let outputs = Map::from_iter([("flag".to_owned(), json!(node.is_multiple_of(2)))]);
    Outcome::Succeeded { outputs, effects: Vec::new() }
}

fn badly(transient: bool) -> Outcome {
    Outcome::Failed { error: error("broken", "it broke", transient) }
}
