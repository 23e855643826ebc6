//! From people's words for what is held to what a run can be compared with: what was built, and what before it.

use shipway_contracts::{Code, Error, id};
use shipway_engine::parse_version;
use shipway_events::{
    ProjectId, RunId,
    plan::Artifact,
    policy::{Before, Line, Predicate, Subject},
};
use sqlx::Row;

use super::subject;
use crate::{queries::away, service::Shared};

/// So many commits before one are remembered with a hold.
const MOST_BEFORE: i64 = 1_000;
/// Digits of a commit's id that are needed.
const SHORTEST: usize = 7;

const OF_DIGEST: &str =
    "SELECT service, commit_sha FROM builds_3 WHERE project = $1 AND digest = $2 ORDER BY position LIMIT 20";
const OF_COMMIT: &str = "SELECT service, branch, commit_sha, MIN(position) AS first FROM builds_3
    WHERE project = $1 AND commit_sha >= $2 AND commit_sha < $3
    GROUP BY service, branch, commit_sha ORDER BY service, branch LIMIT 200";
const BEFORE: &str = "SELECT commit_sha FROM builds_3
    WHERE project = $1 AND service = $2 AND branch = $3 AND commit_sha <> ''
    GROUP BY commit_sha HAVING MIN(position) < $4 AND MIN(position) > $5
    ORDER BY MIN(position) DESC LIMIT $6";

/// What somebody wants to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// An artifact and what came before it, by its digest or the beginning of it.
    Digest(String),
    /// What a run released, and what came before.
    Run(String),
    /// What contains a commit.
    Commit(String),
    /// Versions below one, and that one too if it is inclusive.
    Version { below: String, inclusive: bool },
}

/// A service's builds of a branch, from the first one of a commit on.
struct Built {
    service: String,
    branch: String,
    commit: String,
    first: i64,
}

impl Shared {
    /// Artifacts, what else is built of their commits, and what was built before them on the same branches; of that only
    /// what came after `since`, where something of the same service is in it.
    pub(crate) async fn lineage(
        &self,
        project: ProjectId,
        artifacts: Vec<Subject>,
        since: &[Subject],
    ) -> Result<Predicate, Error> {
        let mut earlier: Vec<Before> = Vec::new();
        for subject in artifacts.iter().filter(|subject| !subject.commit.is_empty()) {
            let mut commits = Vec::new();
            for built in self.built_of(project, &subject.commit).await? {
                if built.service != subject.service {
                    continue;
                }
                let mut after = 0;
                for kept in since.iter().filter(|kept| kept.service == subject.service) {
                    let there = self.built_of(project, &kept.commit).await?;
                    let same =
                        |other: &&Built| other.service == built.service && other.branch == built.branch;
                    after = there.iter().filter(same).map(|other| other.first).fold(after, i64::max);
                }
                commits.extend(self.before(project, &built, after).await?);
            }
            commits.retain(|commit| *commit != subject.commit);
            if !commits.is_empty() {
                earlier.push(Before { service: subject.service.clone(), commits });
            }
        }
        Ok(Predicate::Lineage { artifacts, earlier })
    }

