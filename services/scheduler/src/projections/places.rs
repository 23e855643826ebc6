//! `places`: the host of each service and addon, for a scheduler that starts and for whoever asks; and its move.

use async_trait::async_trait;
use shipway_eventing::feed::{HandleError, Projection};
use shipway_events::{RawEvent, StreamEvent, Timestamp, place};
use sqlx::AnyConnection;

/// The read model of places.
pub(super) struct Places;

/// `run` is the move's until it is settled, `backup` what it restores, `reason` why it failed, `again` when the next one
/// is made.
const SCHEMA: &[&str] = &["CREATE TABLE places_2 (
    target TEXT PRIMARY KEY, executor TEXT NOT NULL, since BIGINT NOT NULL, lost BIGINT NOT NULL,
    run TEXT NOT NULL, backup TEXT NOT NULL, reason TEXT NOT NULL, again BIGINT NOT NULL)"];

const SET: &str = "INSERT INTO places_2 (target, executor, since, lost, run, backup, reason, again)
    VALUES ($1, $2, $3, 0, $4, $5, '', 0)
    ON CONFLICT (target) DO UPDATE SET executor = excluded.executor, since = excluded.since, lost = 0,
        run = excluded.run, backup = excluded.backup, reason = '', again = 0";
const LOSE: &str = "UPDATE places_2 SET lost = $2 WHERE target = $1";
const FAIL: &str = "UPDATE places_2 SET reason = $3, again = $4 WHERE target = $1 AND run = $2";
const SETTLE: &str = "UPDATE places_2 SET run = '', reason = '', again = 0 WHERE target = $1 AND run = $2";

#[async_trait]
impl Projection for Places {
    fn name(&self) -> &'static str {
        "places"
    }

    fn version(&self) -> u32 {
        2
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["place"]
    }

    fn tables(&self) -> &'static [&'static str] {
        &["places_2"]
    }

    fn schema(&self) -> &'static [&'static str] {
        SCHEMA
    }

    async fn apply(&self, tables: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        for raw in events {
            let target = raw.stream.id().unwrap_or_default();
            let Some(recorded) = place::Event::read(raw)? else { continue };
            let query = match recorded.event {
                place::Event::Chosen(chosen) => {
                    let executor = chosen.executor.to_string();
                    sqlx::query(SET).bind(target).bind(executor).bind(raw.at.micros()).bind("").bind("")
                }
                place::Event::Moved(moved) => {
                    let (executor, run) = (moved.to.to_string(), moved.run.to_string());
                    let backup = moved.backup.unwrap_or_default();
                    sqlx::query(SET).bind(target).bind(executor).bind(raw.at.micros()).bind(run).bind(backup)
                }
                place::Event::Lost(_) => sqlx::query(LOSE).bind(target).bind(raw.at.micros()),
                place::Event::Returned(_) => sqlx::query(LOSE).bind(target).bind(0_i64),
                place::Event::MoveFailed(failed) => {
                    let again = failed.again_at.map_or(0, Timestamp::micros);
                    let run = failed.run.to_string();
                    sqlx::query(FAIL).bind(target).bind(run).bind(failed.reason).bind(again)
                }
                place::Event::Settled(settled) => {
                    sqlx::query(SETTLE).bind(target).bind(settled.run.to_string())
                }
            };
            query.execute(&mut *tables).await?;
        }
        Ok(())
    }
}
