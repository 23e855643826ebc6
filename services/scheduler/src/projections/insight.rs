//! `insight`: runs of stages that have ended with where their time went, what they released, and what was marked bad; so that
//! the figures of a stage are read from rows, however many runs there were.

use std::collections::{BTreeMap, btree_map::Entry};

use async_trait::async_trait;
use shipway_eventing::feed::{HandleError, Projection};
use shipway_events::{
    RawEvent, RunStatus, StreamEvent, policy,
    run::{self, Effect, Origin, Rollback, Started},
};
use sqlx::AnyConnection;

use crate::insight::{Tally, matters};

/// The read model of figures.
pub(crate) struct Insight;

/// `ended_runs`: states are microseconds. `releases`: `lead` is from the commit's author time to its first release there, in
/// microseconds, -1 where it is not the first or the time is not known. `undoes` is the run that a rollback takes back.
const SCHEMA: &[&str] = &[
    "CREATE TABLE insight_open_1 (run TEXT PRIMARY KEY, tally TEXT NOT NULL)",
    "CREATE TABLE insight_runs_1 (
        run TEXT PRIMARY KEY, position BIGINT NOT NULL, project TEXT NOT NULL, pipeline TEXT NOT NULL,
        stage TEXT NOT NULL, started BIGINT NOT NULL, ended BIGINT NOT NULL, status TEXT NOT NULL,
        rollback BIGINT NOT NULL, unhealthy BIGINT NOT NULL, in_queue BIGINT NOT NULL, in_approval BIGINT NOT NULL,
        in_hold BIGINT NOT NULL, in_build BIGINT NOT NULL, in_wait BIGINT NOT NULL, in_running BIGINT NOT NULL)",
    "CREATE INDEX insight_runs_1_ended ON insight_runs_1 (project, ended, position)",
    "CREATE TABLE insight_rollbacks_1 (run TEXT PRIMARY KEY, undoes TEXT NOT NULL, at BIGINT NOT NULL)",
    "CREATE TABLE insight_releases_1 (
        run TEXT NOT NULL, resource TEXT NOT NULL, position BIGINT NOT NULL, at BIGINT NOT NULL,
        project TEXT NOT NULL, pipeline TEXT NOT NULL, stage TEXT NOT NULL, digest TEXT NOT NULL,
        service TEXT NOT NULL, commit_sha TEXT NOT NULL, lead BIGINT NOT NULL, PRIMARY KEY (run, resource, position))",
    "CREATE INDEX insight_releases_1_commit ON insight_releases_1 (resource, commit_sha)",
    "CREATE INDEX insight_releases_1_at ON insight_releases_1 (project, at)",
    "CREATE TABLE insight_commits_1 (
        project TEXT NOT NULL, commit_sha TEXT NOT NULL, authored BIGINT NOT NULL, PRIMARY KEY (project, commit_sha))",
    "CREATE TABLE insight_marks_1 (
        mark TEXT NOT NULL, artifact BIGINT NOT NULL, project TEXT NOT NULL, at BIGINT NOT NULL, digest TEXT NOT NULL,
        service TEXT NOT NULL, commit_sha TEXT NOT NULL, PRIMARY KEY (mark, artifact))",
    "CREATE INDEX insight_marks_1_at ON insight_marks_1 (project, at)",
];

const TALLY: &str = "SELECT tally FROM insight_open_1 WHERE run = $1";
const KEEP: &str = "INSERT INTO insight_open_1 (run, tally) VALUES ($1, $2)
    ON CONFLICT (run) DO UPDATE SET tally = excluded.tally";
const FORGET: &str = "DELETE FROM insight_open_1 WHERE run = $1";
const END: &str =
    "INSERT INTO insight_runs_1 (run, position, project, pipeline, stage, started, ended, status,
        rollback, unhealthy, in_queue, in_approval, in_hold, in_build, in_wait, in_running)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
const PLACE: &str = "SELECT project, pipeline, stage FROM insight_runs_1 WHERE run = $1";
const ROLLS_BACK: &str = "INSERT INTO insight_rollbacks_1 (run, undoes, at) VALUES ($1, $2, $3)";
const IS_ROLLBACK: &str = "SELECT COUNT(*) FROM insight_rollbacks_1 WHERE run = $1";
const AUTHORED: &str = "SELECT authored FROM insight_commits_1 WHERE project = $1 AND commit_sha = $2";
const AUTHOR: &str = "INSERT INTO insight_commits_1 (project, commit_sha, authored) VALUES ($1, $2, $3)
    ON CONFLICT (project, commit_sha) DO NOTHING";
