//! What a run would release, as far as that can be known when it starts.

use shipway_engine::{Candidate, Language, RunState, Step};
use shipway_events::{
    plan::{Artifact, PlanNode, When},
    run::Started,
};
use shipway_nodes::workload::{Build, Workload};

use crate::{
    foresee::{Skipped, made_before, skipped, starting},
    language::Documents,
};

/// Everything that a run which starts like this would release. What it builds first has no digest yet, and no commit where
/// nobody has named one.
pub(crate) fn candidates(started: &Started) -> Vec<Candidate> {
    let releases = |node: &&PlanNode| node.kind == "Release";
    if !started.plan.nodes.iter().any(|node| releases(&node)) {
        return Vec::new();
    }
    let state = starting(started);
    let nodes = (0_u32..).zip(&started.plan.nodes).filter(|(_, node)| releases(node));
    nodes
        .filter(|(n, node)| node.when != When::Failure && matches!(skipped(&state, *n), Skipped::No))
        .filter_map(|(n, _)| candidate(&state, n))
        .collect()
}

fn candidate(state: &RunState, node: u32) -> Option<Candidate> {
    let plan = state.plan_node(node)?;
    let target = || plan.spec.pointer("/target/id")?.as_str().map(str::to_owned);
    let build = made_before(state, node, plan).and_then(|build| state.node_by_name(&build));
    if let Some(build) = build.or_else(|| named_build(state, plan)) {
        let artifact = to_be_built(state, build)?;
        return Some(Candidate { node, target: target()?, artifact });
    }
    match Documents.step(state, node) {
        Ok(Step::Work { work: Workload::Release(release), .. }) => {
            Some(Candidate { node, target: release.target.slug, artifact: release.artifact })
        }
        _ => None,
    }
}

/// The node of the run whose build is released, where the release names it: `${refs.build.id}`.
fn named_build(state: &RunState, plan: &PlanNode) -> Option<u32> {
    let named = |pointer| {
        let text = plan.spec.pointer(pointer)?.as_str()?;
        let name = text.strip_prefix("${refs.")?.split(['.', '}']).next()?;
        let node = state.node_by_name(name)?;
        state.plan_node(node).filter(|other| other.kind == "Build").map(|_| node)
    };
    named("/origin/build").or_else(|| named("/origin/id"))
}

/// What a node builds, as far as its specification names it.
fn to_be_built(state: &RunState, node: u32) -> Option<Artifact> {
    let Ok(Step::Work { work: Workload::Build(build), .. }) = Documents.step(state, node) else {
        return None;
    };
    let Build { service, build, branch, sha, .. } = build;
    Some(Artifact {
        digest: String::new(),
        build,
        service: service.slug,
        commit: sha.unwrap_or_default(),
        branch,
    })
}
