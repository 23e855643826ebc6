//! Questions to the read tables.

use std::{collections::BTreeMap, time::Duration};

use shipway_contracts::Error;
use shipway_eventing::failing;
use shipway_events::{
    ExecutorId, Position, ProjectId, ResourceId, RunId, RunStatus, Timestamp,
    plan::{Artifact, BackupPin},
};
use sqlx::{AnyPool, Row, any::AnyRow};

use crate::{cluster::shards::Shard, projections, service::Shared};

/// What a resource was given, and when.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) project: String,
    pub(crate) slug: String,
    pub(crate) run: String,
    pub(crate) at: Timestamp,
    pub(crate) artifact: Artifact,
}

/// Where a target is.
#[derive(Clone, Debug)]
pub(crate) struct PlaceRow {
    pub(crate) executor: ExecutorId,
    pub(crate) since: Timestamp,
    pub(crate) lost: Option<Timestamp>,
    pub(crate) moving: Option<MovingRow>,
}

/// A move that is not over.
#[derive(Clone, Debug)]
pub(crate) struct MovingRow {
    pub(crate) run: String,
    /// Whether it restores a backup.
    pub(crate) restores: bool,
    /// Why it failed, and when the next one is made; a person decides if there is no time.
    pub(crate) failed: Option<(String, Option<Timestamp>)>,
}

/// How long a question waits for the read tables to hold what is in the log.
const PATIENCE: Duration = Duration::from_secs(10);

const OPEN: &str = "SELECT run, flow FROM runs_3 WHERE ended = 0 OR going_on > 0 ORDER BY position";
const BY_START: &str = "SELECT run FROM runs_3 WHERE run >= $1 AND run < $2 ORDER BY run LIMIT 2";
const LATEST: &str = "SELECT run FROM runs_3 ORDER BY position + 0 DESC LIMIT 1";
const FAILED: &str = "SELECT run FROM runs_3 WHERE status = 'failure' ORDER BY position DESC LIMIT 1";
const LAST_OF: &str = "SELECT run FROM runs_3 WHERE project = $1 AND path = $2 AND status = $3
    ORDER BY position DESC LIMIT $4";
const OPEN_OF: &str = "SELECT run FROM runs_3 WHERE ($1 = '' OR project = $1) AND path = $2 AND ended = 0
    ORDER BY position LIMIT 100";
const NEWEST_OF: &str =
    "SELECT run FROM runs_3 WHERE project = $1 AND path = $2 ORDER BY position DESC LIMIT 1";
const IS_BUILT: &str = "SELECT COUNT(*) FROM builds_3 WHERE digest >= $1 AND digest < $2";
const PLACES: &str = "SELECT target, executor, since, lost, run, backup, reason, again FROM places_2";
const MADE_BEFORE: &str = "SELECT COUNT(*) FROM builds_3 a JOIN builds_3 b ON b.project = a.project
    WHERE a.project = $1 AND a.build = $2 AND b.build = $3 AND a.position < b.position";
/// The last release of each target by then: looked up one by one, however many there were.
const DEPLOYED: &str =
    "SELECT d.project, d.slug, d.run, d.at, d.digest, d.build, d.service, d.commit_sha, d.branch
    FROM targets_3 t JOIN deployed_3 d ON d.resource = t.resource
      AND d.position = (SELECT e.position FROM deployed_3 e WHERE e.resource = t.resource AND e.at <= $2
        ORDER BY e.at DESC, e.position DESC LIMIT 1)
    WHERE ($1 = '' OR t.project = $1)
    ORDER BY d.project, d.slug";
const PATH_OF: &str = "SELECT path FROM runs_3 WHERE run = $1";
const RELEASED: &str = "SELECT max(at) FROM deployed_3 WHERE resource = $1";
const BUILDS: &str = "SELECT build, service, digest, commit_sha, branch FROM builds_3
    WHERE project = $1 ORDER BY position DESC LIMIT 200";
const BACKUPS: &str =
    "SELECT backup, addon, digest FROM backups_3 WHERE project = $1 ORDER BY position DESC LIMIT 200";
const BACKUPS_OF: &str = "SELECT backup, position FROM backups_3 WHERE project = $1 AND addon = $2 ORDER BY position DESC LIMIT 200";

/// All of these, to look at how databases answer them.
#[cfg(test)]
pub(crate) const ALL: [&str; 16] = [
    OPEN,
    BY_START,
    LATEST,
    FAILED,
    LAST_OF,
    OPEN_OF,
    NEWEST_OF,
    IS_BUILT,
    PLACES,
    MADE_BEFORE,
    DEPLOYED,
    PATH_OF,
    RELEASED,
    BUILDS,
    BACKUPS,
    BACKUPS_OF,
];

