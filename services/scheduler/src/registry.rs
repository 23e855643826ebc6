//! Executors: who is there, how much room each has, and how each is told.
//!
//! Ownership of work is in the log (`AttemptRequested` names a registration). What is here is counted from
//! there and can be rebuilt: the room left, and which runs wait for some.

mod bells;
mod elsewhere;
mod seats;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use shipway_engine::{Free, RunState, Slots};
use shipway_events::{ExecutorId, Fence, RegistrationId, ResourceId, RunId, Timestamp};

pub use bells::{Bell, Bells};
use elsewhere::Elsewhere;
pub(crate) use elsewhere::Hold;
pub(crate) use seats::SeatView;

/// The executors that are there.
#[derive(Default)]
pub(crate) struct Registry {
    seats: Mutex<Seats>,
    bells: bells::Lines,
}

#[derive(Default)]
struct Seats {
    executors: BTreeMap<ExecutorId, Seat>,
    /// Slots that other schedulers' attempts use.
    elsewhere: Elsewhere,
    /// Where targets are; none where they have no places.
    places: Option<Arc<BTreeMap<ResourceId, ExecutorId>>>,
    /// Targets that are brought to another host: all other runs wait for that. One that released to it meanwhile would
    /// have its release replaced by what the target had when the move began.
    coming: BTreeMap<ResourceId, Coming>,
    /// How many targets each executor's host has.
    targets: BTreeMap<ExecutorId, u32>,
    waiting: VecDeque<RunId>,
    is_waiting: BTreeSet<RunId>,
    /// Processes that do not end although they were told to, by executor.
    processes: BTreeMap<ExecutorId, BTreeMap<Fence, u32>>,
}

/// What an executor says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Introduction {
    /// Its present start.
    pub(crate) registration: RegistrationId,
    /// Slots for work without a process.
    pub(crate) light: u32,
    /// Slots for work with a process.
    pub(crate) heavy: u32,
    /// What it can run.
    #[serde(default)]
    pub(crate) labels: BTreeSet<String>,
    /// Where it serves `Executors`.
    #[serde(default)]
    pub(crate) address: String,
    /// Where other hosts reach what it deploys.
    #[serde(default)]
    pub(crate) host: String,
    /// It stops: it takes nothing more.
    #[serde(default)]
    pub(crate) draining: bool,
    /// Services and addons on its host, with their public ports.
    #[serde(default)]
    pub(crate) kept: BTreeMap<ResourceId, Vec<u16>>,
}

#[derive(Debug)]
struct Seat {
    intro: Introduction,
    /// Slots that this scheduler's attempts use: light, then heavy.
    used: (u32, u32),
    /// Since when its lease is over, if it is.
    away: Option<Timestamp>,
    /// It has been silent for so long that what it was told to stop has ended: its shims see to that.
    silent: bool,
}

/// An executor that is nowhere: who waits for it waits for something else to end.
pub(crate) const NOBODY: ExecutorId = ExecutorId::new(uuid::Uuid::nil());

/// How an attempt's executor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is there.
    Here,
    /// It has started again since.
    StartedAgain,
    /// Its lease is over.
    LeaseOver,
    /// Nobody has heard of it.
    Unknown,
}

/// A move of a target to another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coming {
    /// The run that brings it.
    pub(crate) run: RunId,
    /// It is an addon, whose content comes from a backup.
    pub(crate) restores: bool,
}

/// Slots in use, by executor's start: light, then heavy.
pub(crate) type Usage = HashMap<(ExecutorId, RegistrationId), (u32, u32)>;

impl Registry {
    /// Gives an executor in this process its way to be told.
    pub(crate) fn attach(&self, executor: ExecutorId, bell: tokio::sync::mpsc::UnboundedSender<Bell>) {
        self.bells.attach(executor, bell);
    }

    /// The way to executors on other machines.
    pub(crate) fn ring_by(&self, bells: Arc<dyn Bells>) {
        self.bells.ring_by(bells);
    }

