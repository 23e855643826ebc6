//! Room for work: which executors can take how much, and where targets are, as a decision sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use shipway_events::{ExecutorId, RegistrationId, ResourceId, run::Frozen};

use crate::{Hold, Locks, lane::LaneState};

/// An executor's room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Free {
    /// The executor.
    pub executor: ExecutorId,
    /// Its present start.
    pub registration: RegistrationId,
    /// Free slots for work without a process.
    pub light: u32,
    /// Free slots for work with a process.
    pub heavy: u32,
    /// What it says that it can run.
    pub labels: BTreeSet<String>,
    /// Services and addons that are on its host.
    pub targets: u32,
}

/// What work needs of an executor.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// A slot for work with a process.
    pub heavy: bool,
    /// The only executor that will do: it knows what an earlier attempt did.
    pub only: Option<ExecutorId>,
    /// Labels that it must have, all of them.
    pub labels: &'a [String],
    /// What it touches on a host: the host that it is on, or one for good if it is on none yet.
    pub target: Option<ResourceId>,
}

/// All executors' room. A decision takes slots for the attempts that it requests, and gives back those of the
/// attempts that it ends: count what is free *before* the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    free: Vec<Free>,
    /// Executors that are away at the moment and may come back, with their labels.
    away: BTreeMap<ExecutorId, BTreeSet<String>>,
    /// Where each target is.
    places: Arc<BTreeMap<ResourceId, ExecutorId>>,
    chosen: BTreeMap<ResourceId, ExecutorId>,
    /// The locks that nodes may want.
    locks: Locks,
    /// The lane of the run, if it was read.
    lane: Option<LaneState>,
    /// The freezes that are about the run.
    freezes: Arc<[Frozen]>,
    /// The holds and bad marks that may be about what the run releases.
    holds: Arc<[Hold]>,
    /// Whether targets have places at all: with one executor for ever they need none.
    placing: bool,
}

impl Slots {
    /// The room of these executors, in any order.
    #[must_use]
    pub fn new(executors: impl IntoIterator<Item = Free>) -> Self {
        let mut free: Vec<Free> = executors.into_iter().collect();
        free.sort_by_key(|room| (room.executor, room.registration));
        Self { free, ..Self::default() }
    }

    /// No room: nothing is assigned.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// With executors that are away and where targets are. Targets that are nowhere get a place with the first slot
    /// that is taken for them.
    #[must_use]
    pub fn with_places(
        mut self,
        away: BTreeMap<ExecutorId, BTreeSet<String>>,
        places: Arc<BTreeMap<ResourceId, ExecutorId>>,
    ) -> Self {
        (self.away, self.places, self.placing) = (away, places, true);
        self
    }

    /// With these locks, as they are.
    #[must_use]
    pub fn with_locks(mut self, locks: Locks) -> Self {
        self.locks = locks;
        self
    }

    /// With the run's lane, as it is; none where the decision is about no run that waits for its turn.
    #[must_use]
    pub fn with_lane(mut self, lane: Option<LaneState>) -> Self {
        self.lane = lane;
        self
    }

    /// With the freezes that are about the run and in force.
    #[must_use]
    pub fn with_freezes(mut self, freezes: Arc<[Frozen]>) -> Self {
        self.freezes = freezes;
        self
    }

    /// With the holds that are in force where the run is, and the bad marks.
    #[must_use]
    pub fn with_holds(mut self, holds: Arc<[Hold]>) -> Self {
        self.holds = holds;
        self
    }

    pub(crate) fn holds(&self) -> &[Hold] {
        &self.holds
    }

    pub(crate) fn freezes(&self) -> &[Frozen] {
        &self.freezes
    }

    pub(crate) const fn lane(&self) -> Option<&LaneState> {
        self.lane.as_ref()
    }

    /// The lane, as this decision leaves it.
    pub(crate) fn set_lane(&mut self, lane: LaneState) {
        self.lane = Some(lane);
    }

    /// The locks, as this decision leaves them.
    pub(crate) const fn locks_mut(&mut self) -> &mut Locks {
        &mut self.locks
    }

