//! The figures of stages: how often something is released, how long a commit takes to get there, how often that goes wrong and
//! how long until it is well again, and where the time goes. Each opens the events that it is made of.

mod metrics;
mod shown;
mod tally;

use shipway_contracts::{
    Error, id,
    v1::{GetInsightReply, GetInsightRequest},
};
use shipway_events::{ProjectId, Timestamp};
use sqlx::{Row, any::AnyRow};

use self::metrics::{MarkRow, ReleaseRow, Rows, RunRow, figures};
pub(crate) use self::tally::{State, Tally, matters};
use crate::{queries::away, service::Shared};

/// So many runs are looked at for an answer; the newest ones, if there are more.
const MOST: i64 = 100_000;
/// What is asked about where nobody says since when: 30 days, in microseconds.
const DAYS_30: i64 = 30 * 24 * 60 * 60 * 1_000_000;

const RUNS: &str = "SELECT r.run, r.position, r.pipeline, r.stage, r.started, r.ended, r.status, r.rollback,
        r.unhealthy, r.in_queue, r.in_approval, r.in_hold, r.in_build, r.in_wait, r.in_running,
        COALESCE(b.undoes, '') AS undoes
    FROM insight_runs_1 r LEFT JOIN insight_rollbacks_1 b ON b.run = r.run
    WHERE r.project = $1 AND r.ended >= $2 ORDER BY r.ended DESC, r.position DESC LIMIT $3";
const RELEASES: &str = "SELECT run, position, digest, service, commit_sha, lead FROM insight_releases_1
    WHERE project = $1 AND at >= $2 ORDER BY at, position";
const MARKS: &str = "SELECT at, digest, service, commit_sha FROM insight_marks_1
    WHERE project = $1 ORDER BY at";

impl Shared {
    /// The figures of a project's stages.
    pub(crate) async fn insight(&self, request: GetInsightRequest) -> Result<GetInsightReply, Error> {
        let now = self.log.now();
        let time = |field: &str, text: &str, else_at: Timestamp| match text {
            "" => Ok(else_at),
            text => text.parse().map_err(|error| Error::bad_request(format!("field `{field}`: {error}"))),
        };
        let until: Timestamp = time("until", &request.until, now)?;
        let from = Timestamp::from_micros(until.micros() - DAYS_30);
        let from: Timestamp = time("since", &request.since, from)?;
        if from >= until {
            return Err(Error::bad_request(format!("field `since`: {from} is not before {until}")));
        }
        let scope = self.scopes(&request.project).await?;
        let [scope] = scope.as_slice() else {
            return Err(Error::bad_request("field `project`: there are several; say which"));
        };
        let project: ProjectId = id("project", &scope.project)?;
        self.caught_up().await?;
        let (rows, cut) = self.insight_rows(project, from.micros()).await?;
        let mut found = figures(&rows, from.micros(), until.micros());
        found.retain(|stage| {
            let is_asked = |asked: &str, is: &str| asked.is_empty() || asked == is;
            is_asked(&request.pipeline, &stage.pipeline) && is_asked(&request.stage, &stage.stage)
        });
        shown::reply(&request, &scope.project_slug, found, from, until, cut)
    }

    /// What is known from a time on, and whether some of it was left out.
    async fn insight_rows(&self, project: ProjectId, from: i64) -> Result<(Rows, bool), Error> {
        rows(self.tables(), project, from, MOST).await.map_err(away)
    }
}

/// The rows of a project from a time on; of runs at most so many.
async fn rows(
    tables: &sqlx::AnyPool,
    project: ProjectId,
    from: i64,
    most: i64,
) -> Result<(Rows, bool), sqlx::Error> {
    let project = project.to_string();
    let runs = sqlx::query(RUNS).bind(project.as_str()).bind(from).bind(most + 1).fetch_all(tables).await?;
    let mut runs: Vec<RunRow> = runs.iter().map(run_row).collect::<Result<_, _>>()?;
    let cut = i64::try_from(runs.len()).unwrap_or(i64::MAX) > most;
    runs.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    // A release comes before its run's end. What was marked long ago may be released again, and marks are few.
    let first = runs.iter().map(|run| run.started).min().unwrap_or(from);
    let releases = sqlx::query(RELEASES).bind(project.as_str()).bind(first).fetch_all(tables).await?;
    let marks = sqlx::query(MARKS).bind(project.as_str()).fetch_all(tables).await?;
    let release = |row: &AnyRow| {
        Ok(ReleaseRow {
            run: row.try_get("run")?,
            position: row.try_get("position")?,
            digest: row.try_get("digest")?,
            service: row.try_get("service")?,
            commit: row.try_get("commit_sha")?,
            lead: row.try_get("lead")?,
        })
    };
    let mark = |row: &AnyRow| {
        Ok(MarkRow {
            at: row.try_get("at")?,
            digest: row.try_get("digest")?,
            service: row.try_get("service")?,
            commit: row.try_get("commit_sha")?,
        })
    };
    let rows = Rows {
        runs,
        releases: releases.iter().map(release).collect::<Result<_, sqlx::Error>>()?,
        marks: marks.iter().map(mark).collect::<Result<_, sqlx::Error>>()?,
    };
    Ok((rows, cut))
}

fn run_row(row: &AnyRow) -> Result<RunRow, sqlx::Error> {
    let flag = |name: &str| row.try_get::<i64, _>(name).map(|value| value != 0);
    let mut spent = [0; State::ALL.len()];
    let columns = ["in_queue", "in_approval", "in_hold", "in_build", "in_wait", "in_running"];
    for (state, column) in spent.iter_mut().zip(columns) {
        *state = row.try_get(column)?;
    }
    Ok(RunRow {
        run: row.try_get("run")?,
        position: row.try_get("position")?,
        pipeline: row.try_get("pipeline")?,
        stage: row.try_get("stage")?,
        started: row.try_get("started")?,
        ended: row.try_get("ended")?,
        success: row.try_get::<String, _>("status")? == "success",
        rollback: flag("rollback")?,
        undoes: row.try_get("undoes")?,
        unhealthy: flag("unhealthy")?,
        spent,
    })
}

#[cfg(test)]
mod tests;