    /// Tells an executor something; it hears it at its next beat if it cannot be told now.
    pub(crate) fn ring(&self, executor: ExecutorId, bell: Bell) {
        self.bells.ring(executor, bell);
    }

    /// An executor says that it is there. Tells whether this start was not known.
    pub(crate) fn register(&self, executor: ExecutorId, intro: Introduction) -> bool {
        let mut seats = self.lock();
        match seats.executors.get_mut(&executor) {
            Some(seat) if seat.intro.registration == intro.registration => {
                (seat.intro, seat.away) = (intro, None);
                false
            }
            // A start that is over says nothing that counts.
            Some(seat) if seat.intro.registration > intro.registration => false,
            _ => {
                seats.executors.insert(executor, Seat { intro, used: (0, 0), away: None, silent: false });
                true
            }
        }
    }

    /// An executor's lease has been over since then. Tells whether that is news.
    pub(crate) fn mark_away(
        &self,
        executor: ExecutorId,
        registration: RegistrationId,
        since: Timestamp,
    ) -> bool {
        let mut seats = self.lock();
        let seat = seats.executors.get_mut(&executor);
        let Some(seat) = seat.filter(|seat| seat.intro.registration == registration && seat.away.is_none())
        else {
            return false;
        };
        seat.away = Some(since);
        seats.elsewhere.forget(executor);
        true
    }

    /// Notes whether an executor has been silent for so long that what it was told to stop has ended. Tells whether it is
    /// news that it has.
    pub(crate) fn note_silence(&self, executor: ExecutorId, silent: bool) -> bool {
        let mut seats = self.lock();
        let Some(seat) = seats.executors.get_mut(&executor) else { return false };
        std::mem::replace(&mut seat.silent, silent) != silent && silent
    }

    /// Whether an executor has been silent for so long that what it was told to stop has ended.
    pub(crate) fn is_silent(&self, executor: ExecutorId) -> bool {
        self.lock().executors.get(&executor).is_some_and(|seat| seat.silent)
    }

    /// What an executor's present start said of itself.
    pub(crate) fn introduction(&self, executor: ExecutorId) -> Option<Introduction> {
        self.lock().executors.get(&executor).map(|seat| seat.intro.clone())
    }

    /// Since when an executor's lease is over; none while it is not, or nobody has heard of it.
    pub(crate) fn away_since(&self, executor: ExecutorId) -> Option<Timestamp> {
        self.lock().executors.get(&executor)?.away
    }

    /// Every executor that is there.
    pub(crate) fn present(&self) -> Vec<(ExecutorId, Introduction)> {
        let seats = self.lock();
        let here = seats.executors.iter().filter(|(_, seat)| seat.away.is_none());
        here.map(|(executor, seat)| (*executor, seat.intro.clone())).collect()
    }

    /// The executor that would take one more target: with all these labels, and the fewest targets.
    pub(crate) fn roomiest(&self, labels: &[String]) -> Option<ExecutorId> {
        let seats = self.lock();
        let fits = |seat: &Seat| {
            let has = |label: &String| seat.intro.labels.contains(label);
            seat.away.is_none() && !seat.intro.draining && labels.iter().all(has)
        };
        let here = seats.executors.iter().filter(|(_, seat)| fits(seat)).map(|(executor, _)| *executor);
        here.min_by_key(|executor| (seats.targets.get(executor).copied().unwrap_or_default(), *executor))
    }

    /// The executor of the host that a target is on, as far as is known here.
    pub(crate) fn place(&self, target: ResourceId) -> Option<ExecutorId> {
        self.lock().places.as_ref()?.get(&target).copied()
    }

    /// How the start of an executor that an attempt was given to stands.
    pub(crate) fn standing(&self, executor: ExecutorId, registration: RegistrationId) -> Standing {
        match self.lock().executors.get(&executor) {
            None => Standing::Unknown,
            Some(seat) if seat.intro.registration > registration => Standing::StartedAgain,
            Some(seat) if seat.intro.registration < registration => Standing::Unknown,
            Some(seat) if seat.away.is_some() => Standing::LeaseOver,
            Some(_) => Standing::Here,
        }
    }

