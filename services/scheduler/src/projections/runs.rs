//! `runs`: one row a run, for lists and for finding what is open after a restart.
//!
//! A list comes newest first, so every index ends with the position, and a page is read from one index from its end on.

use async_trait::async_trait;
use serde_json::Value;
use shipway_eventing::feed::{HandleError, Projection};
use shipway_events::{
    Cause, ConcurrencyPolicy, RawEvent, RunStatus, StreamEvent,
    plan::{Artifact, Plan},
    run::{self, Effect},
};
use sqlx::AnyConnection;

use crate::{rollback::gone_back_to, run::present};

/// The read model of runs.
pub(super) struct Runs;

/// `pipeline` and `stage` are empty for the flow of a single resource, `delivery` and `parent` for runs without. `sought`
/// is the name in lower case.
const SCHEMA: &[&str] = &[
    "CREATE TABLE runs_3 (
        run TEXT PRIMARY KEY, position BIGINT NOT NULL, project TEXT NOT NULL, flow TEXT NOT NULL, path TEXT NOT NULL,
        pipeline TEXT NOT NULL, stage TEXT NOT NULL, name TEXT NOT NULL, sought TEXT NOT NULL,
        description TEXT NOT NULL, flow_version BIGINT NOT NULL, origin TEXT NOT NULL, author TEXT NOT NULL,
        branch TEXT NOT NULL, commit_sha TEXT NOT NULL, delivery TEXT NOT NULL, parent TEXT NOT NULL,
        status TEXT NOT NULL, reason TEXT NOT NULL, created BIGINT NOT NULL, ended BIGINT NOT NULL,
        going_on BIGINT NOT NULL, triggers TEXT NOT NULL)",
    // An expression, so that PostgreSQL walks this for lists of all runs alone: for a filter that many runs fit it would
    // take it for the cheaper one, and read the whole table where they all are old.
    "CREATE INDEX runs_3_position ON runs_3 ((position + 0))",
    "CREATE INDEX runs_3_created ON runs_3 (created, position)",
    "CREATE INDEX runs_3_project ON runs_3 (project, position)",
    "CREATE INDEX runs_3_path ON runs_3 (path, position)",
    "CREATE INDEX runs_3_pipeline ON runs_3 (pipeline, position)",
    "CREATE INDEX runs_3_stage ON runs_3 (stage, position)",
    "CREATE INDEX runs_3_status ON runs_3 (status, position)",
    "CREATE INDEX runs_3_origin ON runs_3 (origin, position)",
    "CREATE INDEX runs_3_author ON runs_3 (author, position)",
    "CREATE INDEX runs_3_branch ON runs_3 (branch, position) WHERE branch <> ''",
    "CREATE INDEX runs_3_commit ON runs_3 (commit_sha, position) WHERE commit_sha <> ''",
    "CREATE INDEX runs_3_open ON runs_3 (position) WHERE ended = 0 OR going_on > 0",
];

const START: &str = "INSERT INTO runs_3 (run, position, project, flow, path, pipeline, stage, name, sought,
        description, flow_version, origin, author, branch, commit_sha, delivery, parent, status, reason,
        created, ended, going_on, triggers)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, '', $19, 0, 0, $20)";
const ADMIT: &str = "UPDATE runs_3 SET status = 'running' WHERE run = $1";
const ABORT: &str = "UPDATE runs_3 SET status = 'aborting' WHERE run = $1 AND ended = 0";
const TRAIL: &str = "UPDATE runs_3 SET going_on = going_on + $2 WHERE run = $1";
const END: &str = "UPDATE runs_3 SET status = $2, reason = $3, ended = $4 WHERE run = $1";
const MADE: &str = "UPDATE runs_3 SET commit_sha = $2, branch = $3 WHERE run = $1 AND commit_sha = ''";