impl Shared {
    /// Runs that are not over, with the shards of their lanes, oldest first.
    pub(crate) async fn open_runs(&self) -> Result<Vec<(RunId, Shard)>, Error> {
        let rows: Vec<(String, String)> =
            failing!("db.reads.open", sqlx::query_as(OPEN).fetch_all(self.tables()).await).map_err(away)?;
        let read = |(run, flow): &(String, String)| {
            let (run, flow) = (run.parse().ok()?, flow.parse().ok()?);
            Some((run, Shard::of(flow, run)))
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    /// Where every target is.
    pub(crate) async fn all_places(&self) -> Result<BTreeMap<ResourceId, PlaceRow>, Error> {
        let rows =
            failing!("db.reads.places", sqlx::query(PLACES).fetch_all(self.tables()).await).map_err(away)?;
        rows.iter().filter_map(|row| place(row).transpose()).collect::<Result<_, _>>().map_err(away)
    }

    /// Whether a target has been released since a time.
    pub(crate) async fn released_since(&self, target: ResourceId, since: Timestamp) -> Result<bool, Error> {
        let last: Option<i64> = sqlx::query_scalar(RELEASED)
            .bind(target.to_string())
            .fetch_one(self.tables())
            .await
            .map_err(away)?;
        Ok(last.is_some_and(|last| last > since.micros()))
    }

    /// The run that a text means: an id, the beginning of one, `@latest` or `@failed`.
    pub(crate) async fn find_run(&self, text: &str) -> Result<RunId, Error> {
        if let Ok(run) = text.parse() {
            self.promised(run).await;
            return Ok(run);
        }
        self.caught_up().await?;
        let found: Vec<String> = match text {
            "@latest" => sqlx::query_scalar(LATEST).fetch_all(self.tables()).await,
            "@failed" => sqlx::query_scalar(FAILED).fetch_all(self.tables()).await,
            _ if text.len() >= 4 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-') => {
                let after = format!("{text}g");
                sqlx::query_scalar(BY_START).bind(text).bind(after).fetch_all(self.tables()).await
            }
            _ => {
                return Err(Error::bad_request(format!(
                    "`{text}` names no run: give an id, the beginning of one (4 hex digits or more), @latest or @failed"
                )));
            }
        }
        .map_err(away)?;
        match found.as_slice() {
            [run] => run.parse().map_err(|_| Error::not_found(format!("there is no run `{text}`"))),
            [] => Err(Error::not_found(format!("there is no run `{text}`; `shipway runs` lists them"))),
            _ => Err(Error::bad_request(format!(
                "more than one run begins with `{text}`; give more of its id"
            ))),
        }
    }

    /// The last runs of a flow that ended in this status, newest first.
    pub(crate) async fn last_of(
        &self,
        project: &str,
        path: &str,
        status: RunStatus,
        limit: usize,
    ) -> Result<Vec<RunId>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = sqlx::query_scalar(LAST_OF).bind(project).bind(path).bind(status.as_str()).bind(limit);
        let found: Vec<String> = query.fetch_all(self.tables()).await.map_err(away)?;
        Ok(found.iter().filter_map(|run| run.parse().ok()).collect())
    }

    /// The runs of a flow that have not ended, oldest first.
    pub(crate) async fn open_of(&self, project: &str, path: &str) -> Result<Vec<RunId>, Error> {
        let query = sqlx::query_scalar(OPEN_OF).bind(project).bind(path);
        let found: Vec<String> = query.fetch_all(self.tables()).await.map_err(away)?;
        Ok(found.iter().filter_map(|run| run.parse().ok()).collect())
    }

    /// The newest run of a flow.
    pub(crate) async fn newest_of(&self, project: &str, path: &str) -> Result<Option<RunId>, Error> {
        let query = sqlx::query_scalar(NEWEST_OF).bind(project).bind(path);
        let found: Option<String> = query.fetch_optional(self.tables()).await.map_err(away)?;
        Ok(found.and_then(|run| run.parse().ok()))
    }

    /// Whether anything was built whose digest begins so.
    pub(crate) async fn is_built(&self, digest: &str) -> Result<bool, Error> {
        let query = sqlx::query_scalar(IS_BUILT).bind(digest).bind(format!("{digest}g"));
        let found: i64 = query.fetch_one(self.tables()).await.map_err(away)?;
        Ok(found > 0)
    }

    /// What every resource had at a time.
    pub(crate) async fn placed(&self, project: &str, at: Timestamp) -> Result<Vec<Placed>, Error> {
        let read = sqlx::query(DEPLOYED).bind(project).bind(at.micros()).fetch_all(self.tables());
        let rows = failing!("db.reads.deployed", read.await).map_err(away)?;
        rows.iter().map(placed).collect::<Result<_, _>>().map_err(away)
    }

    /// The flow of a run; empty of one that is not known.
    pub(crate) async fn path_of(&self, run: &str) -> Result<String, Error> {
        let path = sqlx::query_scalar(PATH_OF).bind(run).fetch_optional(self.tables());
        Ok(path.await.map_err(away)?.unwrap_or_default())
    }

