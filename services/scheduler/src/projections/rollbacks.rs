//! `rollbacks`: which runs went back to which releases, and what addons keep from before a restore.

use async_trait::async_trait;
use shipway_eventing::feed::{HandleError, Projection};
use shipway_events::{
    RawEvent, StreamEvent,
    run::{self, Effect},
};
use sqlx::AnyConnection;

/// The read model of rollbacks.
pub(super) struct Rollbacks;

/// `of` and `back_to` are empty where no run is known.
const SCHEMA: &[&str] = &[
    "CREATE TABLE rollbacks_1 (
        run TEXT PRIMARY KEY, position BIGINT NOT NULL, at BIGINT NOT NULL, of TEXT NOT NULL, back_to TEXT NOT NULL,
        moment BIGINT NOT NULL, flow_version BIGINT NOT NULL)",
    "CREATE INDEX rollbacks_1_position ON rollbacks_1 (position)",
    "CREATE INDEX rollbacks_1_of ON rollbacks_1 (of, position)",
    "CREATE INDEX rollbacks_1_to ON rollbacks_1 (back_to, position)",
    "CREATE TABLE kept_1 (
        resource TEXT NOT NULL, name TEXT NOT NULL, at BIGINT NOT NULL, run TEXT NOT NULL,
        PRIMARY KEY (resource, name))",
];

const ROLLED_BACK: &str = "INSERT INTO rollbacks_1 (run, position, at, of, back_to, moment, flow_version)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const KEPT: &str = "INSERT INTO kept_1 (resource, name, at, run) VALUES ($1, $2, $3, $4)
    ON CONFLICT (resource, name) DO NOTHING";
const NOT_KEPT: &str = "DELETE FROM kept_1 WHERE resource = $1 AND name = $2";

#[async_trait]
impl Projection for Rollbacks {
    fn name(&self) -> &'static str {
        "rollbacks"
    }

    fn version(&self) -> u32 {
        1
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    fn tables(&self) -> &'static [&'static str] {
        &["rollbacks_1", "kept_1"]
    }

    fn schema(&self) -> &'static [&'static str] {
        SCHEMA
    }

    async fn apply(&self, tables: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        for raw in events {
            // Few runs are rollbacks, and few effects are about what is kept: the words are looked for first.
            let starts = raw.kind == "run.started" && raw.data.contains("\"rollback\"");
            let ends = matches!(raw.kind.as_str(), "run.node_succeeded" | "run.node_ended_later");
            let keeps = ends && ["\"restored\"", "\"let_go\""].iter().any(|word| raw.data.contains(word));
            if !starts && !keeps {
                continue;
            }
            let run = raw.stream.id().unwrap_or_default();
            let effects = match run::Event::from_raw(raw)?.event {
                run::Event::Started(started) => {
                    if let Some(rollback) = started.rollback {
                        rolled_back(tables, raw, run, &rollback).await?;
                    }
                    continue;
                }
                run::Event::NodeSucceeded(done) => done.effects,
                run::Event::NodeEndedLater(done) => done.effects,
                _ => continue,
            };
            for effect in effects {
                record(tables, raw, run, effect).await?;
            }
        }
        Ok(())
    }
}

async fn rolled_back(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    rollback: &run::Rollback,
) -> Result<(), HandleError> {
    let text = |run: Option<shipway_events::RunId>| run.map(|run| run.to_string()).unwrap_or_default();
    sqlx::query(ROLLED_BACK)
        .bind(run)
        .bind(raw.position.cast_signed())
        .bind(raw.at.micros())
        .bind(text(rollback.of))
        .bind(text(rollback.to))
        .bind(rollback.at.micros())
        .bind(i64::from(rollback.flow_version.unwrap_or(0)))
        .execute(&mut *tables)
        .await?;
    Ok(())
}

async fn record(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    effect: Effect,
) -> Result<(), HandleError> {
    match effect {
        Effect::Restored { resource: Some(resource), backup, kept, .. } => {
            // What was put back is not kept any more: a restore names a backup, which nothing is kept as.
            sqlx::query(NOT_KEPT).bind(resource.to_string()).bind(backup).execute(&mut *tables).await?;
            if let Some(kept) = kept {
                sqlx::query(KEPT)
                    .bind(resource.to_string())
                    .bind(kept)
                    .bind(raw.at.micros())
                    .bind(run)
                    .execute(&mut *tables)
                    .await?;
            }
        }
        Effect::AddonStarted { addon, let_go, .. } => {
            for name in let_go {
                sqlx::query(NOT_KEPT).bind(addon.to_string()).bind(name).execute(&mut *tables).await?;
            }
        }
        _ => {}
    }
    Ok(())
}
