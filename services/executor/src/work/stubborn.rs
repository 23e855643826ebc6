//! Processes that do not end although they were killed: the kernel holds on to them (a disk or a file server that does not
//! answer). Nobody but a person can do something about it, so beats name them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use shipway_events::Fence;

/// Those of an executor, by their attempts' fences.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stubborn(Arc<Mutex<BTreeMap<Fence, u32>>>);

/// Names a process until it is dropped.
#[derive(Debug)]
pub(crate) struct Named {
    all: Stubborn,
    fence: Fence,
}

impl Stubborn {
    /// The process of an attempt does not end.
    pub(crate) fn name(&self, fence: Fence, process: u32) -> Named {
        self.lock().insert(fence, process);
        Named { all: self.clone(), fence }
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeMap<Fence, u32> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Fence, u32>> {
        // A number is put there whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.all.lock().remove(&self.fence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_until_it_has_ended() {
        let stubborn = Stubborn::default();
        let named = stubborn.name(Fence::from_raw(7), 4711);
        assert_eq!(stubborn.all(), BTreeMap::from([(Fence::from_raw(7), 4711)]));
        drop(named);
        assert!(stubborn.all().is_empty());
    }
}
