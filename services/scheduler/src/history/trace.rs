//! Where a digest comes from, and where it went.

use std::collections::{BTreeMap, BTreeSet};

use shipway_contracts::{
    Error,
    v1::{
        Resource, TraceDigestReply, TraceDigestRequest, TracedApproval, TracedBuild, TracedDelivery,
        TracedRelease, TracedRun,
    },
};
use shipway_events::{DeliveryId, RunId, StreamEvent, StreamName, Timestamp, delivery, run};
use sqlx::Row;

use crate::{queries::away, service::Shared};

/// The most releases that are told of, and builds.
const RELEASES: usize = 100;
const BUILDS: usize = 20;
/// So far up it is looked for the run that a delivery started.
const ABOVE: usize = 16;

pub(crate) const BUILT_FROM: &str = "SELECT min(digest) FROM builds_3 WHERE digest >= $1 AND digest < $2";
pub(crate) const RELEASED_FROM: &str =
    "SELECT min(digest) FROM deployed_3 WHERE digest >= $1 AND digest < $2";
pub(crate) const BUILDS_OF: &str = "SELECT project, build, service, commit_sha, branch, at, run FROM builds_3
    WHERE digest = $1 ORDER BY position LIMIT 20";
pub(crate) const RELEASES_OF: &str = "SELECT resource, position, project, slug, at, run FROM deployed_3
    WHERE digest = $1 ORDER BY position DESC LIMIT 101";
pub(crate) const REPLACED: &str = "SELECT at, digest FROM deployed_3
    WHERE resource = $1 AND position > $2 AND digest <> $3 ORDER BY position LIMIT 1";
pub(crate) const RUN: &str =
    "SELECT path, name, status, origin, author, created, delivery, parent FROM runs_3 WHERE run = $1";
pub(crate) const JUDGED: &str =
    "SELECT node, rejects, who, at, reason FROM judgements_3 WHERE run = $1 ORDER BY position LIMIT 50";

/// What is looked up once for an answer.
#[derive(Default)]
struct Known {
    /// What people call projects, and their resources, by the project's id.
    projects: BTreeMap<String, (String, Vec<Resource>)>,
    runs: BTreeMap<String, TracedRun>,
}

impl Shared {
    /// Where a digest comes from, and where it went.
    pub(crate) async fn trace(&self, request: TraceDigestRequest) -> Result<TraceDigestReply, Error> {
        self.caught_up().await?;
        let digest = self.digest(&request.digest).await?;
        let mut known = Known::default();
        for (id, slug) in self.project_names("").await? {
            known.projects.insert(id, (slug, Vec::new()));
        }
        let builds = self.traced_builds(&digest, &mut known).await?;
        let mut releases = self.traced_releases(&digest, &mut known).await?;
        let more = releases.len() > RELEASES;
        releases.truncate(RELEASES);
        releases.reverse();
        Ok(TraceDigestReply { digest, builds, releases, more })
    }