    /// Takes a slot of an executor that will do: for a target without a place the one with the fewest targets, else
    /// the one with the most free slots; the lowest id among equals.
    pub fn take(&mut self, needs: Needs<'_>) -> Option<(ExecutorId, RegistrationId)> {
        let target = needs.target.filter(|_| self.placing);
        let place = target.and_then(|target| self.place(target));
        let only = self.only(needs);
        let choosing = target.filter(|_| only.is_none());
        let fits = |room: &&mut Free| {
            only.is_none_or(|only| only == room.executor)
                && room.slots(needs.heavy) > 0
                && has_all(&room.labels, needs.labels)
        };
        let rank = |room: &Free| {
            let fewest = if choosing.is_some() { room.targets } else { 0 };
            (fewest, std::cmp::Reverse(room.slots(needs.heavy)), room.executor)
        };
        let room = self.free.iter_mut().filter(fits).min_by_key(|room| rank(room))?;
        *room.slots_mut(needs.heavy) -= 1;
        let taken = (room.executor, room.registration);
        if let Some(target) = target.filter(|_| place.is_none()) {
            room.targets += 1;
            self.chosen.insert(target, taken.0);
        }
        Some(taken)
    }

    /// The only executor that will do: that of an earlier attempt, or of the host that the target is on.
    fn only(&self, needs: Needs<'_>) -> Option<ExecutorId> {
        needs.only.or_else(|| needs.target.filter(|_| self.placing).and_then(|target| self.place(target)))
    }

    /// The labels of the only executor that will do, if it is here. Of one that is away nothing is said: it may come
    /// back with others, or what it holds be brought elsewhere.
    #[must_use]
    pub fn only_labels(&self, needs: Needs<'_>) -> Option<&BTreeSet<String>> {
        let only = self.only(needs)?;
        self.free.iter().rev().find(|room| room.executor == only).map(|room| &room.labels)
    }

    /// Whether any executor, here or away, could ever do this. As long as none is known, one may come.
    #[must_use]
    pub fn could(&self, needs: Needs<'_>) -> bool {
        if self.only(needs).is_some() {
            return self.only_labels(needs).is_none_or(|labels| has_all(labels, needs.labels));
        }
        let mut known = self.free.iter().map(|room| &room.labels).chain(self.away.values()).peekable();
        known.peek().is_none() || known.any(|labels| has_all(labels, needs.labels))
    }

    /// Whether targets have places.
    #[must_use]
    pub const fn is_placing(&self) -> bool {
        self.placing
    }

    /// Where a target is, or will be once this decision is committed.
    #[must_use]
    pub fn place(&self, target: ResourceId) -> Option<ExecutorId> {
        self.places.get(&target).or_else(|| self.chosen.get(&target)).copied()
    }

    /// The places that were chosen here: they are to be committed with the attempts.
    #[must_use]
    pub const fn chosen(&self) -> &BTreeMap<ResourceId, ExecutorId> {
        &self.chosen
    }

    /// Gives a slot back; one of a start that is over is not.
    pub fn give_back(&mut self, executor: ExecutorId, registration: RegistrationId, heavy: bool) {
        let same = |room: &&mut Free| room.executor == executor && room.registration == registration;
        if let Some(room) = self.free.iter_mut().find(same) {
            *room.slots_mut(heavy) += 1;
        }
    }

    /// Whether any executor has room.
    #[must_use]
    pub fn any(&self, heavy: bool) -> bool {
        self.free.iter().any(|room| room.slots(heavy) > 0)
    }

    /// The room that is left, by executor.
    #[must_use]
    pub fn left(&self) -> &[Free] {
        &self.free
    }

    /// All labels of all executors, for messages.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<&str> {
        let all = self.free.iter().map(|room| &room.labels).chain(self.away.values());
        all.flatten().map(String::as_str).collect()
    }
}

fn has_all(labels: &BTreeSet<String>, needed: &[String]) -> bool {
    needed.iter().all(|label| labels.contains(label))
}

impl Free {
    /// Room without labels, on a host with no targets.
    #[must_use]
    pub const fn new(executor: ExecutorId, registration: RegistrationId, light: u32, heavy: u32) -> Self {
        Self { executor, registration, light, heavy, labels: BTreeSet::new(), targets: 0 }
    }

    const fn slots(&self, heavy: bool) -> u32 {
        if heavy { self.heavy } else { self.light }
    }

