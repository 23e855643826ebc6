//! How executors stand, for whoever asks why something waits.

use std::collections::{BTreeMap, BTreeSet};

use shipway_events::{ExecutorId, Fence, ResourceId, Timestamp};

use super::{Coming, Registry};

/// An executor as it is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeatView {
    pub(crate) executor: ExecutorId,
    pub(crate) labels: BTreeSet<String>,
    /// Since when its lease is over, if it is.
    pub(crate) away: Option<Timestamp>,
    /// It stops: it takes nothing more.
    pub(crate) draining: bool,
    /// How many slots it has: light, then heavy.
    pub(crate) slots: (u32, u32),
}

impl Registry {
    /// Every executor that has been heard of.
    pub(crate) fn seats(&self) -> Vec<SeatView> {
        let seats = self.lock();
        let view = |(executor, seat): (&ExecutorId, &super::Seat)| SeatView {
            executor: *executor,
            labels: seat.intro.labels.clone(),
            away: seat.away,
            draining: seat.intro.draining,
            slots: (seat.intro.light, seat.intro.heavy),
        };
        seats.executors.iter().map(view).collect()
    }

    /// The moves that go on, by their target.
    pub(crate) fn coming(&self) -> BTreeMap<ResourceId, Coming> {
        self.lock().coming.clone()
    }

    /// Which processes of an executor do not end although they were told to, as it says itself.
    pub(crate) fn note_processes(&self, executor: ExecutorId, processes: BTreeMap<Fence, u32>) {
        let mut seats = self.lock();
        if processes.is_empty() {
            seats.processes.remove(&executor);
        } else {
            seats.processes.insert(executor, processes);
        }
    }

    /// The process of an attempt that does not end although it was told to.
    pub(crate) fn process(&self, executor: ExecutorId, fence: Fence) -> Option<u32> {
        self.lock().processes.get(&executor)?.get(&fence).copied()
    }
}
