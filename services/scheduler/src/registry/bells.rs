//! How executors are told: at once where that can be, else at their next beat.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use shipway_contracts::v1;
use shipway_events::{ExecutorId, Fence};
use tokio::sync::mpsc;

/// What an executor is told without having asked. Losing one loses nothing: the next beat says the same.
#[derive(Clone, Debug)]
pub enum Bell {
    /// Here is work.
    Assign(v1::Assignment),
    /// Stop the attempt of this fence.
    Stop(Fence),
    /// Ask what is new.
    Ask,
}

/// The way to executors on other machines. It must not wait.
pub trait Bells: Send + Sync + 'static {
    /// Tells an executor something.
    fn ring(&self, executor: ExecutorId, bell: Bell);
}

#[derive(Default)]
pub(super) struct Lines {
    here: Mutex<HashMap<ExecutorId, mpsc::UnboundedSender<Bell>>>,
    others: OnceLock<Arc<dyn Bells>>,
}

impl Lines {
    pub(super) fn attach(&self, executor: ExecutorId, bell: mpsc::UnboundedSender<Bell>) {
        self.here.lock().unwrap_or_else(PoisonError::into_inner).insert(executor, bell);
    }

    pub(super) fn ring_by(&self, bells: Arc<dyn Bells>) {
        // Only the first way counts; a second would be a mistake of the caller's.
        let _ = self.others.set(bells);
    }

    pub(super) fn ring(&self, executor: ExecutorId, bell: Bell) {
        let line = self.here.lock().unwrap_or_else(PoisonError::into_inner).get(&executor).cloned();
        match (line, self.others.get()) {
            // A closed line belongs to an executor that is going away.
            (Some(line), _) => drop(line.send(bell)),
            (None, Some(others)) => others.ring(executor, bell),
            (None, None) => {}
        }
    }
}
