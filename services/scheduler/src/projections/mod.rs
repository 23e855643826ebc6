//! The scheduler's read tables. One file each, and this list.

mod deployed;
mod runs;

use shipway_eventing::views::Projection;

/// Every read model of the scheduler.
pub(crate) fn all() -> Vec<Box<dyn Projection>> {
    vec![Box::new(runs::Runs), Box::new(deployed::Deployed)]
}