const BEFORE: &str = "SELECT COUNT(*) FROM insight_releases_1 WHERE resource = $1 AND commit_sha = $2";
const RELEASED: &str =
    "INSERT INTO insight_releases_1 (run, resource, position, at, project, pipeline, stage, digest,
        service, commit_sha, lead)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (run, resource, position) DO NOTHING";
const MARKED: &str = "INSERT INTO insight_marks_1 (mark, artifact, project, at, digest, service, commit_sha)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const UNMARKED: &str = "DELETE FROM insight_marks_1 WHERE mark = $1";

#[async_trait]
impl Projection for Insight {
    fn name(&self) -> &'static str {
        "insight"
    }

    fn version(&self) -> u32 {
        1
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run", "policy"]
    }

    fn tables(&self) -> &'static [&'static str] {
        &[
            "insight_open_1",
            "insight_runs_1",
            "insight_rollbacks_1",
            "insight_releases_1",
            "insight_commits_1",
            "insight_marks_1",
        ]
    }

    fn schema(&self) -> &'static [&'static str] {
        SCHEMA
    }

    async fn apply(&self, tables: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        // A run's row is read and written once for all of its events that come together.
        let mut open: BTreeMap<String, Open> = BTreeMap::new();
        for raw in events {
            let id = raw.stream.id().unwrap_or_default();
            match raw.stream.kind() {
                "policy" => policies(tables, raw, id).await?,
                _ if matters(&raw.kind) => run_event(tables, raw, id, &mut open).await?,
                _ => {}
            }
        }
        for (run, Open { tally, .. }) in open {
            let Some(tally) = tally else { continue };
            let text = serde_json::to_string(&tally).map_err(HandleError::retry)?;
            sqlx::query(KEEP).bind(run).bind(text).execute(&mut *tables).await?;
        }
        Ok(())
    }
}

/// A run of which events come together.
#[derive(Default)]
struct Open {
    tally: Option<Tally>,
    /// Whether it goes back to something, if it starts among these events: then nothing of it is in the tables yet.
    starts: Option<bool>,
}

async fn policies(tables: &mut AnyConnection, raw: &RawEvent, project: &str) -> Result<(), HandleError> {
    match policy::Event::read(raw)?.map(|recorded| recorded.event) {
        Some(policy::Event::MarkedBad(marked)) => {
            for (n, subject) in (0_i64..).zip(marked.artifacts) {
                sqlx::query(MARKED)
                    .bind(marked.mark.to_string())
                    .bind(n)
                    .bind(project)
                    .bind(raw.at.micros())
                    .bind(subject.digest)
                    .bind(subject.service)
                    .bind(subject.commit)
                    .execute(&mut *tables)
                    .await?;
            }
        }
        Some(policy::Event::Unmarked(unmarked)) => {
            sqlx::query(UNMARKED).bind(unmarked.mark.to_string()).execute(&mut *tables).await?;
        }
        _ => {}
    }
    Ok(())
}

async fn run_event(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    open: &mut BTreeMap<String, Open>,
) -> Result<(), HandleError> {
    let started = raw.kind == "run.started";
    let Open { tally, starts } = match open.entry(run.to_owned()) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) if started => new.insert(Open::default()),
        Entry::Vacant(new) => {
            let text: Option<String> =
                sqlx::query_scalar(TALLY).bind(run).fetch_optional(&mut *tables).await?;
            let tally = text.and_then(|text| serde_json::from_str(&text).ok());
            new.insert(Open { tally, starts: None })
        }
    };
    // What a measurement does is not read.
    let is_late = raw.kind == "run.node_ended_later";
    if tally.is_none() && !started && !is_late {
        return Ok(());
    }
    let event = run::Event::from_raw(raw)?.event;
    if let run::Event::Started(started) = &event {
        *tally = place(started).map(Tally::of);
        *starts = Some(started.rollback.is_some());
        if let (Some(_), Some(rollback)) = (&tally, &started.rollback) {
            begins_to_roll_back(tables, raw, run, rollback).await?;
        }
    }
    if let Some(tally) = tally.as_mut() {
        tally.add(&event, raw.at.micros());
    }
    let effects = match &event {
        run::Event::NodeSucceeded(done) => &done.effects[..],
        run::Event::NodeEndedLater(done) => &done.effects[..],
        _ => &[],
    };
    for effect in effects {
        changed(tables, raw, run, tally.as_ref().map(|tally| &tally.place), effect).await?;
    }
    if let run::Event::Ended(ended) = &event
        && let Some(done) = tally.take()
    {
        if !done.place[1].is_empty() {
            let is_rollback = match *starts {
                Some(known) => known,
                None => {
                    sqlx::query_scalar::<_, i64>(IS_ROLLBACK).bind(run).fetch_one(&mut *tables).await? > 0
                }
            };
            end(tables, raw, run, &done, is_rollback, ended.status).await?;
        }
        if starts.is_none() {
            sqlx::query(FORGET).bind(run).execute(&mut *tables).await?;
        }
    }
    Ok(())
}

