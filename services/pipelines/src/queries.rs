//! Questions to the read tables.

use std::{collections::BTreeSet, time::Duration};

use shipway_eventing::views::{Views, ViewsError};
use shipway_events::{Fence, Position, ResourceId};

use crate::projections::LastReleases;

/// How long a question waits for its read model.
const PATIENCE: Duration = Duration::from_secs(10);

const LAST: &str = "SELECT fence FROM last_releases_v1 WHERE resource = $1";

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("waiting for the read model of last releases")]
    Behind(#[from] ViewsError),
    #[error("looking for a last release")]
    Database(#[from] sqlx::Error),
}

impl QueryError {
    /// When to ask again, where that is known.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Behind(error) => error.retry_after(),
            Self::Database(_) => None,
        }
    }
}

/// Whether one of these targets still has what this attempt gave it, everything up to `head` counted.
pub(crate) async fn is_last_release(
    views: &Views,
    targets: &BTreeSet<ResourceId>,
    fence: Fence,
    head: Position,
) -> Result<bool, QueryError> {
    views.wait_for(&[LastReleases::NAME], head, PATIENCE).await?;
    for target in targets {
        let last: Option<String> =
            sqlx::query_scalar(LAST).bind(target.to_string()).fetch_optional(views.pool()).await?;
        if last.and_then(|text| text.parse::<Fence>().ok()) == Some(fence) {
            return Ok(true);
        }
    }
    Ok(false)
}
