//! The ways to the executors on other machines, for what only a host knows.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use shipway_contracts::{Channel, Targets};
use shipway_events::ExecutorId;

use crate::registry::Registry;

/// A way for each executor that is there; made when first asked for.
#[derive(Default)]
pub(crate) struct Hosts(Mutex<BTreeMap<ExecutorId, (String, Channel)>>);

impl Hosts {
    /// The way to every executor that is there.
    pub(crate) fn all(&self, registry: &Registry) -> Vec<(ExecutorId, Channel)> {
        let mut ways = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let present = registry.present();
        ways.retain(|executor, _| present.iter().any(|(here, _)| here == executor));
        for (executor, intro) in present {
            if ways.get(&executor).is_some_and(|(address, _)| *address == intro.address) {
                continue;
            }
            match Targets::new(std::slice::from_ref(&intro.address)) {
                Ok((_, way)) => drop(ways.insert(executor, (intro.address, way))),
                Err(error) => tracing::warn!(%executor, %error, "an executor cannot be asked"),
            }
        }
        ways.iter().map(|(executor, (_, way))| (*executor, way.clone())).collect()
    }
}
