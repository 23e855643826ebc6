//! Room for work: which executors can take how much, as a decision sees it.

use shipway_events::{ExecutorId, RegistrationId};

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
}

/// All executors' room. A decision takes slots for the attempts that it requests, and gives back those of the
/// attempts that it ends: count what is free *before* the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    free: Vec<Free>,
}

impl Slots {
    /// The room of these executors, in any order.
    #[must_use]
    pub fn new(executors: impl IntoIterator<Item = Free>) -> Self {
        let mut free: Vec<Free> = executors.into_iter().collect();
        free.sort_by_key(|room| (room.executor, room.registration));
        Self { free }
    }

    /// No room: nothing is assigned.
    #[must_use]
    pub const fn none() -> Self {
        Self { free: Vec::new() }
    }

    /// Takes a slot of the executor with the most free ones (the lowest id among equals), or of the only one
    /// that will do.
    pub fn take(&mut self, heavy: bool, only: Option<ExecutorId>) -> Option<(ExecutorId, RegistrationId)> {
        let mut best: Option<&mut Free> = None;
        for room in &mut self.free {
            if only.is_none_or(|only| only == room.executor)
                && room.slots(heavy) > best.as_deref().map_or(0, |best| best.slots(heavy))
            {
                best = Some(room);
            }
        }
        let room = best?;
        *room.slots_mut(heavy) -= 1;
        Some((room.executor, room.registration))
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
}

impl Free {
    const fn slots(&self, heavy: bool) -> u32 {
        if heavy { self.heavy } else { self.light }
    }

    const fn slots_mut(&mut self, heavy: bool) -> &mut u32 {
        if heavy { &mut self.heavy } else { &mut self.light }
    }
}
