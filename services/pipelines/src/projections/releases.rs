//! `last_releases`: the attempt that gave each target what it runs. A keeper that comes back after a restart of the
//! machine asks for its secrets with this attempt's fence.

use async_trait::async_trait;
use shipway_eventing::feed::{HandleError, Projection};
use shipway_events::RawEvent;
use sqlx::AnyConnection;

use crate::fences::{effects, target};

/// The read model of last releases.
pub(crate) struct LastReleases;

impl LastReleases {
    /// Its name.
    pub(crate) const NAME: &'static str = "last_releases";
}

const SCHEMA: &[&str] = &["CREATE TABLE last_releases_v1 (
    resource TEXT PRIMARY KEY, position BIGINT NOT NULL, fence TEXT NOT NULL)"];

const RELEASED: &str = "INSERT INTO last_releases_v1 (resource, position, fence) VALUES ($1, $2, $3)
    ON CONFLICT (resource) DO UPDATE SET position = excluded.position, fence = excluded.fence
    WHERE last_releases_v1.position < excluded.position";

#[async_trait]
impl Projection for LastReleases {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [&'static str] {
        &["last_releases_v1"]
    }

    fn schema(&self) -> &'static [&'static str] {
        SCHEMA
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    async fn apply(&self, tx: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        for raw in events {
            // Most nodes have no effects, and then no such word in their event.
            if !raw.data.contains("\"effects\"") {
                continue;
            }
            let Some((fence, effects)) = effects(raw)? else { continue };
            for resource in effects.iter().filter_map(target) {
                sqlx::query(RELEASED)
                    .bind(resource.to_string())
                    .bind(raw.position.cast_signed())
                    .bind(fence.to_string())
                    .execute(&mut *tx)
                    .await?;
            }
        }
        Ok(())
    }
}
