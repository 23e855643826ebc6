//! `runs`: one row a run, for lists and for finding what is open after a restart.

use async_trait::async_trait;
use shipway_eventing::feed::{HandleError, Projection};
use shipway_events::{ConcurrencyPolicy, RawEvent, RunStatus, StreamEvent, run};
use sqlx::AnyConnection;

use crate::run::present;

/// The read model of runs.
pub(super) struct Runs;

const SCHEMA: &[&str] = &[
    "CREATE TABLE runs_2 (
        run TEXT PRIMARY KEY, project TEXT NOT NULL, flow TEXT NOT NULL, path TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT NOT NULL, flow_version BIGINT NOT NULL, origin TEXT NOT NULL, status TEXT NOT NULL,
        reason TEXT NOT NULL, created BIGINT NOT NULL, ended BIGINT NOT NULL, going_on BIGINT NOT NULL,
        position BIGINT NOT NULL, triggers TEXT NOT NULL)",
    "CREATE INDEX runs_2_position ON runs_2 (position)",
    "CREATE INDEX runs_2_path ON runs_2 (path, position)",
    "CREATE INDEX runs_2_open ON runs_2 (position) WHERE ended = 0 OR going_on > 0",
];

const START: &str =
    "INSERT INTO runs_2 (run, project, flow, path, name, description, flow_version, origin, status,
        reason, created, ended, going_on, position, triggers)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $12, '', $9, 0, 0, $10, $11)";
const ADMIT: &str = "UPDATE runs_2 SET status = 'running' WHERE run = $1";
const TRAIL: &str = "UPDATE runs_2 SET going_on = going_on + $2 WHERE run = $1";
const END: &str = "UPDATE runs_2 SET status = $2, reason = $3, ended = $4 WHERE run = $1";

#[async_trait]
impl Projection for Runs {
    fn name(&self) -> &'static str {
        "runs"
    }

    fn version(&self) -> u32 {
        2
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    fn tables(&self) -> &'static [&'static str] {
        &["runs_2"]
    }

    fn schema(&self) -> &'static [&'static str] {
        SCHEMA
    }

    async fn apply(&self, tables: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        for raw in events {
            // Most events of a run leave its row as it is.
            if !matches!(
                raw.kind.as_str(),
                "run.started" | "run.admitted" | "run.ended" | "run.node_started" | "run.node_ended_later"
            ) {
                continue;
            }
            let run = raw.stream.id().unwrap_or_default();
            match run::Event::from_raw(raw)?.event {
                run::Event::Started(started) => {
                    sqlx::query(START)
                        .bind(run)
                        .bind(started.project.to_string())
                        .bind(started.flow.to_string())
                        .bind(started.path)
                        .bind(started.name)
                        .bind(started.description)
                        .bind(i64::from(started.flow_version))
                        .bind(format!("{:?}", started.origin).to_lowercase())
                        .bind(raw.at.micros())
                        .bind(raw.position.cast_signed())
                        .bind(present::json(&started.plan.triggers))
                        .bind(first_status(started.policy).as_str())
                        .execute(&mut *tables)
                        .await?;
                }
                run::Event::Admitted(_) => {
                    sqlx::query(ADMIT).bind(run).execute(&mut *tables).await?;
                }
                run::Event::NodeStarted(_) => {
                    sqlx::query(TRAIL).bind(run).bind(1_i64).execute(&mut *tables).await?;
                }
                run::Event::NodeEndedLater(_) => {
                    sqlx::query(TRAIL).bind(run).bind(-1_i64).execute(&mut *tables).await?;
                }
                run::Event::Ended(ended) => {
                    sqlx::query(END)
                        .bind(run)
                        .bind(ended.status.as_str())
                        .bind(ended.reason.unwrap_or_default())
                        .bind(raw.at.micros())
                        .execute(&mut *tables)
                        .await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A run begins when its lane lets it in.
const fn first_status(policy: ConcurrencyPolicy) -> RunStatus {
    match policy {
        ConcurrencyPolicy::Allow => RunStatus::Running,
        _ => RunStatus::Queued,
    }
}