/// The project, pipeline and stage of a run; the latter two are empty for the one-node flow of a resource, which may build
/// what a stage releases. None of a measurement.
fn place(started: &Started) -> Option<[String; 3]> {
    let of_stage = started.pipeline.and_then(|_| started.path.split_once('/'));
    let (pipeline, stage) = of_stage.unwrap_or_default();
    let is_real = started.origin != Origin::Bench;
    is_real.then(|| [started.project.to_string(), pipeline.to_owned(), stage.to_owned()])
}

async fn begins_to_roll_back(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    rollback: &Rollback,
) -> Result<(), HandleError> {
    let undoes = rollback.of.map(|of| of.to_string()).unwrap_or_default();
    sqlx::query(ROLLS_BACK).bind(run).bind(undoes).bind(raw.at.micros()).execute(&mut *tables).await?;
    Ok(())
}

async fn changed(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    place: Option<&[String; 3]>,
    effect: &Effect,
) -> Result<(), HandleError> {
    match effect {
        Effect::Built { artifact, authored: Some(authored) } => {
            let Some([project, ..]) = place else { return Ok(()) };
            sqlx::query(AUTHOR)
                .bind(project.as_str())
                .bind(artifact.commit.as_str())
                .bind(authored.micros())
                .execute(&mut *tables)
                .await?;
        }
        Effect::Released { target, artifact, .. } => {
            let place = match place {
                Some(place) => Some(place.clone()),
                None => place_of(tables, run).await?,
            };
            let Some([project, pipeline, stage]) = place.filter(|[_, pipeline, _]| !pipeline.is_empty())
            else {
                return Ok(());
            };
            let (target, at) = (target.to_string(), raw.at.micros());
            let known: Option<i64> = sqlx::query_scalar(AUTHORED)
                .bind(project.as_str())
                .bind(artifact.commit.as_str())
                .fetch_optional(&mut *tables)
                .await?;
            let before: i64 = sqlx::query_scalar(BEFORE)
                .bind(target.as_str())
                .bind(artifact.commit.as_str())
                .fetch_one(&mut *tables)
                .await?;
            let lead = known.filter(|_| before == 0).map_or(-1, |authored| (at - authored).max(0));
            sqlx::query(RELEASED)
                .bind(run)
                .bind(target)
                .bind(raw.position.cast_signed())
                .bind(at)
                .bind(project)
                .bind(pipeline)
                .bind(stage)
                .bind(artifact.digest.as_str())
                .bind(artifact.service.as_str())
                .bind(artifact.commit.as_str())
                .bind(lead)
                .execute(&mut *tables)
                .await?;
        }
        _ => {}
    }
    Ok(())
}

async fn place_of(tables: &mut AnyConnection, run: &str) -> Result<Option<[String; 3]>, HandleError> {
    let row: Option<(String, String, String)> =
        sqlx::query_as(PLACE).bind(run).fetch_optional(&mut *tables).await?;
    Ok(row.map(|(project, pipeline, stage)| [project, pipeline, stage]))
}

async fn end(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    tally: &Tally,
    is_rollback: bool,
    status: RunStatus,
) -> Result<(), HandleError> {
    let [project, pipeline, stage] = &tally.place;
    let mut query = sqlx::query(END)
        .bind(run)
        .bind(raw.position.cast_signed())
        .bind(project.as_str())
        .bind(pipeline.as_str())
        .bind(stage.as_str())
        .bind(tally.started)
        .bind(raw.at.micros())
        .bind(status.as_str())
        .bind(i64::from(is_rollback))
        .bind(i64::from(tally.unhealthy));
    for spent in tally.spent {
        query = query.bind(spent);
    }
    query.execute(&mut *tables).await?;
    Ok(())
}