    const fn slots_mut(&mut self, heavy: bool) -> &mut u32 {
        if heavy { &mut self.heavy } else { &mut self.light }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ANY: Needs<'_> = Needs { heavy: false, only: None, labels: &[], target: None };

    fn executor(n: u128) -> ExecutorId {
        ExecutorId::new(Uuid::from_u128(n))
    }

    fn room(n: u128, light: u32, labels: &[&str], targets: u32) -> Free {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        let registration = RegistrationId::new(Uuid::from_u128(n));
        Free { labels, targets, ..Free::new(executor(n), registration, light, 0) }
    }

    fn taken(slots: &mut Slots, needs: Needs<'_>) -> Option<u128> {
        slots.take(needs).map(|(executor, _)| executor.uuid().as_u128())
    }

    #[test]
    fn only_an_executor_with_all_labels_will_do() {
        let mut slots = Slots::new([room(1, 9, &["gpu"], 0), room(2, 1, &["gpu", "eu"], 0)]);
        let labels = ["eu".to_owned(), "gpu".to_owned()];
        let needs = Needs { labels: &labels, ..ANY };
        assert_eq!(taken(&mut slots, needs), Some(2));
        assert_eq!(taken(&mut slots, needs), None, "its slots are used up");
        assert!(slots.could(needs));
        assert!(!slots.could(Needs { labels: &["us".to_owned()], ..ANY }), "nobody ever could");
    }

    #[test]
    fn what_touches_a_target_needs_the_labels_of_its_host() {
        let id = |n: u128| ResourceId::new(Uuid::from_u128(n));
        let places = BTreeMap::from([(id(7), executor(2)), (id(8), executor(1)), (id(9), executor(3))]);
        let away = BTreeMap::from([(executor(3), BTreeSet::new())]);
        let slots = Slots::new([room(1, 9, &[], 1), room(2, 9, &["gpu"], 1)]);
        let slots = slots.with_places(away, Arc::new(places));
        let labels = ["gpu".to_owned()];
        let needs = |n: u128| Needs { labels: &labels, target: Some(id(n)), ..ANY };
        assert!(slots.could(needs(7)));
        assert!(!slots.could(needs(8)), "its host is here without the label, and no other will do");
        assert!(slots.could(needs(9)), "its host is away; it may be brought elsewhere");
        assert!(slots.could(needs(10)), "it is nowhere yet");
        assert!(!slots.could(Needs { labels: &labels, only: Some(executor(1)), ..ANY }));
    }

    #[test]
    fn one_that_is_away_may_come_back_and_where_nobody_is_known_anybody_may_come() {
        let labels = ["gpu".to_owned()];
        let needs = Needs { labels: &labels, ..ANY };
        assert!(Slots::none().could(needs));
        let away = BTreeMap::from([(executor(2), BTreeSet::from(["gpu".to_owned()]))]);
        let mut slots = Slots::new([room(1, 9, &[], 0)]).with_places(away, Arc::default());
        assert!(slots.could(needs));
        assert_eq!(taken(&mut slots, needs), None);
    }

    #[test]
    fn a_target_is_placed_where_fewest_are_and_stays_there() {
        let target = |n: u128| Needs { target: Some(ResourceId::new(Uuid::from_u128(n))), ..ANY };
        let places = BTreeMap::from([(ResourceId::new(Uuid::from_u128(7)), executor(1))]);
        let mut slots = Slots::new([room(1, 9, &[], 3), room(2, 2, &[], 1)])
            .with_places(BTreeMap::new(), Arc::new(places));
        assert_eq!(taken(&mut slots, target(7)), Some(1), "it has a place");
        assert_eq!(taken(&mut slots, target(8)), Some(2), "fewest targets are there");
        assert_eq!(taken(&mut slots, target(8)), Some(2), "chosen once");
        assert_eq!(taken(&mut slots, target(8)), None, "its host has no room; no other will do");
        assert_eq!(taken(&mut slots, target(9)), Some(1));
        assert_eq!(slots.chosen().len(), 2, "only what was chosen here is to be recorded");
    }

    #[test]
    fn without_places_a_target_goes_where_most_room_is() {
        let target = Needs { target: Some(ResourceId::new(Uuid::from_u128(7))), ..ANY };
        let mut slots = Slots::new([room(1, 1, &[], 0), room(2, 5, &[], 9)]);
        assert_eq!(taken(&mut slots, target), Some(2));
        assert!(slots.chosen().is_empty());
    }
}