    /// Where targets are, from the read table. What is known already was heard since, and is newer.
    pub(crate) fn set_places(&self, places: BTreeMap<ResourceId, ExecutorId>) {
        let mut seats = self.lock();
        let mut known = seats.places.as_deref().cloned().unwrap_or_default();
        for (target, executor) in places {
            known.entry(target).or_insert(executor);
        }
        seats.targets.clear();
        for executor in known.values() {
            *seats.targets.entry(*executor).or_default() += 1;
        }
        seats.places = Some(Arc::new(known));
    }

    /// Where a target is, as its own stream says.
    pub(crate) fn set_place(&self, target: ResourceId, executor: ExecutorId) {
        let mut seats = self.lock();
        let places = seats.places.get_or_insert_default();
        let before = Arc::make_mut(places).insert(target, executor);
        if before == Some(executor) {
            return;
        }
        *seats.targets.entry(executor).or_default() += 1;
        if let Some(count) = before.and_then(|before| seats.targets.get_mut(&before)) {
            *count = count.saturating_sub(1);
        }
    }

    /// A target is brought to its host.
    pub(crate) fn comes(&self, target: ResourceId, coming: Coming) {
        self.lock().coming.insert(target, coming);
    }

    /// The targets that are brought to theirs.
    pub(crate) fn all_coming(&self) -> Vec<ResourceId> {
        self.lock().coming.keys().copied().collect()
    }

    /// A target is there.
    pub(crate) fn came(&self, target: ResourceId) {
        self.lock().coming.remove(&target);
    }

    /// A target could not be brought. A service may be released by others then; an addon has no content.
    pub(crate) fn did_not_come(&self, target: ResourceId) {
        let mut seats = self.lock();
        if seats.coming.get(&target).is_some_and(|coming| !coming.restores) {
            seats.coming.remove(&target);
        }
    }

    /// Lets a decision take and give back slots. Afterwards `waits` says whether the run still waits for room;
    /// the answer names runs that may have got some.
    pub(crate) fn decide<R>(
        &self,
        run: RunId,
        decide: impl FnOnce(&mut Slots) -> (R, bool),
    ) -> (R, Vec<RunId>) {
        let mut seats = self.lock();
        let mut slots = seats.slots(run);
        let before: Vec<Free> = slots.left().to_vec();
        let (result, waits) = decide(&mut slots);
        for (before, after) in before.iter().zip(slots.left()) {
            if let Some(seat) = seats.executors.get_mut(&after.executor) {
                let (light, heavy) = seat.used;
                seat.used = (
                    (light + before.light).saturating_sub(after.light),
                    (heavy + before.heavy).saturating_sub(after.heavy),
                );
            }
        }
        if waits {
            seats.wait(run);
        }
        // Only room that came free wakes others: runs that wait would else wake each other for ever.
        let (before, after) = (room(&before), room(slots.left()));
        let freed = after.0 > before.0 || after.1 > before.1;
        let woken = if freed { seats.wake(after.0 + after.1, run) } else { Vec::new() };
        (result, woken)
    }

    /// Corrects the room when what was decided was not committed, or when runs come and go: `was` is what was
    /// counted, `is` what the log says.
    pub(crate) fn correct(&self, was: &Usage, is: &Usage) {
        let mut seats = self.lock();
        for (executor, seat) in &mut seats.executors {
            let key = (*executor, seat.intro.registration);
            let ((light, heavy), (light_is, heavy_is)) =
                (was.get(&key).copied().unwrap_or_default(), is.get(&key).copied().unwrap_or_default());
            seat.used.0 = (seat.used.0 + light_is).saturating_sub(light);
            seat.used.1 = (seat.used.1 + heavy_is).saturating_sub(heavy);
        }
    }

    /// Another scheduler's attempt uses a slot.
    pub(crate) fn taken_elsewhere(&self, fence: Fence, hold: Hold) {
        self.lock().elsewhere.take(fence, hold);
    }

    /// An attempt has ended, wherever it was decided.
    pub(crate) fn freed_elsewhere(&self, fence: Fence) -> bool {
        self.lock().elsewhere.free(fence)
    }

