//! What an executor holds: which work waits for a slot, which is being done, and which is done with. No I/O here.

use std::collections::{BTreeMap, BTreeSet};

use shipway_events::{Fence, RegistrationId, RunId};
use shipway_nodes::{Outcome, Workload};
use tokio_util::sync::CancellationToken;

use crate::assignment::Assignment;

/// How many fences that are done with are remembered, so that a repeated offer of one is not taken.
const REMEMBERED: usize = 65_536;

/// How many outcomes that nobody took are remembered.
const REMEMBERED_OUTCOMES: usize = 1_024;

/// All of it.
pub(crate) struct Holdings {
    held: BTreeMap<Fence, Held>,
    /// Those of `held` that have not been started, in the order in which they were asked for.
    waiting: BTreeSet<Fence>,
    /// Finished, refused, or confirmed stopped: never started (again).
    done: BTreeSet<Fence>,
    /// Outcomes that nobody took. Whoever offers such work again is told again.
    untaken: BTreeMap<Fence, Outcome>,
    /// Whether those up to here are done with is not remembered any more.
    forgotten: Fence,
    registration: Option<RegistrationId>,
    labels: BTreeSet<String>,
    heavy_slots: u32,
    heavy: u32,
    draining: Option<Draining>,
}

/// What is done with new work while an executor stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draining {
    /// Another executor may take it.
    GiveBack,
    /// There is no other: the next start of this one is asked.
    Leave,
}

struct Held {
    signals: Signals,
    light: bool,
    heavy: bool,
    place: (RunId, u32),
    /// It has been started, and has its slot.
    running: bool,
    waiting: Option<Assignment>,
}

/// How running work is told to end.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// The scheduler wants it stopped.
    pub(crate) stop: CancellationToken,
    /// That, or the lease has ended.
    pub(crate) over: CancellationToken,
}

/// What becomes of an offer.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is held, and started in its turn.
    Held,
    /// Nothing: it is held already, done with, or another start's.
    Known,
    /// Never to be started here, which the scheduler should know.
    GiveBack(String),
}

/// Work to be started now.
pub(crate) type Ready = (Assignment, Signals);

impl Holdings {
    pub(crate) fn new(heavy_slots: u32, labels: BTreeSet<String>) -> Self {
        Self {
            held: BTreeMap::new(),
            waiting: BTreeSet::new(),
            done: BTreeSet::new(),
            untaken: BTreeMap::new(),
            forgotten: Fence::default(),
            registration: None,
            labels,
            heavy_slots: heavy_slots.max(1),
            heavy: 0,
            draining: None,
        }
    }

    /// Nobody took this outcome: the attempt was given up, or the scheduler that was asked did not know of it.
    pub(crate) fn was_refused(&mut self, fence: Fence, outcome: Outcome) {
        self.untaken.insert(fence, outcome);
        if self.untaken.len() > REMEMBERED_OUTCOMES {
            self.untaken.pop_first();
        }
    }

    /// The outcome of work that is offered although it is done, because nobody had taken the outcome.
    pub(crate) fn untaken(&mut self, fence: Fence) -> Option<Outcome> {
        self.untaken.remove(&fence)
    }

    /// Only what was given to this start is taken from now on.
    pub(crate) fn registered(&mut self, registration: RegistrationId) {
        self.registration = Some(registration);
    }

    /// Holds the work, if it is this executor's to do.
    pub(crate) fn take(&mut self, assignment: Assignment) -> Verdict {
        let fence = assignment.fence;
        let others =
            assignment.registration.is_some_and(|given| self.registration.is_some_and(|own| own != given));
        if others || self.held.contains_key(&fence) || self.done.contains(&fence) {
            return Verdict::Known;
        }
        let missing = assignment.labels.difference(&self.labels).next();
        if let Some(label) = missing {
            let reason = format!("the executor does not have the label `{label}`");
            return self.give_back(fence, reason);
        }
        if fence <= self.forgotten {
            // It may have been done long ago. If so, the scheduler knows, and this changes nothing.
            return self.give_back(fence, "the executor was offered it too late".to_owned());
        }
        match self.draining {
            Some(Draining::Leave) => return Verdict::Known,
            Some(Draining::GiveBack) => return self.give_back(fence, "the executor is stopping".to_owned()),
            None => {}
        }
        let stop = CancellationToken::new();
        let held = Held {
            signals: Signals { over: stop.child_token(), stop },
            light: matches!(assignment.work, Workload::Noop(_) | Workload::Message(_)),
            heavy: assignment.work.is_heavy(),
            place: (assignment.run, assignment.node),
            running: false,
            waiting: Some(assignment),
        };
        self.held.insert(fence, held);
        self.waiting.insert(fence);
        Verdict::Held
    }

