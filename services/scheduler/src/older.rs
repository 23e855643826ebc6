//! Builds that a plan needs and that are not among the newest of its project: a service that is built seldom has one all
//! the same.

use serde_json::Value;
use shipway_contracts::Error;
use shipway_events::{
    ProjectId,
    plan::{Artifact, Plan, PlanNode},
    run::Started,
};
use shipway_nodes::workload::Build;

use crate::{
    queries::{artifact, away},
    service::Shared,
};

const BY_ID: &str =
    "SELECT build, service, digest, commit_sha, branch FROM builds_3 WHERE project = $1 AND build = $2";
const NEWEST: &str = "SELECT build, service, digest, commit_sha, branch FROM builds_3
    WHERE project = $1 AND service = $2 AND branch NOT LIKE 'refs/pull/%' ORDER BY position DESC LIMIT 1";
const NEWEST_OF_BRANCH: &str = "SELECT build, service, digest, commit_sha, branch FROM builds_3
    WHERE project = $1 AND service = $2 AND branch = $3 ORDER BY position DESC LIMIT 1";

/// All of these, to look at how databases answer them.
#[cfg(test)]
pub(crate) const ALL: [&str; 3] = [BY_ID, NEWEST, NEWEST_OF_BRANCH];

/// A build that a node names, as far as that is known before the run.
#[derive(Debug, PartialEq, Eq)]
enum Named<'p> {
    /// This one.
    Id(&'p str),
    /// The newest of a service, of a branch if one is said.
    Newest(&'p str, Option<&'p str>),
}

impl Named<'_> {
    fn is_in(&self, plan: &Plan) -> bool {
        match self {
            Self::Id(build) => plan.builds.contains_key(*build),
            Self::Newest(service, branch) => plan.builds.values().any(|artifact| {
                artifact.service == *service
                    && match branch {
                        Some(branch) => artifact.branch == *branch,
                        None => !Build::is_pull_request(&artifact.branch),
                    }
            }),
        }
    }
}

impl Shared {
    /// Pins what the nodes name and the plan does not have yet.
    pub(crate) async fn pin_older_builds(&self, started: &mut Started) -> Result<(), Error> {
        let project = started.project;
        let mut found = Vec::new();
        for named in
            named(&started.plan, &started.plan.nodes).into_iter().filter(|named| !named.is_in(&started.plan))
        {
            found.extend(self.older_build(project, &named).await?);
        }
        let found = found.into_iter().map(|artifact| (artifact.build.clone(), artifact));
        started.plan.builds.extend(found);
        Ok(())
    }

    async fn older_build(&self, project: ProjectId, named: &Named<'_>) -> Result<Option<Artifact>, Error> {
        let project = project.to_string();
        let query = match named {
            Named::Id(build) => sqlx::query(BY_ID).bind(project).bind(*build),
            Named::Newest(service, None) => sqlx::query(NEWEST).bind(project).bind(*service),
            Named::Newest(service, Some(branch)) => {
                sqlx::query(NEWEST_OF_BRANCH).bind(project).bind(*service).bind(*branch)
            }
        };
        let row = query.fetch_optional(self.tables()).await.map_err(away)?;
        row.map(|row| artifact(&row)).transpose().map_err(away)
    }
}

/// What the nodes name, those in loops included. What a node that runs before makes is not known yet.
fn named<'p>(plan: &'p Plan, nodes: &'p [PlanNode]) -> Vec<Named<'p>> {
    const INTERNAL: &str = "/deployment/internal";
    let declared = |job: &PlanNode| {
        let slug = job.spec.get("jobId")?.as_str()?;
        of(&plan.resources.get(slug)?.spec, INTERNAL, "buildId")
    };
    let mut all = Vec::new();
    for node in nodes {
        all.extend(match node.kind.as_str() {
            "Release" => of(&node.spec, "/origin", "build"),
            "JobRun" => of(&node.spec, INTERNAL, "buildId").or_else(|| declared(node)),
            _ => None,
        });
        all.extend(named(plan, &node.body));
    }
    all
}

fn of<'p>(spec: &'p Value, place: &str, build: &str) -> Option<Named<'p>> {
    let origin = spec.pointer(place)?;
    let known = |name: &str| match origin.get(name).and_then(Value::as_str) {
        Some(text) if text.contains("${") => Err(()),
        text => Ok(text.filter(|text| !matches!(*text, "latest" | ""))),
    };
    // Whatever depends on another node is made in this run, or is an id of what the plan has.
    match known(build).ok()? {
        Some(id) => Some(Named::Id(id)),
        None => Some(Named::Newest(known("id").ok()??, known("branch").ok()?)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shipway_events::plan::PinnedResource;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_nodes_name_is_found_wherever_it_stands() {
        let node = |kind: &str, spec: Value| PlanNode { kind: kind.to_owned(), spec, ..PlanNode::default() };
        let release = |origin: Value| node("Release", json!({"type": "build", "origin": origin}));
        let looped = PlanNode {
            body: vec![release(json!({"id": "web", "build": "latest", "branch": "main"}))],
            ..node("LoopWorkflow", json!({}))
        };
        let nodes = [
            release(json!({"id": "api"})),
            release(json!({"id": "api", "build": "b-1-2"})),
            release(json!({"id": "api", "build": "${refs.build.id}"})),
            release(json!({"id": "api", "branch": "${refs.build.branch}"})),
            looped,
            node("JobRun", json!({"deployment": {"internal": {"id": "job", "buildId": "b-3-4"}}})),
            node("JobRun", json!({"jobId": "smoke"})),
            node("Message", json!({"origin": {"id": "api"}})),
        ];
        let smoke: PinnedResource = serde_json::from_value(json!({
            "project": Uuid::nil(), "id": Uuid::nil(), "kind": "ManualJob",
            "spec": {"deployment": {"internal": {"id": "tests", "branch": "main"}}},
        }))
        .unwrap();
        let plan = Plan { resources: [("smoke".to_owned(), smoke)].into(), ..Plan::default() };
        assert_eq!(
            named(&plan, &nodes),
            [
                Named::Newest("api", None),
                Named::Id("b-1-2"),
                Named::Newest("web", Some("main")),
                Named::Id("b-3-4"),
                Named::Newest("tests", Some("main")),
            ]
        );
    }
}
