//! The scheduler's read tables. One file each, and this list.

mod deployed;
mod insight;
mod places;
mod rollbacks;
mod runs;

use std::sync::Arc;

use shipway_eventing::feed::Projection;

/// Every read model of the scheduler. Targets have places where there may be several hosts.
pub(crate) fn all(placing: bool) -> Vec<Arc<dyn Projection>> {
    let mut all: Vec<Arc<dyn Projection>> = vec![
        Arc::new(runs::Runs),
        Arc::new(deployed::Deployed),
        Arc::new(rollbacks::Rollbacks),
        Arc::new(insight::Insight),
    ];
    if placing {
        all.push(Arc::new(places::Places));
    }
    all
}

/// Their names, to wait for.
pub(crate) const fn names(placing: bool) -> &'static [&'static str] {
    match placing {
        true => &["runs", "deployed", "rollbacks", "insight", "places"],
        false => &["runs", "deployed", "rollbacks", "insight"],
    }
}