    /// All that an executor holds for other schedulers, as it says itself.
    pub(crate) fn holds_elsewhere(&self, executor: ExecutorId, holds: Vec<(Fence, Hold)>) {
        self.lock().elsewhere.correct(executor, holds);
    }

    /// A run came to this scheduler: what its attempts use is counted with the run.
    pub(crate) fn came_here(&self, state: &RunState) {
        let mut seats = self.lock();
        for open in state.open_attempts() {
            seats.elsewhere.free(open.fence);
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

impl Seats {
    /// The room that a run finds.
    fn slots(&self, run: RunId) -> Slots {
        let here = self.executors.iter().filter(|(_, seat)| seat.away.is_none() && !seat.intro.draining);
        let free = here.map(|(executor, seat)| {
            let (light, heavy) = self.elsewhere.used(*executor, seat.intro.registration);
            Free {
                executor: *executor,
                registration: seat.intro.registration,
                light: seat.intro.light.saturating_sub(seat.used.0 + light),
                heavy: seat.intro.heavy.saturating_sub(seat.used.1 + heavy),
                labels: seat.intro.labels.clone(),
                targets: self.targets.get(executor).copied().unwrap_or_default(),
            }
        });
        let slots = Slots::new(free);
        let Some(places) = &self.places else { return slots };
        let away = self.executors.iter().filter(|(_, seat)| seat.away.is_some() || seat.intro.draining);
        let away = away.map(|(executor, seat)| (*executor, seat.intro.labels.clone())).collect();
        let mut places = Arc::clone(places);
        for (target, _) in self.coming.iter().filter(|(_, coming)| coming.run != run) {
            Arc::make_mut(&mut places).insert(*target, NOBODY);
        }
        slots.with_places(away, places)
    }

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
fn room(free: &[Free]) -> (u32, u32) {
    free.iter().fold((0, 0), |(light, heavy), free| (light + free.light, heavy + free.heavy))
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

#[cfg(test)]
mod tests {
    use shipway_engine::Needs;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn while_a_target_is_brought_to_its_host_nobody_else_touches_it() {
        let registry = Registry::default();
        let (executor, target) = (ExecutorId::new(Uuid::from_u128(1)), ResourceId::new(Uuid::from_u128(2)));
        let registration = RegistrationId::new(Uuid::from_u128(3));
        registry.register(executor, Introduction { registration, ..intro() });
        registry.set_place(target, executor);
        let (own, other) = (RunId::new(Uuid::from_u128(4)), RunId::new(Uuid::from_u128(5)));
        let needs = Needs { heavy: true, only: None, labels: &[], target: Some(target) };
        let takes = |run| registry.decide(run, |slots| (slots.take(needs).is_some(), false)).0;
        assert!(takes(other));
        for restores in [true, false] {
            registry.comes(target, Coming { run: own, restores });
            assert!(!takes(other) && takes(own));
            registry.did_not_come(target);
            assert_eq!(takes(other), !restores, "what a service has can be replaced; an addon has nothing");
            registry.came(target);
            assert!(takes(other));
        }
    }

    #[test]
    fn silence_is_news_once_and_over_with_the_next_beat() {
        let registry = Registry::default();
        let executor = ExecutorId::new(Uuid::from_u128(1));
        assert!(!registry.note_silence(executor, true), "nobody has heard of it");
        registry.register(
            executor,
            Introduction { registration: RegistrationId::new(Uuid::from_u128(3)), ..intro() },
        );
        assert!(registry.note_silence(executor, true) && registry.is_silent(executor));
        assert!(!registry.note_silence(executor, true));
        assert!(!registry.note_silence(executor, false) && !registry.is_silent(executor));
        assert!(registry.note_silence(executor, true));
    }

    fn intro() -> Introduction {
        Introduction {
            registration: RegistrationId::new(Uuid::nil()),
            light: 1,
            heavy: 9,
            labels: BTreeSet::new(),
            address: String::new(),
            host: String::new(),
            draining: false,
            kept: BTreeMap::new(),
        }
    }
}
