//! `runs`: one row a run, for lists and for finding what is open after a restart.
//!
//! A list comes newest first, so every index ends with the position, and a page is read from one index from its end on.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;
use shipway_eventing::feed::{Cell, HandleError, Projection, Rows};
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
        created, ended, going_on, triggers)";
const ADMIT: &str = "UPDATE runs_3 SET status = 'running' WHERE run = $1";
const ABORT: &str = "UPDATE runs_3 SET status = 'aborting' WHERE run = $1 AND ended = 0";
const TRAIL: &str = "UPDATE runs_3 SET going_on = going_on + $2 WHERE run = $1";
const END: &str = "UPDATE runs_3 SET status = $2, reason = $3, ended = $4 WHERE run = $1";
const NAME: &str = "UPDATE runs_3 SET name = $2, sought = $3 WHERE run = $1";
const DESCRIBE: &str = "UPDATE runs_3 SET description = $2 WHERE run = $1";
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
        // A run that starts among them is written once, as they leave it.
        let mut new: BTreeMap<&str, Row> = BTreeMap::new();
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
                    | "run.noted_words"
            );
            // A node without effects, which most are, has no such word in its event.
            let makes = raw.kind == "run.node_succeeded" && raw.data.contains("\"effects\"");
            if !moves && !makes {
                continue;
            }
            let run = raw.stream.id().unwrap_or_default();
            match run::Event::from_raw(raw)?.event {
                run::Event::Started(started) => drop(new.insert(run, Row::of(raw, &started))),
                event => match new.get_mut(run) {
                    Some(row) => row.apply(raw, event),
                    None => change(tables, raw, run, event).await?,
                },
            }
        }
        let mut rows = Rows::new(START);
        new.into_iter().for_each(|(run, row)| rows.push(row.cells(run)));
        rows.write(tables).await?;
        Ok(())
    }
}

/// What changes of a run that is not written yet, and what its start says for good.
struct Row {
    status: RunStatus,
    reason: String,
    ended: i64,
    going_on: i64,
    commit: String,
    branch: String,
    position: i64,
    created: i64,
    project: String,
    flow: String,
    path: String,
    name: String,
    description: String,
    flow_version: i64,
    origin: String,
    author: String,
    delivery: String,
    parent: String,
    triggers: String,
    is_of_pipeline: bool,
}

impl Row {
    fn of(raw: &RawEvent, started: &run::Started) -> Self {
        // A rollback is of what it goes back to: it may release something else for a while.
        let (commit, branch) = match gone_back_to(started).next() {
            Some(artifact) => (artifact.commit.as_str(), artifact.branch.as_str()),
            None => named_by_trigger(&started.plan),
        };
        let delivery = match raw.meta.cause {
            Cause::Delivery(delivery) => delivery.to_string(),
            _ => String::new(),
        };
        Self {
            status: first_status(started.policy),
            reason: String::new(),
            ended: 0,
            going_on: 0,
            commit: commit.to_owned(),
            branch: branch.to_owned(),
            position: raw.position.cast_signed(),
            created: raw.at.micros(),
            project: started.project.to_string(),
            flow: started.flow.to_string(),
            path: started.path.clone(),
            name: started.name.clone(),
            description: started.description.clone(),
            flow_version: i64::from(started.flow_version),
            origin: format!("{:?}", started.origin).to_lowercase(),
            author: started.author.as_ref().map_or("", |author| author.name()).to_owned(),
            delivery,
            parent: started.parent.as_ref().map(|parent| parent.run.to_string()).unwrap_or_default(),
            triggers: present::json(&started.plan.triggers),
            is_of_pipeline: started.pipeline.is_some(),
        }
    }

    /// As [`change`] does it to one that is written.
    fn apply(&mut self, raw: &RawEvent, event: run::Event) {
        match event {
            run::Event::Admitted(_) => self.status = RunStatus::Running,
            run::Event::Aborting(_) if self.ended == 0 => self.status = RunStatus::Aborting,
            run::Event::NodeStarted(_) => self.going_on += 1,
            run::Event::NodeSucceeded(done) => self.made(&done.effects),
            run::Event::NodeEndedLater(done) => {
                self.going_on -= 1;
                self.made(&done.effects);
            }
            run::Event::NotedWords(words) => {
                self.name = words.name.unwrap_or_else(|| std::mem::take(&mut self.name));
                self.description = words.description.unwrap_or_else(|| std::mem::take(&mut self.description));
            }
            run::Event::Ended(ended) => {
                self.status = ended.status;
                self.reason = ended.reason.unwrap_or_default();
                self.ended = raw.at.micros();
            }
            _ => {}
        }
    }

    fn made(&mut self, effects: &[Effect]) {
        if let Some(artifact) = first_made(effects).filter(|_| self.commit.is_empty()) {
            self.commit.clone_from(&artifact.commit);
            self.branch.clone_from(&artifact.branch);
        }
    }

    fn cells(self, run: &str) -> [Cell; 23] {
        let (pipeline, stage) = self.path.split_once('/').filter(|_| self.is_of_pipeline).unwrap_or_default();
        [
            run.into(),
            self.position.into(),
            self.project.into(),
            self.flow.into(),
            self.path.as_str().into(),
            pipeline.into(),
            stage.into(),
            self.name.as_str().into(),
            self.name.to_lowercase().into(),
            self.description.into(),
            self.flow_version.into(),
            self.origin.into(),
            self.author.into(),
            self.branch.into(),
            self.commit.into(),
            self.delivery.into(),
            self.parent.into(),
            self.status.as_str().into(),
            self.reason.into(),
            self.created.into(),
            self.ended.into(),
            self.going_on.into(),
            self.triggers.into(),
        ]
    }
}

/// Changes the row of a run that started earlier.
async fn change(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    event: run::Event,
) -> Result<(), HandleError> {
    match event {
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
        run::Event::NotedWords(words) => {
            if let Some(name) = words.name {
                let sought = name.to_lowercase();
                sqlx::query(NAME).bind(run).bind(name).bind(sought).execute(&mut *tables).await?;
            }
            if let Some(description) = words.description {
                sqlx::query(DESCRIBE).bind(run).bind(description).execute(&mut *tables).await?;
            }
        }
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
    Ok(())
}

/// A run whose trigger named no commit is of the first one that it built or released.
async fn made(tables: &mut AnyConnection, run: &str, effects: &[Effect]) -> Result<(), HandleError> {
    let Some(Artifact { commit, branch, .. }) = first_made(effects) else { return Ok(()) };
    sqlx::query(MADE).bind(run).bind(commit.as_str()).bind(branch.as_str()).execute(&mut *tables).await?;
    Ok(())
}

/// The first artifact of a commit that is among what was built or released.
fn first_made(effects: &[Effect]) -> Option<&Artifact> {
    let artifact = effects.iter().find_map(|effect| match effect {
        Effect::Built { artifact, .. } | Effect::Released { artifact, .. } => Some(artifact),
        _ => None,
    });
    artifact.filter(|artifact| !artifact.commit.is_empty())
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
