//! `places`: the host of each service and addon, for a scheduler that starts.

use async_trait::async_trait;
use shipway_eventing::feed::{HandleError, Projection};
use shipway_events::{RawEvent, StreamEvent, place};
use sqlx::AnyConnection;

/// The read model of places.
pub(super) struct Places;

const SCHEMA: &[&str] = &["CREATE TABLE places_1 (
    target TEXT PRIMARY KEY, executor TEXT NOT NULL, since BIGINT NOT NULL, lost BIGINT NOT NULL)"];

const SET: &str = "INSERT INTO places_1 (target, executor, since, lost) VALUES ($1, $2, $3, 0)
    ON CONFLICT (target) DO UPDATE SET executor = excluded.executor, since = excluded.since, lost = 0";
const LOSE: &str = "UPDATE places_1 SET lost = $2 WHERE target = $1";

#[async_trait]
impl Projection for Places {
    fn name(&self) -> &'static str {
        "places"
    }

    fn version(&self) -> u32 {
        1
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["place"]
    }

    fn tables(&self) -> &'static [&'static str] {
        &["places_1"]
    }

    fn schema(&self) -> &'static [&'static str] {
        SCHEMA
    }

    async fn apply(&self, tables: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        for raw in events {
            let target = raw.stream.id().unwrap_or_default();
            let Some(recorded) = place::Event::read(raw)? else { continue };
            let executor = match recorded.event {
                place::Event::Chosen(chosen) => chosen.executor,
                place::Event::Moved(moved) => moved.to,
                place::Event::Lost(_) => {
                    sqlx::query(LOSE).bind(target).bind(raw.at.micros()).execute(&mut *tables).await?;
                    continue;
                }
            };
            sqlx::query(SET)
                .bind(target)
                .bind(executor.to_string())
                .bind(raw.at.micros())
                .execute(&mut *tables)
                .await?;
        }
        Ok(())
    }
}
