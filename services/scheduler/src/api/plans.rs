//! What a run would do if it were started now.

use shipway_contracts::{
    Error, id,
    v1::{Artifact, PlanRunReply, PlanRunRequest, PlannedNode, runs_client::RunsClient},
};
use shipway_engine::{held_in_words, hold_in_words};
use shipway_events::{ProjectId, RunId, plan, project::ResourceKind, run::Started};
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use super::wanted::{WantedRun, json_object};
use crate::{
    cluster::{is_passed_on, passed_on, shards::Shard},
    foresee::{Foreseen, Would, foresee, gates, named, secrets},
    planning,
    service::Shared,
    start::{FlowChoice, from_status},
};

/// A whole plan may be in the answer.
const LARGE: usize = 64 << 20;

impl Shared {
    /// Plans a run as its start would, and remembers the plan where the run would be.
    pub(crate) async fn plan_run(
        &self,
        request: PlanRunRequest,
        metadata: &MetadataMap,
    ) -> Result<PlanRunReply, Error> {
        let run = RunId::new(Uuid::nil());
        let wanted = WantedRun {
            project: request.project.clone(),
            flow: request.flow.clone(),
            arguments: json_object("arguments_json", &request.arguments_json)?,
            fields: json_object("fields_json", &request.fields_json)?,
            releases: json_object("releases_json", &request.releases_json)?,
            again: request.again.clone(),
        };
        let asked = self.asked_by_hand(run, wanted, self.meta(metadata).await?).await?;
        let FlowChoice::Published { project, flow } = &asked.choice else {
            return Err(Error::bad_request("field `flow`: say of which flow"));
        };
        let flow = self.flow_version_for_run(project, flow, asked.given.flow_version, 0).await?;
        let shard = Shard::of(id("flow", &flow.flow)?, run);
        if let Some(peer) = self.cluster.route(shard, is_passed_on(metadata)).await? {
            let mut there = RunsClient::new(peer.channel).max_decoding_message_size(LARGE);
            let reply = there.plan_run(passed_on(metadata, request)).await;
            return Ok(reply.map_err(from_status)?.into_inner());
        }
        let world = self.world(&flow).await?;
        let mut started = match planning::plan(&asked, &flow, world, self.log.now()) {
            Ok(started) => started,
            Err(problems) => {
                return Ok(PlanRunReply { path: flow.path, problems, ..PlanRunReply::default() });
            }
        };
        self.pin_older_builds(&mut started).await?;
        let foreseen = self.foreseen(&started).await?;
        let warnings = self.warnings(&started, &foreseen.0).await?;
        self.show_plan(started, foreseen, warnings)
    }

    /// What each node would do, and what will have to let it: with what freezes it, and what holds its artifacts back.
    pub(crate) async fn foreseen(&self, started: &Started) -> Result<(Vec<Foreseen>, Vec<String>), Error> {
        let (mut nodes, mut gates) = (foresee(started), gates(started));
        let (policies, _) = self.policies_of(started.project).await?;
        let frozen = policies.freezes.holding(&started.path, self.log.now());
        gates.extend(frozen.iter().map(|freeze| format!("it {}", held_in_words(freeze))));
        for held in self.held_back(started).await? {
            let words = hold_in_words(&held, started);
            match nodes.iter_mut().find(|node| node.node == held.node) {
                Some(node) if held.bad => (node.would, node.words) = (Would::Fail, words),
                _ => gates.push(words),
            }
        }
        Ok((nodes, gates))
    }

    /// A plan as it is shown, and remembered from then on.
    pub(crate) fn show_plan(
        &self,
        started: Started,
        (nodes, gates): (Vec<Foreseen>, Vec<String>),
        warnings: Vec<String>,
    ) -> Result<PlanRunReply, Error> {
        let hash = started.plan.hash(started.plan.nodes.len());
        let reply = PlanRunReply {
            plan: hash.clone(),
            path: started.path.clone(),
            flow_version: started.flow_version,
            nodes: nodes.into_iter().map(shown).collect(),
            gates,
            secrets: secrets(&started),
            warnings,
            document_json: serde_json::to_string(&started.plan).map_err(|error| Error::internal(&error))?,
            problems: Vec::new(),
        };
        self.plans.keep(&hash, started.plan);
        Ok(reply)
    }

    /// What somebody should look at before this is run.
    async fn warnings(&self, started: &Started, nodes: &[Foreseen]) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        for node in nodes {
            let (name, Foreseen { from, to, .. }) = (&node.reference, node);
            if node.would == Would::Fail {
                warnings.push(format!("`{name}`: {}", node.words));
            }
            if let (Some(from), Some(to)) = (from, to)
                && self.goes_back(started.project, from, to).await?
            {
                warnings.push(format!(
                    "`{name}` would remove commits: {} was built before {}, which runs there",
                    named(to),
                    named(from)
                ));
            }
        }
        warnings.extend(without_backup(started, nodes));
        if started.plan.at.is_some() {
            warnings.push("the document asks for the date: planned again, it is another plan".to_owned());
        }
        Ok(warnings)
    }

    /// Whether what a target gets is older than what it has.
    async fn goes_back(
        &self,
        project: ProjectId,
        from: &plan::Artifact,
        to: &plan::Artifact,
    ) -> Result<bool, Error> {
        if from.service != to.service || from.commit == to.commit {
            return Ok(false);
        }
        self.was_made_before(project, &to.build, &from.build).await
    }
}

/// Whoever's program may change the data of an addon, with no backup before it.
fn without_backup(started: &Started, nodes: &[Foreseen]) -> Vec<String> {
    let has_data = started.plan.resources.values().any(|resource| resource.kind == ResourceKind::Addon);
    let backup = nodes.iter().position(|node| node.kind == "AddonBackup").unwrap_or(usize::MAX);
    let unknown = nodes.iter().enumerate().filter(|(_, node)| {
        node.would == Would::Unknown && matches!(node.kind.as_str(), "JobRun" | "Action")
    });
    let before = unknown.filter(|(n, _)| has_data && *n < backup);
    let words = |name: &str| format!("`{name}` may change data, and no backup is made before it");
    before.map(|(_, node)| words(&node.reference)).collect()
}

fn shown(foreseen: Foreseen) -> PlannedNode {
    let Foreseen { node, reference, kind, would, words, from, to } = foreseen;
    let artifact = |artifact: plan::Artifact| Artifact {
        digest: artifact.digest,
        build: artifact.build,
        service: artifact.service,
        commit: artifact.commit,
        branch: artifact.branch,
    };
    PlannedNode {
        index: node,
        r#ref: reference,
        kind,
        would: would.word().to_owned(),
        words,
        from: from.map(artifact),
        to: to.map(artifact),
    }
}
