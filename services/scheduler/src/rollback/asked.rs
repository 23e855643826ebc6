//! What rollbacks ask of the read tables, the log and the hosts.

use shipway_contracts::{
    Error,
    v1::{MissingBlobsRequest, executors_client::ExecutorsClient},
};
use shipway_events::{Position, ProjectId, RunId, Timestamp};
use sqlx::Row;

use super::facts::Stage;
use crate::{queries::away, service::Shared};

const SINCE: &str =
    "SELECT run FROM runs_3 WHERE project = $1 AND position >= $3 AND (pipeline = $2 OR pipeline = '')
    ORDER BY position DESC LIMIT $4";
const BACKUP: &str = "SELECT digest FROM backups_3 WHERE project = $1 AND backup = $2 AND addon = $3";
const HAD: &str = "SELECT slug, at, run FROM deployed_3 WHERE digest >= $1 AND digest < $2 AND project = $3
    ORDER BY position DESC LIMIT 200";
/// All of these, to look at how databases answer them.
#[cfg(test)]
pub(crate) const ALL: [&str; 3] = [SINCE, BACKUP, HAD];

impl Shared {
    /// The newest runs of a pipeline's flows, and of resources by themselves, from a time on.
    pub(super) async fn runs_since(
        &self,
        project: &str,
        path: &str,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<RunId>, Error> {
        let Some(from) = self.first_run_from(since).await? else { return Ok(Vec::new()) };
        let pipeline = path.split('/').next().unwrap_or_default();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = sqlx::query_scalar(SINCE).bind(project).bind(pipeline).bind(from).bind(limit);
        let found: Vec<String> = query.fetch_all(self.tables()).await.map_err(away)?;
        Ok(found.iter().filter_map(|run| run.parse().ok()).collect())
    }

    /// The digest of an addon's backup.
    pub(super) async fn digest_of_backup(
        &self,
        project: ProjectId,
        addon: &str,
        backup: &str,
    ) -> Result<Option<String>, Error> {
        let query = sqlx::query_scalar(BACKUP).bind(project.to_string()).bind(backup).bind(addon);
        query.fetch_optional(self.tables()).await.map_err(away)
    }

    /// When a digest was released in a stage last, and by which run.
    pub(super) async fn had(&self, stage: &Stage, digest: &str) -> Result<(Timestamp, String), Error> {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest).to_lowercase();
        if hex.len() < 8 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = format!("field `digest`: `{digest}` is no digest: give 8 hex digits of it or more");
            return Err(Error::bad_request(message));
        }
        let (from, to) = (format!("sha256:{hex}"), format!("sha256:{hex}g"));
        let query = sqlx::query(HAD).bind(from).bind(to).bind(stage.project.to_string());
        for row in query.fetch_all(self.tables()).await.map_err(away)? {
            let slug: String = row.try_get("slug").map_err(away)?;
            if stage.is_member(&slug) {
                let at = Timestamp::from_micros(row.try_get("at").map_err(away)?);
                return Ok((at, row.try_get("run").map_err(away)?));
            }
        }
        let message = format!(
            "`{digest}` was never released in {}; `shipway trace {digest}` says where it was",
            stage.path
        );
        Err(Error::not_found(message))
    }

    /// When the event at a position happened.
    pub(super) async fn time_of(&self, position: Position) -> Result<Timestamp, Error> {
        let read = self.log.read(position.saturating_sub(1), 1).await;
        let events = read.map_err(|error| Error::unavailable(error.to_string()))?;
        let event = events.first().ok_or_else(|| Error::unavailable("the log was not read; try again"))?;
        Ok(event.at)
    }

    /// Which of these are not among the blobs; none where no host can be asked: the run itself will tell.
    pub(super) async fn missing_blobs(&self, digests: Vec<String>) -> Result<Vec<String>, Error> {
        let hosts = match &self.executors {
            Some(here) => vec![here.clone()],
            None => self.hosts.all(&self.registry).into_iter().map(|(_, way)| way).collect(),
        };
        for host in hosts {
            let request = MissingBlobsRequest { digests: digests.clone() };
            match ExecutorsClient::new(host).missing_blobs(request).await {
                Ok(reply) => return Ok(reply.into_inner().digests),
                Err(error) => tracing::warn!(%error, "a host did not say which blobs there are"),
            }
        }
        Ok(Vec::new())
    }
}