    /// What contains a commit.
    pub(crate) async fn containing(&self, project: ProjectId, text: &str) -> Result<Predicate, Error> {
        let text = text.to_ascii_lowercase();
        if text.len() < SHORTEST || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::bad_request(format!(
                "field `commit`: `{text}` is no commit: give {SHORTEST} hex digits of its id or more"
            )));
        }
        let built = self.built_of(project, &text).await?;
        let mut lines = Vec::new();
        for built in &built {
            let before = self.before(project, built, 0).await?;
            lines.push(Line { service: built.service.clone(), branch: built.branch.clone(), before });
        }
        let commit = match built.as_slice() {
            [first, rest @ ..] if rest.iter().all(|other| other.commit == first.commit) => {
                first.commit.clone()
            }
            [] => text,
            _ => {
                return Err(Error::bad_request(format!(
                    "field `commit`: several commits that were built begin with `{text}`; give more of it"
                )));
            }
        };
        Ok(Predicate::Commit { commit, lines })
    }

    /// The artifact of a digest, or of its beginning; once for each commit that it was built of.
    pub(crate) async fn subjects_of_digest(
        &self,
        project: ProjectId,
        text: &str,
    ) -> Result<Vec<Subject>, Error> {
        let digest = self.digest(text).await?;
        let read = sqlx::query(OF_DIGEST).bind(project.to_string()).bind(digest.as_str());
        let rows = read.fetch_all(self.tables()).await.map_err(away)?;
        let read = |row: &sqlx::any::AnyRow| {
            let (service, commit) = (row.try_get("service")?, row.try_get("commit_sha")?);
            Ok(Subject { digest: digest.clone(), service, commit })
        };
        let mut found: Vec<Subject> = rows.iter().map(read).collect::<Result<_, _>>().map_err(away)?;
        found.dedup();
        if found.is_empty() {
            return Err(Error::not_found(format!(
                "nothing with the digest {digest} was built in this project"
            )));
        }
        Ok(found)
    }

    /// What a run has released.
    pub(crate) async fn subjects_of_run(
        &self,
        project: ProjectId,
        text: &str,
    ) -> Result<(RunId, Vec<Subject>), Error> {
        let run = self.find_run(text).await?;
        let state = self.book.look(run).await?;
        if state.started().is_none_or(|started| started.project != project) {
            return Err(Error::bad_request(format!("run {run} is of another project")));
        }
        let found = subjects(state.released().values());
        match found.is_empty() {
            false => Ok((run, found)),
            true => Err(Error::bad_request(format!(
                "run {run} has released nothing; name what it built by its digest"
            ))),
        }
    }

    /// What is meant to be bad, by a run or a digest: its project, the run if one was named, and what is bad.
    pub(crate) async fn bad_subjects(
        &self,
        what: &str,
        project: &str,
    ) -> Result<(ProjectId, Option<RunId>, Vec<Subject>), Error> {
        let mut found = Vec::new();
        let mut missing = None;
        let scopes = self.scopes(project).await?;
        if what.starts_with("sha256:") {
            for scope in scopes {
                let project = id("project", &scope.project)?;
                match self.subjects_of_digest(project, what).await {
                    Ok(subjects) => found.push((project, None, subjects)),
                    Err(error) if error.code == Code::NotFound => missing = Some(error),
                    Err(error) => return Err(error),
                }
            }
        } else {
            let run = self.find_run(what).await?;
            let state = self.book.look(run).await?;
            let of = state.started().map(|started| started.project);
            for scope in scopes {
                let project: ProjectId = id("project", &scope.project)?;
                if of == Some(project) {
                    let (run, subjects) = self.subjects_of_run(project, what).await?;
                    found.push((project, Some(run), subjects));
                }
            }
        }
        match (found.len(), missing) {
            (1, _) => Ok(found.remove(0)),
            (0, Some(missing)) => Err(missing),
            (0, None) => Err(Error::not_found(format!("`{what}` is of no project that was meant"))),
            _ => Err(Error::bad_request(format!(
                "`{what}` was built in several projects; say which: `--project`"
            ))),
        }
    }

    /// Where a commit was built, and when first.
    async fn built_of(&self, project: ProjectId, commit: &str) -> Result<Vec<Built>, Error> {
        let rows = sqlx::query(OF_COMMIT)
            .bind(project.to_string())
            .bind(commit)
            .bind(format!("{commit}g"))
            .fetch_all(self.tables())
            .await
            .map_err(away)?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Built {
                service: row.try_get("service")?,
                branch: row.try_get("branch")?,
                commit: row.try_get("commit_sha")?,
                first: row.try_get("first")?,
            })
        };
        rows.iter().map(read).collect::<Result<_, _>>().map_err(away)
    }

    /// The commits that a service had been built of on a branch before one, and after a position.
    async fn before(&self, project: ProjectId, built: &Built, after: i64) -> Result<Vec<String>, Error> {
        sqlx::query_scalar(BEFORE)
            .bind(project.to_string())
            .bind(built.service.as_str())
            .bind(built.branch.as_str())
            .bind(built.first)
            .bind(after)
            .bind(MOST_BEFORE)
            .fetch_all(self.tables())
            .await
            .map_err(away)
    }
}

/// Versions below one.
pub(crate) fn version(below: &str, inclusive: bool) -> Result<Predicate, Error> {
    let version = parse_version(below).ok_or_else(|| {
        Error::bad_request(format!("field `below`: `{below}` is no version; give one like `1.9.0`"))
    })?;
    Ok(Predicate::Version { below: version.to_string(), inclusive })
}

/// Artifacts as holds know them, each once.
fn subjects<'a>(artifacts: impl IntoIterator<Item = &'a Artifact>) -> Vec<Subject> {
    let mut found: Vec<Subject> = Vec::new();
    for artifact in artifacts {
        let subject = subject(artifact);
        if !found.contains(&subject) {
            found.push(subject);
        }
    }
    found
}