#[async_trait]
impl Projection for Runs {
    fn name(&self) -> &'static str {
        "runs"
    }

    fn version(&self) -> u32 {
        3
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    fn tables(&self) -> &'static [&'static str] {
        &["runs_3"]
    }

    fn schema(&self) -> &'static [&'static str] {
        SCHEMA
    }

    async fn apply(&self, tables: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        for raw in events {
            // Most events of a run leave its row as it is.
            let moves = matches!(
                raw.kind.as_str(),
                "run.started"
                    | "run.admitted"
                    | "run.aborting"
                    | "run.ended"
                    | "run.node_started"
                    | "run.node_ended_later"
            );
            // A node without effects, which most are, has no such word in its event.
            let makes = raw.kind == "run.node_succeeded" && raw.data.contains("\"effects\"");
            if !moves && !makes {
                continue;
            }
            let run = raw.stream.id().unwrap_or_default();
            match run::Event::from_raw(raw)?.event {
                run::Event::Started(started) => start(tables, raw, run, started).await?,
                run::Event::Admitted(_) => {
                    sqlx::query(ADMIT).bind(run).execute(&mut *tables).await?;
                }
                run::Event::Aborting(_) => {
                    sqlx::query(ABORT).bind(run).execute(&mut *tables).await?;
                }
                run::Event::NodeStarted(_) => {
                    sqlx::query(TRAIL).bind(run).bind(1_i64).execute(&mut *tables).await?;
                }
                run::Event::NodeSucceeded(done) => made(tables, run, &done.effects).await?,
                run::Event::NodeEndedLater(done) => {
                    sqlx::query(TRAIL).bind(run).bind(-1_i64).execute(&mut *tables).await?;
                    made(tables, run, &done.effects).await?;
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

async fn start(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    started: run::Started,
) -> Result<(), HandleError> {
    let path = started.path.as_str();
    let (pipeline, stage) = started.pipeline.and_then(|_| path.split_once('/')).unwrap_or_default();
    // A rollback is of what it goes back to: it may release something else for a while.
    let (commit, branch) = match gone_back_to(&started).next() {
        Some(artifact) => (artifact.commit.as_str(), artifact.branch.as_str()),
        None => named_by_trigger(&started.plan),
    };
    let delivery = match raw.meta.cause {
        Cause::Delivery(delivery) => delivery.to_string(),
        _ => String::new(),
    };
    sqlx::query(START)
        .bind(run)
        .bind(raw.position.cast_signed())
        .bind(started.project.to_string())
        .bind(started.flow.to_string())
        .bind(path)
        .bind(pipeline)
        .bind(stage)
        .bind(started.name.as_str())
        .bind(started.name.to_lowercase())
        .bind(started.description.as_str())
        .bind(i64::from(started.flow_version))
        .bind(format!("{:?}", started.origin).to_lowercase())
        .bind(started.author.as_ref().map_or("", |author| author.name()))
        .bind(branch)
        .bind(commit)
        .bind(delivery)
        .bind(started.parent.as_ref().map(|parent| parent.run.to_string()).unwrap_or_default())
        .bind(first_status(started.policy).as_str())
        .bind(raw.at.micros())
        .bind(present::json(&started.plan.triggers))
        .execute(&mut *tables)
        .await?;
    Ok(())
}

/// A run whose trigger named no commit is of the first one that it built or released.
async fn made(tables: &mut AnyConnection, run: &str, effects: &[Effect]) -> Result<(), HandleError> {
    let artifact = effects.iter().find_map(|effect| match effect {
        Effect::Built { artifact, .. } | Effect::Released { artifact, .. } => Some(artifact),
        _ => None,
    });
    let Some(Artifact { commit, branch, .. }) = artifact.filter(|artifact| !artifact.commit.is_empty())
    else {
        return Ok(());
    };
    sqlx::query(MADE).bind(run).bind(commit.as_str()).bind(branch.as_str()).execute(&mut *tables).await?;
    Ok(())
}

/// The commit and the branch that a trigger of the run named; empty where none did.
fn named_by_trigger(plan: &Plan) -> (&str, &str) {
    let values = plan.triggers.values();
    values
        .map(|value| {
            let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
            (text("sha"), text("branch"))
        })
        .find(|(commit, branch)| !commit.is_empty() || !branch.is_empty())
        .unwrap_or_default()
}

/// A run begins when its lane lets it in.
const fn first_status(policy: ConcurrencyPolicy) -> RunStatus {
    match policy {
        ConcurrencyPolicy::Allow => RunStatus::Running,
        _ => RunStatus::Queued,
    }
}
