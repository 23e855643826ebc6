//! The read tables of this service. One file each, and this list.

mod releases;

use std::sync::Arc;

use shipway_eventing::feed::Projection;

pub(crate) use releases::LastReleases;

/// Every read model.
pub(crate) fn all() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(LastReleases)]
}
