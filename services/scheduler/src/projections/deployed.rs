//! `deployed`, `builds` and `backups`: what runs made, what ran where since when, and who let it. History is kept, so that
//! what was deployed at any time can be asked, and where it comes from.

use std::collections::BTreeMap;

use async_trait::async_trait;
use shipway_eventing::feed::{HandleError, Projection, Rows};
use shipway_events::{
    RawEvent, StreamEvent,
    run::{self, Effect},
};
use sqlx::AnyConnection;

/// The read model of effects.
pub(super) struct Deployed;

const SCHEMA: &[&str] = &[
    "CREATE TABLE run_projects_3 (run TEXT PRIMARY KEY, project TEXT NOT NULL)",
    // Every target that was ever released: so that the last release of each is looked up, and not searched for.
    "CREATE TABLE targets_3 (resource TEXT PRIMARY KEY, project TEXT NOT NULL)",
    "CREATE TABLE deployed_3 (
        resource TEXT NOT NULL, position BIGINT NOT NULL, project TEXT NOT NULL, slug TEXT NOT NULL,
        at BIGINT NOT NULL, run TEXT NOT NULL, digest TEXT NOT NULL, build TEXT NOT NULL, service TEXT NOT NULL,
        commit_sha TEXT NOT NULL, branch TEXT NOT NULL, PRIMARY KEY (resource, position))",
    "CREATE INDEX deployed_3_at ON deployed_3 (resource, at, position)",
    "CREATE INDEX deployed_3_digest ON deployed_3 (digest, position)",
    "CREATE TABLE builds_3 (
        project TEXT NOT NULL, build TEXT NOT NULL, position BIGINT NOT NULL, at BIGINT NOT NULL, run TEXT NOT NULL,
        service TEXT NOT NULL, digest TEXT NOT NULL, commit_sha TEXT NOT NULL, branch TEXT NOT NULL,
        PRIMARY KEY (project, build))",
    "CREATE INDEX builds_3_project ON builds_3 (project, position)",
    "CREATE INDEX builds_3_digest ON builds_3 (digest, position)",
    "CREATE INDEX builds_3_service ON builds_3 (project, service, position)",
    "CREATE INDEX builds_3_branch ON builds_3 (project, service, branch, position)",
    "CREATE TABLE backups_3 (
        project TEXT NOT NULL, backup TEXT NOT NULL, position BIGINT NOT NULL, addon TEXT NOT NULL,
        digest TEXT NOT NULL, bytes BIGINT NOT NULL, PRIMARY KEY (project, backup))",
    "CREATE INDEX backups_3_project ON backups_3 (project, position)",
    "CREATE INDEX backups_3_addon ON backups_3 (project, addon, position)",
    "CREATE TABLE judgements_3 (
        run TEXT NOT NULL, position BIGINT NOT NULL, node BIGINT NOT NULL, rejects BIGINT NOT NULL, who TEXT NOT NULL,
        at BIGINT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (run, position))",
];

const PROJECT: &str = "INSERT INTO run_projects_3 (run, project)";
const PROJECT_OF: &str = "SELECT project FROM run_projects_3 WHERE run = $1";
const TARGET: &str =
    "INSERT INTO targets_3 (resource, project) VALUES ($1, $2) ON CONFLICT (resource) DO NOTHING";
const RELEASED: &str =
    "INSERT INTO deployed_3 (resource, position, project, slug, at, run, digest, build, service,
        commit_sha, branch)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT (resource, position) DO NOTHING";
const BUILT: &str =
    "INSERT INTO builds_3 (project, build, position, at, run, service, digest, commit_sha, branch)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (project, build) DO NOTHING";
const BACKED_UP: &str = "INSERT INTO backups_3 (project, backup, position, addon, digest, bytes)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project, backup) DO NOTHING";
const JUDGED: &str = "INSERT INTO judgements_3 (run, position, node, rejects, who, at, reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

