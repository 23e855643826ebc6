//! The scheduler's read tables. One file each, and this list.

mod deployed;
mod runs;

use std::sync::Arc;

use shipway_eventing::feed::Projection;

/// Every read model of the scheduler.
pub(crate) fn all() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(runs::Runs), Arc::new(deployed::Deployed)]
}

/// Their names, to wait for.
pub(crate) const NAMES: &[&str] = &["runs", "deployed"];