    /// What has a slot, in the order in which it was asked for: from now on it runs.
    pub(crate) fn ready(&mut self) -> Vec<Ready> {
        let mut ready = Vec::new();
        if self.draining.is_some() || self.waiting.is_empty() {
            return ready;
        }
        let (held, heavy, slots) = (&mut self.held, &mut self.heavy, self.heavy_slots);
        self.waiting.retain(|fence| {
            let Some(entry) = held.get_mut(fence) else { return false };
            if entry.heavy && *heavy >= slots {
                return true;
            }
            entry.running = true;
            *heavy += u32::from(entry.heavy);
            ready.extend(entry.waiting.take().map(|assignment| (assignment, entry.signals.clone())));
            false
        });
        ready
    }

    /// Tells running work to end. Work that waits is handed out: it ends here and now, and that is to be confirmed.
    pub(crate) fn stop(&mut self, fence: Fence) -> Option<Assignment> {
        self.held.get(&fence)?.signals.stop.cancel();
        self.unwait(fence)
    }

    /// How work that is not held ended, which it has from now on; none if it is held.
    pub(crate) fn end(&mut self, fence: Fence) -> Option<Outcome> {
        if self.held.contains_key(&fence) {
            return None;
        }
        let outcome = self.untaken(fence).unwrap_or(Outcome::Stopped);
        self.remember(fence);
        Some(outcome)
    }

    /// The lease has ended: what runs is told, and what waits will not be started and is handed out.
    pub(crate) fn lapse(&mut self) -> Vec<Assignment> {
        self.held.values().for_each(|held| held.signals.over.cancel());
        self.unwait_all()
    }

    /// From now on nothing is started. What waits is handed out if it is to be given back.
    pub(crate) fn drain(&mut self, how: Draining) -> Vec<Assignment> {
        self.draining = Some(how);
        if how == Draining::GiveBack { self.unwait_all() } else { Vec::new() }
    }

    /// It is done with, and whoever had to know knows.
    pub(crate) fn finish(&mut self, fence: Fence) {
        if let Some(held) = self.held.remove(&fence) {
            self.waiting.remove(&fence);
            self.heavy -= u32::from(held.heavy && held.running);
        }
        self.remember(fence);
    }

    /// All fences, rising.
    pub(crate) fn fences(&self) -> Vec<Fence> {
        self.held.keys().copied().collect()
    }

    /// Whether an attempt of that node is held.
    pub(crate) fn works_on(&self, run: RunId, node: u32) -> bool {
        self.held.values().any(|held| held.place == (run, node))
    }

    /// How many are left: short work that nothing but this process does, and the rest.
    pub(crate) fn left(&self) -> (usize, usize) {
        let light = self.held.values().filter(|held| held.light).count();
        (light, self.held.len() - light)
    }

    /// The slots in use: light, then heavy.
    pub(crate) fn used(&self) -> (u32, u32) {
        let light = self.held.values().filter(|held| held.running && !held.heavy).count();
        (u32::try_from(light).unwrap_or(u32::MAX), self.heavy)
    }

    fn unwait_all(&mut self) -> Vec<Assignment> {
        let waiting: Vec<Fence> = self.waiting.iter().copied().collect();
        waiting.into_iter().filter_map(|fence| self.unwait(fence)).collect()
    }