#[async_trait]
impl Projection for Deployed {
    fn name(&self) -> &'static str {
        "deployed"
    }

    fn version(&self) -> u32 {
        3
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["run"]
    }

    fn tables(&self) -> &'static [&'static str] {
        &["run_projects_3", "targets_3", "deployed_3", "builds_3", "backups_3", "judgements_3"]
    }

    fn schema(&self) -> &'static [&'static str] {
        SCHEMA
    }

    async fn apply(&self, tables: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        // Runs that start among them, which are written together.
        let mut new: BTreeMap<&str, String> = BTreeMap::new();
        for raw in events {
            // A node without effects, which most are, has no such word in its event.
            let may_have_effects = raw.data.contains("\"effects\"")
                && matches!(raw.kind.as_str(), "run.node_succeeded" | "run.node_ended_later");
            // Diagnostic runs make nothing.
            let makes_something = raw.kind == "run.started" && !raw.data.contains("\"origin\":\"bench\"");
            let judges = matches!(raw.kind.as_str(), "run.approval_given" | "run.approval_rejected");
            if !may_have_effects && !makes_something && !judges {
                continue;
            }
            let run = raw.stream.id().unwrap_or_default();
            let effects = match run::Event::from_raw(raw)?.event {
                run::Event::Started(started) => {
                    new.insert(run, started.project.to_string());
                    continue;
                }
                run::Event::ApprovalGiven(e) => {
                    judge(tables, raw, run, e.node, false, e.by.name(), &e.reason).await?;
                    continue;
                }
                run::Event::ApprovalRejected(e) => {
                    judge(tables, raw, run, e.node, true, e.by.name(), &e.reason).await?;
                    continue;
                }
                run::Event::NodeSucceeded(done) => done.effects,
                run::Event::NodeEndedLater(done) => done.effects,
                _ => continue,
            };
            let project = match new.get(run) {
                Some(project) => Some(project.clone()),
                None => sqlx::query_scalar(PROJECT_OF).bind(run).fetch_optional(&mut *tables).await?,
            };
            let Some(project) = project else { continue };
            for effect in effects {
                record(tables, raw, run, &project, effect).await?;
            }
        }
        let mut rows = Rows::new(PROJECT);
        new.into_iter().for_each(|(run, project)| rows.push([run.into(), project.into()]));
        rows.write(tables).await?;
        Ok(())
    }
}

async fn record(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    project: &str,
    effect: Effect,
) -> Result<(), HandleError> {
    let position = raw.position.cast_signed();
    match effect {
        Effect::Released { target, slug, artifact } => {
            sqlx::query(TARGET).bind(target.to_string()).bind(project).execute(&mut *tables).await?;
            sqlx::query(RELEASED)
                .bind(target.to_string())
                .bind(position)
                .bind(project)
                .bind(slug)
                .bind(raw.at.micros())
                .bind(run)
                .bind(artifact.digest)
                .bind(artifact.build)
                .bind(artifact.service)
                .bind(artifact.commit)
                .bind(artifact.branch)
                .execute(&mut *tables)
                .await?;
        }
        Effect::Built { artifact, .. } => {
            sqlx::query(BUILT)
                .bind(project)
                .bind(artifact.build)
                .bind(position)
                .bind(raw.at.micros())
                .bind(run)
                .bind(artifact.service)
                .bind(artifact.digest)
                .bind(artifact.commit)
                .bind(artifact.branch)
                .execute(&mut *tables)
                .await?;
        }
        Effect::BackedUp { addon, backup, digest, bytes } => {
            sqlx::query(BACKED_UP)
                .bind(project)
                .bind(backup)
                .bind(position)
                .bind(addon)
                .bind(digest)
                .bind(bytes.cast_signed())
                .execute(&mut *tables)
                .await?;
        }
        Effect::AddonStarted { .. } | Effect::Restored { .. } | Effect::JobRan { .. } => {}
    }
    Ok(())
}

async fn judge(
    tables: &mut AnyConnection,
    raw: &RawEvent,
    run: &str,
    node: u32,
    rejects: bool,
    who: &str,
    reason: &str,
) -> Result<(), HandleError> {
    sqlx::query(JUDGED)
        .bind(run)
        .bind(raw.position.cast_signed())
        .bind(i64::from(node))
        .bind(i64::from(rejects))
        .bind(who)
        .bind(raw.at.micros())
        .bind(reason)
        .execute(&mut *tables)
        .await?;
    Ok(())
}