    /// The digest that begins so.
    pub(crate) async fn digest(&self, text: &str) -> Result<String, Error> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text).to_lowercase();
        if digits.len() < 8 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::bad_request(format!(
                "`{text}` is no digest: give `sha256:…`, or the first 8 hex digits of one or more"
            )));
        }
        let begins = format!("sha256:{digits}");
        // After all that begin so: no hex digit is higher.
        let end = format!("{begins}g");
        let mut found = BTreeSet::new();
        for sql in [BUILT_FROM, RELEASED_FROM] {
            let mut from = begins.clone();
            // The first, and one more if there is another.
            for _ in 0..2 {
                let first: Option<String> = sqlx::query_scalar(sql)
                    .bind(from.as_str())
                    .bind(end.as_str())
                    .fetch_one(self.tables())
                    .await
                    .map_err(away)?;
                let Some(first) = first else { break };
                // The least text that is greater.
                from = format!("{first}\u{1}");
                found.insert(first);
            }
        }
        match found.len() {
            1 => found.pop_first().ok_or_else(|| Error::not_found("no digest")),
            0 => Err(Error::not_found(format!(
                "nothing with the digest `{text}` was built or released; `shipway state` shows what runs"
            ))),
            _ => {
                let all: Vec<_> = found.into_iter().collect();
                let all = all.join(", ");
                Err(Error::bad_request(format!("`{text}` begins more than one digest: {all}")))
            }
        }
    }

    async fn traced_builds(&self, digest: &str, known: &mut Known) -> Result<Vec<TracedBuild>, Error> {
        let rows = sqlx::query(BUILDS_OF).bind(digest).fetch_all(self.tables()).await.map_err(away)?;
        let mut builds = Vec::new();
        for row in rows.iter().take(BUILDS) {
            let text = |field: &str| row.try_get::<String, _>(field).map_err(away);
            builds.push(TracedBuild {
                project: known.project(&text("project")?),
                build: text("build")?,
                service: text("service")?,
                commit: text("commit_sha")?,
                branch: text("branch")?,
                at: Timestamp::from_micros(row.try_get("at").map_err(away)?).to_string(),
                run: self.traced_run(&text("run")?, known).await?,
            });
        }
        Ok(builds)
    }

    /// Newest first, and one more than are told of.
    async fn traced_releases(&self, digest: &str, known: &mut Known) -> Result<Vec<TracedRelease>, Error> {
        let rows = sqlx::query(RELEASES_OF).bind(digest).fetch_all(self.tables()).await.map_err(away)?;
        let mut releases = Vec::new();
        for row in &rows {
            let text = |field: &str| row.try_get::<String, _>(field).map_err(away);
            let (project, slug) = (text("project")?, text("slug")?);
            let replaced = sqlx::query_as::<_, (i64, String)>(REPLACED)
                .bind(text("resource")?)
                .bind(row.try_get::<i64, _>("position").map_err(away)?)
                .bind(digest)
                .fetch_optional(self.tables());
            let (until, replaced_by) = match replaced.await.map_err(away)? {
                Some((at, by)) => (Timestamp::from_micros(at).to_string(), by),
                None => (String::new(), String::new()),
            };
            self.learn_resources(&project, known).await?;
            releases.push(TracedRelease {
                stage: known.stage(&project, &slug),
                project: known.project(&project),
                resource: slug,
                from: Timestamp::from_micros(row.try_get("at").map_err(away)?).to_string(),
                until,
                replaced_by,
                run: self.traced_run(&text("run")?, known).await?,
            });
        }
        Ok(releases)
    }

    async fn learn_resources(&self, project: &str, known: &mut Known) -> Result<(), Error> {
        if let Some((slug, resources)) = known.projects.get_mut(project)
            && resources.is_empty()
        {
            *resources = self.resources(slug).await?;
        }
        Ok(())
    }

    /// A run, the delivery that it follows from, and who let it.
    async fn traced_run(&self, run: &str, known: &mut Known) -> Result<Option<TracedRun>, Error> {
        if let Some(traced) = known.runs.get(run) {
            return Ok(Some(traced.clone()));
        }
        let Some((mut traced, mut delivery)) = self.run_row(run).await? else { return Ok(None) };
        let mut above = traced.parent.clone();
        for _ in 0..ABOVE {
            if !delivery.is_empty() || above.is_empty() {
                break;
            }
            let Some((parent, of)) = self.run_row(&above).await? else { break };
            (above, delivery) = (parent.parent, of);
        }
        if let Ok(id) = delivery.parse() {
            traced.delivery = self.traced_delivery(id, &traced.path).await?;
        }
        traced.approvals = self.traced_approvals(run).await?;
        known.runs.insert(run.to_owned(), traced.clone());
        Ok(Some(traced))
    }

    /// A run as its row says, and its delivery's id.
    async fn run_row(&self, run: &str) -> Result<Option<(TracedRun, String)>, Error> {
        let row = sqlx::query(RUN).bind(run).fetch_optional(self.tables()).await.map_err(away)?;
        let Some(row) = row else { return Ok(None) };
        let text = |field: &str| row.try_get::<String, _>(field).map_err(away);
        let traced = TracedRun {
            id: run.to_owned(),
            path: text("path")?,
            name: text("name")?,
            status: text("status")?,
            origin: text("origin")?,
            author: text("author")?,
            created_at: Timestamp::from_micros(row.try_get("created").map_err(away)?).to_string(),
            parent: text("parent")?,
            ..TracedRun::default()
        };
        Ok(Some((traced, text("delivery")?)))
    }

    /// A delivery as its own events tell of it.
    async fn traced_delivery(&self, id: DeliveryId, path: &str) -> Result<Option<TracedDelivery>, Error> {
        let events = self.log.read_stream(&StreamName::delivery(id), 0, 10).await;
        let events = events.map_err(|error| Error::unavailable(format!("{error}; try again")))?;
        for raw in &events {
            let Ok(delivery::Event::Matched(matched)) = delivery::Event::from_raw(raw).map(|it| it.event)
            else {
                continue;
            };
            let of_it = matched.verdicts.iter().find(|verdict| verdict.matched && verdict.path == path);
            let sender = of_it.and_then(|verdict| verdict.sender.clone());
            let sender =
                sender.or_else(|| matched.verdicts.iter().find_map(|verdict| verdict.sender.clone()));
            return Ok(Some(TracedDelivery {
                id: id.to_string(),
                summary: matched.summary,
                at: raw.at.to_string(),
                sender: sender.unwrap_or_default(),
            }));
        }
        Ok(None)
    }

    async fn traced_approvals(&self, run: &str) -> Result<Vec<TracedApproval>, Error> {
        let rows = sqlx::query(JUDGED).bind(run).fetch_all(self.tables()).await.map_err(away)?;
        let (Ok(id), false) = (run.parse::<RunId>(), rows.is_empty()) else { return Ok(Vec::new()) };
        let first = self.log.read_stream(&StreamName::run(id), 0, 1).await;
        let first = first.map_err(|error| Error::unavailable(format!("{error}; try again")))?;
        let started = first.first().and_then(|raw| match run::Event::from_raw(raw).ok()?.event {
            run::Event::Started(started) => Some(started),
            _ => None,
        });
        let name = |node: i64| {
            let plan = &started.as_ref()?.plan;
            Some(plan.nodes.get(usize::try_from(node).ok()?)?.reference.clone())
        };
        let read = |row: &sqlx::any::AnyRow| {
            let node: i64 = row.try_get("node")?;
            Ok(TracedApproval {
                node: name(node).unwrap_or_else(|| format!("node {node}")),
                by: row.try_get("who")?,
                at: Timestamp::from_micros(row.try_get("at")?).to_string(),
                reason: row.try_get("reason")?,
                rejected: row.try_get::<i64, _>("rejects")? != 0,
            })
        };
        rows.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(away)
    }
}

impl Known {
    /// What people call a project; its id if it is gone.
    fn project(&self, id: &str) -> String {
        self.projects.get(id).map_or_else(|| id.to_owned(), |(slug, _)| slug.clone())
    }

    /// The stage that a resource is in now; empty if it is in none.
    fn stage(&self, project: &str, slug: &str) -> String {
        let resources = self.projects.get(project).map_or(&[][..], |(_, resources)| resources);
        resources.iter().find(|resource| resource.slug == slug).map(|it| it.stage.clone()).unwrap_or_default()
    }
}