    fn unwait(&mut self, fence: Fence) -> Option<Assignment> {
        self.waiting.remove(&fence);
        let held = self.held.get_mut(&fence)?;
        let waiting = held.waiting.take();
        // Its end only has to be told.
        held.light |= waiting.is_some();
        waiting
    }

    fn give_back(&mut self, fence: Fence, reason: String) -> Verdict {
        self.remember(fence);
        Verdict::GiveBack(reason)
    }

    fn remember(&mut self, fence: Fence) {
        self.done.insert(fence);
        if self.done.len() > REMEMBERED {
            self.forgotten = self.done.pop_first().map_or(self.forgotten, |first| self.forgotten.max(first));
        }
    }
}

#[cfg(test)]
mod tests {
    use shipway_events::{EffectClass, ProjectId, ResourceId};
    use shipway_nodes::workload::{Build, Noop, Target};

    use super::*;

    fn given(fence: u64, work: Workload) -> Assignment {
        Assignment {
            project: ProjectId::new(uuid::Uuid::nil()),
            run: RunId::new(uuid::Uuid::nil()),
            node: 1,
            attempt: 1,
            fence: Fence::from_raw(fence),
            effect: EffectClass::Keyed,
            effect_key: fence.to_string(),
            work,
            deadline: None,
            detached: false,
            registration: None,
            labels: BTreeSet::new(),
            trace: None,
        }
    }

    #[test]
    fn an_outcome_that_nobody_took_is_told_to_who_offers_the_work_again() {
        let mut holdings = Holdings::new(1, BTreeSet::new());
        let fence = Fence::from_raw(7);
        assert_eq!(holdings.take(light(7)), Verdict::Held);
        holdings.ready();
        holdings.was_refused(fence, Outcome::Stopped);
        holdings.finish(fence);
        assert_eq!(holdings.take(light(7)), Verdict::Known, "it is not done again");
        assert_eq!(holdings.untaken(fence), Some(Outcome::Stopped));
        assert_eq!(holdings.untaken(fence), None, "it is being told");
    }

    #[test]
    fn what_nobody_wants_any_more_and_was_never_held_is_stopped_and_never_started() {
        let mut holdings = Holdings::new(1, BTreeSet::new());
        let (fence, other) = (Fence::from_raw(7), Fence::from_raw(8));
        assert_eq!(holdings.end(fence), Some(Outcome::Stopped));
        assert_eq!(holdings.take(light(7)), Verdict::Known, "it came too late");
        assert_eq!(started(&mut holdings), [0; 0]);
        holdings.was_refused(fence, Outcome::Unknown { reason: "it was refused".to_owned() });
        assert_ne!(holdings.end(fence), Some(Outcome::Stopped), "how it ended is told, if that is known");
        assert_eq!(holdings.take(light(8)), Verdict::Held);
        assert_eq!(holdings.end(other), None, "what is held by now is stopped as ever");
        assert_eq!(started(&mut holdings), [8]);
    }

    fn light(fence: u64) -> Assignment {
        given(fence, Workload::Noop(Noop::default()))
    }

    fn heavy(fence: u64) -> Assignment {
        let work = Build {
            service: Target {
                project: ProjectId::new(uuid::Uuid::nil()),
                id: ResourceId::new(uuid::Uuid::nil()),
                slug: "web".to_owned(),
            },
            build: fence.to_string(),
            repository: String::new(),
            login: None,
            branch: String::new(),
            pull_request: None,
            sha: None,
            reuse: false,
            apart: false,
            command: None,
            include: Vec::new(),
            work_dir: None,
            arguments: serde_json::Map::new(),
        };
        given(fence, Workload::Build(work))
    }

    fn holdings(slots: u32) -> Holdings {
        Holdings::new(slots, ["gpu".to_owned()].into())
    }

    fn started(holdings: &mut Holdings) -> Vec<u64> {
        holdings.ready().iter().map(|(assignment, _)| assignment.fence.raw()).collect()
    }

    fn raw(fences: &[Fence]) -> Vec<u64> {
        fences.iter().map(|fence| fence.raw()).collect()
    }

