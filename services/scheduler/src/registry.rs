//! Executors: who is there, how much room each has, and how each is told.
//!
//! Ownership of work is in the log (`AttemptRequested` names a registration). What is here is counted from
//! there and can be rebuilt: the room left, and which runs wait for some.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use shipway_contracts::v1;
use shipway_engine::{Free, RunState, Slots};
use shipway_events::{ExecutorId, Fence, RegistrationId, RunId};
use tokio::sync::mpsc;

/// What an executor is told without having asked. Losing one loses nothing: the next beat says the same.
#[derive(Clone, Debug)]
pub enum Bell {
    /// Here is work.
    Assign(v1::Assignment),
    /// Stop the attempt of this fence.
    Stop(Fence),
}

/// The executors that are there.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    executors: BTreeMap<ExecutorId, Seat>,
    waiting: VecDeque<RunId>,
    is_waiting: BTreeSet<RunId>,
}

#[derive(Debug)]
struct Seat {
    registration: RegistrationId,
    light: u32,
    heavy: u32,
    bell: Option<mpsc::UnboundedSender<Bell>>,
}

/// Slots in use, by executor's start: light, then heavy.
pub(crate) type Usage = HashMap<(ExecutorId, RegistrationId), (u32, u32)>;

impl Registry {
    /// Gives an executor its way to be told.
    pub(crate) fn attach(&self, executor: ExecutorId, bell: mpsc::UnboundedSender<Bell>) {
        let mut seats = self.lock();
        let seat = seats.executors.entry(executor).or_insert_with(Seat::absent);
        seat.bell = Some(bell);
    }

    /// An executor has started, with all its room free. Tells whether this start was not known.
    pub(crate) fn register(
        &self,
        executor: ExecutorId,
        registration: RegistrationId,
        light: u32,
        heavy: u32,
    ) -> bool {
        let mut seats = self.lock();
        let seat = seats.executors.entry(executor).or_insert_with(Seat::absent);
        if seat.registration == registration {
            return false;
        }
        (seat.registration, seat.light, seat.heavy) = (registration, light, heavy);
        true
    }

    /// Whether this is the executor's present start.
    pub(crate) fn knows(&self, executor: ExecutorId, registration: RegistrationId) -> bool {
        self.lock().executors.get(&executor).is_some_and(|seat| seat.registration == registration)
    }

    /// Lets a decision take and give back slots. Afterwards `waits` says whether the run still waits for room;
    /// the answer names runs that may have got some.
    pub(crate) fn decide<R>(
        &self,
        run: RunId,
        decide: impl FnOnce(&mut Slots) -> (R, bool),
    ) -> (R, Vec<RunId>) {
        let mut seats = self.lock();
        let mut slots = Slots::new(seats.executors.iter().map(|(executor, seat)| Free {
            executor: *executor,
            registration: seat.registration,
            light: seat.light,
            heavy: seat.heavy,
        }));
        let before = room(&slots);
        let (result, waits) = decide(&mut slots);
        let after = room(&slots);
        for left in slots.left() {
            if let Some(seat) = seats.executors.get_mut(&left.executor) {
                (seat.light, seat.heavy) = (left.light, left.heavy);
            }
        }
        if waits {
            seats.wait(run);
        }
        // Only room that came free wakes others: runs that wait would else wake each other for ever.
        let freed = after.0 > before.0 || after.1 > before.1;
        let woken = if freed { seats.wake(after.0 + after.1, run) } else { Vec::new() };
        (result, woken)
    }

    /// Corrects the room when what was decided was not committed: `was` is what the decision used, `is` what
    /// the log says.
    pub(crate) fn correct(&self, was: &Usage, is: &Usage) {
        let mut seats = self.lock();
        for (executor, seat) in &mut seats.executors {
            let key = (*executor, seat.registration);
            let ((light, heavy), (light_is, heavy_is)) =
                (was.get(&key).copied().unwrap_or_default(), is.get(&key).copied().unwrap_or_default());
            seat.light = (seat.light + light).saturating_sub(light_is);
            seat.heavy = (seat.heavy + heavy).saturating_sub(heavy_is);
        }
    }

    /// Tells an executor something; it hears it at its next beat if it cannot be told now.
    pub(crate) fn ring(&self, executor: ExecutorId, bell: Bell) {
        let seats = self.lock();
        if let Some(line) = seats.executors.get(&executor).and_then(|seat| seat.bell.as_ref()) {
            // A closed line belongs to an executor that is going away.
            let _ = line.send(bell);
        }
    }

    /// Runs that wait for room, oldest first: all of them, to be tried again.
    pub(crate) fn take_waiting(&self) -> Vec<RunId> {
        let mut seats = self.lock();
        seats.is_waiting.clear();
        seats.waiting.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        // A panic in a decision leaves counts that the next reload corrects.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    const fn absent() -> Self {
        Self { registration: RegistrationId::new(uuid::Uuid::nil()), light: 0, heavy: 0, bell: None }
    }
}

impl Seats {
    fn wait(&mut self, run: RunId) {
        if self.is_waiting.insert(run) {
            self.waiting.push_back(run);
        }
    }

    /// As many waiting runs as there is room for, but not the one that has just been decided.
    fn wake(&mut self, room: u32, just_decided: RunId) -> Vec<RunId> {
        let mut woken = Vec::new();
        for _ in 0..self.waiting.len() {
            let Some(run) = self.waiting.pop_front() else { break };
            if run == just_decided || woken.len() >= room as usize {
                self.waiting.push_back(run);
            } else {
                self.is_waiting.remove(&run);
                woken.push(run);
            }
        }
        woken
    }
}

/// The room of all executors together: light, then heavy.
fn room(slots: &Slots) -> (u32, u32) {
    slots.left().iter().fold((0, 0), |(light, heavy), free| (light + free.light, heavy + free.heavy))
}

/// The slots that a run's open attempts use.
pub(crate) fn usage(state: &RunState) -> Usage {
    let mut usage = Usage::new();
    for open in state.nodes().iter().filter_map(|node| node.attempt.as_ref()) {
        let (light, heavy) = usage.entry((open.executor, open.registration)).or_default();
        *(if open.heavy { heavy } else { light }) += 1;
    }
    usage
}