    /// A project's newest builds, by id.
    pub(crate) async fn builds(&self, project: ProjectId) -> Result<BTreeMap<String, Artifact>, Error> {
        let read = sqlx::query(BUILDS).bind(project.to_string()).fetch_all(self.tables());
        let rows = failing!("db.reads.builds", read.await).map_err(away)?;
        rows.iter()
            .map(|row| Ok((row.try_get("build")?, artifact(row)?)))
            .collect::<Result<_, _>>()
            .map_err(away)
    }

    /// A project's newest backups, by id.
    pub(crate) async fn backups(&self, project: ProjectId) -> Result<BTreeMap<String, BackupPin>, Error> {
        let read = sqlx::query(BACKUPS).bind(project.to_string()).fetch_all(self.tables());
        let rows = failing!("db.reads.backups", read.await).map_err(away)?;
        rows.iter()
            .map(|row| {
                let pin = BackupPin { addon: row.try_get("addon")?, digest: row.try_get("digest")? };
                Ok((row.try_get("backup")?, pin))
            })
            .collect::<Result<_, _>>()
            .map_err(away)
    }

    /// An addon's newest backups, newest first, each with the position of the event that says that it is there.
    pub(crate) async fn backups_of(
        &self,
        project: ProjectId,
        addon: &str,
    ) -> Result<Vec<(String, Position)>, Error> {
        self.caught_up().await?;
        let rows: Vec<(String, i64)> = sqlx::query_as(BACKUPS_OF)
            .bind(project.to_string())
            .bind(addon)
            .fetch_all(self.tables())
            .await
            .map_err(away)?;
        Ok(rows.into_iter().map(|(backup, position)| (backup, position.cast_unsigned())).collect())
    }

    /// Whether a build of a project was made before another one; false if either is not known.
    pub(crate) async fn was_made_before(
        &self,
        project: ProjectId,
        first: &str,
        second: &str,
    ) -> Result<bool, Error> {
        let read = sqlx::query_scalar(MADE_BEFORE).bind(project.to_string()).bind(first).bind(second);
        let found: i64 = read.fetch_one(self.tables()).await.map_err(away)?;
        Ok(found > 0)
    }

    fn models(&self) -> &'static [&'static str] {
        projections::names(self.cluster.together().is_some())
    }

    pub(crate) fn tables(&self) -> &AnyPool {
        self.views.pool()
    }

    /// Waits until the read tables hold all that is in the log by now.
    pub(crate) async fn caught_up(&self) -> Result<(), Error> {
        let head = *self.log.tail().borrow();
        let waited = self.views.wait_for(self.models(), head, PATIENCE).await;
        waited.map_err(|error| {
            let after = error.retry_after();
            let when = if after.is_some() { " then" } else { "" };
            Error::unavailable(format!("{error}; try again{when}")).retry_after(after)
        })
    }

    /// Waits until the read tables hold all that is in the log by now, also where they have to be made of all of a large
    /// log first.
    pub(crate) async fn caught_up_in_the_end(&self) -> Result<(), Error> {
        let head = *self.log.tail().borrow();
        tokio::select! {
            waited = self.views.wait_long_for(self.models(), head) => {
                waited.map_err(|error| Error::unavailable(error.to_string()))
            }
            () = self.stopping.cancelled() => Err(Error::unavailable("this scheduler stops")),
        }
    }
}

/// A target's row; none for one that cannot be read.
fn place(row: &AnyRow) -> Result<Option<(ResourceId, PlaceRow)>, sqlx::Error> {
    let at =
        |field: &str| row.try_get::<i64, _>(field).map(|at| (at != 0).then(|| Timestamp::from_micros(at)));
    let text = |field: &str| row.try_get::<String, _>(field);
    let (Ok(target), Ok(executor)) = (text("target")?.parse(), text("executor")?.parse()) else {
        return Ok(None);
    };
    let (run, reason, again) = (text("run")?, text("reason")?, at("again")?);
    let failed = (!reason.is_empty()).then_some((reason, again));
    let restores = !text("backup")?.is_empty();
    let moving = (!run.is_empty()).then_some(MovingRow { run, restores, failed });
    let since = Timestamp::from_micros(row.try_get("since")?);
    Ok(Some((target, PlaceRow { executor, since, lost: at("lost")?, moving })))
}

fn placed(row: &AnyRow) -> Result<Placed, sqlx::Error> {
    Ok(Placed {
        project: row.try_get("project")?,
        slug: row.try_get("slug")?,
        run: row.try_get("run")?,
        at: Timestamp::from_micros(row.try_get("at")?),
        artifact: artifact(row)?,
    })
}

pub(crate) fn artifact(row: &AnyRow) -> Result<Artifact, sqlx::Error> {
    Ok(Artifact {
        digest: row.try_get("digest")?,
        build: row.try_get("build")?,
        service: row.try_get("service")?,
        commit: row.try_get("commit_sha")?,
        branch: row.try_get("branch")?,
    })
}

pub(crate) fn away(error: sqlx::Error) -> Error {
    tracing::error!(%error, "a read table did not answer");
    Error::unavailable("the read tables did not answer; try again")
}