    #[test]
    fn what_has_no_slot_waits_in_order_and_is_held_all_the_same() {
        let mut all = holdings(2);
        for fence in [14, 11, 13, 12] {
            assert_eq!(all.take(heavy(fence)), Verdict::Held);
        }
        assert_eq!(all.take(light(15)), Verdict::Held);
        assert_eq!(started(&mut all), [11, 12, 15]);
        assert_eq!(raw(&all.fences()), [11, 12, 13, 14, 15]);
        assert_eq!(started(&mut all), [0; 0]);
        all.finish(Fence::from_raw(12));
        assert_eq!(started(&mut all), [13]);
        // One that is stopped while it waits is handed out, takes no slot and gives none back.
        assert_eq!(all.stop(Fence::from_raw(14)).unwrap().fence.raw(), 14);
        all.finish(Fence::from_raw(14));
        assert_eq!(all.take(heavy(16)), Verdict::Held);
        assert_eq!(started(&mut all), [0; 0]);
    }

    #[test]
    fn nothing_is_taken_that_is_done_with_or_was_given_to_an_earlier_start() {
        let mut all = holdings(1);
        assert_eq!(all.take(light(1)), Verdict::Held);
        assert_eq!(all.take(light(1)), Verdict::Known);
        all.finish(Fence::from_raw(1));
        assert_eq!(all.take(light(1)), Verdict::Known);
        let (own, earlier) = (uuid::Uuid::from_u128(2), uuid::Uuid::from_u128(1));
        all.registered(RegistrationId::new(own));
        let of = |start| Some(RegistrationId::new(start));
        assert_eq!(all.take(Assignment { registration: of(earlier), ..light(2) }), Verdict::Known);
        assert_eq!(all.take(Assignment { registration: of(own), ..light(2) }), Verdict::Held);
        let wanting = |label: &str| Assignment { labels: [label.to_owned()].into(), ..light(3) };
        assert!(matches!(all.take(wanting("arm")), Verdict::GiveBack(reason) if reason.contains("`arm`")));
        // Refused once, it is not taken later either.
        assert_eq!(all.take(light(3)), Verdict::Known);
        assert_eq!(all.take(Assignment { fence: Fence::from_raw(4), ..wanting("gpu") }), Verdict::Held);
    }

    #[test]
    fn what_is_not_remembered_any_more_is_given_back_and_not_done_again() {
        let mut all = holdings(1);
        for fence in 1..=REMEMBERED as u64 + 1 {
            all.finish(Fence::from_raw(fence));
        }
        assert_eq!(all.take(light(2)), Verdict::Known);
        assert_eq!(all.take(light(1)), Verdict::GiveBack("the executor was offered it too late".to_owned()));
    }

    #[test]
    fn a_lease_that_ended_takes_the_turn_of_what_waits_and_tells_what_runs() {
        let mut all = holdings(1);
        all.take(heavy(1));
        all.take(heavy(2));
        let running = all.ready();
        assert_eq!(all.lapse().iter().map(|given| given.fence.raw()).collect::<Vec<_>>(), [2]);
        assert!(running[0].1.over.is_cancelled() && !running[0].1.stop.is_cancelled());
        assert_eq!(started(&mut all), [0; 0]);
        assert_eq!(raw(&all.fences()), [1, 2]);
    }

    #[test]
    fn who_drains_starts_nothing_and_gives_back_what_another_can_do() {
        let mut all = holdings(1);
        all.take(heavy(1));
        all.take(heavy(2));
        assert_eq!(started(&mut all), [1]);
        assert_eq!(all.drain(Draining::GiveBack).len(), 1);
        assert!(matches!(all.take(light(3)), Verdict::GiveBack(_)));
        assert_eq!(all.left(), (1, 1));
        let mut alone = holdings(1);
        alone.take(light(1));
        assert!(alone.drain(Draining::Leave).is_empty());
        assert_eq!(alone.take(light(2)), Verdict::Known);
        assert_eq!(started(&mut alone), [0; 0]);
    }
}
