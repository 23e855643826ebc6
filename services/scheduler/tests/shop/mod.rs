//! A shop with one build service and a service in each of two stages, for tests of what is released: its documents, and what
//! an executor makes of its work.

#![expect(unreachable_pub, reason = "several tests have it")]

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};
use shipway_contracts::v1;
use shipway_eventing::{Expected, Item, Log};
use shipway_events::{
    Actor, Cause, CommandId, DeliveryId, FlowId, Meta, ProjectId, ResourceId, RunId, StreamEvent as _,
    StreamName,
    delivery::{self, Matched, Verdict},
    plan::{Artifact, PinnedResource},
    project::ResourceKind,
    run::{Effect, Origin},
};
use shipway_nodes::{Outcome, workload::Workload};
use uuid::Uuid;

pub const PROJECT: ProjectId = ProjectId::new(Uuid::from_u128(1));

/// A commit of 40 hex digits.
pub fn commit(n: u32) -> String {
    format!("{n:08x}").repeat(5)
}

/// The flow of a stage: what is pushed is built and released in staging, and what runs there is promoted to production.
/// `direct` builds and releases to production, `again` releases the newest build in staging.
pub fn flow(path: &str) -> Option<v1::FlowForRunReply> {
    let build = json!({"kind": "Build", "ref": "build", "condition": "success", "spec": {
        "id": "web", "type": "service", "branch": "${triggers.push.branch}", "sha": "${triggers.push.sha}"}});
    let release = |target: &str| {
        json!({"kind": "Release", "ref": "release", "condition": "running", "spec": {
            "type": "build",
            "origin": {"id": "web", "branch": "${refs.build.branch}", "build": "${refs.build.id}"},
            "target": {"id": target, "type": "service"}}})
    };
    let promote = json!({"kind": "Release", "ref": "promote", "condition": "running", "spec": {
        "type": "deployment", "origin": {"id": "web-staging", "type": "service"},
        "target": {"id": "web-production", "type": "service"}}});
    let again = json!({"kind": "Release", "ref": "release", "condition": "running", "spec": {
        "type": "build", "origin": {"id": "web", "build": "latest"},
        "target": {"id": "web-staging", "type": "service"}}});
    let (number, stage, previous, steps) = match path {
        "shop/staging" => (11_u128, "Staging", "", vec![build, release("web-staging")]),
        "shop/production" => (12, "Production", "Staging", vec![promote]),
        "shop/direct" => (13, "Production", "Staging", vec![build, release("web-production")]),
        "shop/again" => (14, "Staging", "", vec![again]),
        _ => return None,
    };
    let document = json!({
        "apiVersion": "v1.2",
        "triggers": [{"ref": "push", "vcsService": "self-hosted", "repoUrl": "https://git.example/shop.git",
            "branchRestrictions": ["main"], "prRestrictions": []}],
        "spec": {"kind": "Workflow", "ref": "all", "spec": {"type": "sequential", "steps": steps}},
    });
    Some(v1::FlowForRunReply {
        project: PROJECT.to_string(),
        pipeline: Uuid::from_u128(5).to_string(),
        flow: Uuid::from_u128(number).to_string(),
        path: path.to_owned(),
        version: 1,
        document_json: document.to_string(),
        stage: stage.to_owned(),
        previous_stage: previous.to_owned(),
        resources: resources(),
        ..v1::FlowForRunReply::default()
    })
}

fn resources() -> Vec<v1::PinnedResource> {
    let repository = json!({"vcsData": {"projectUrl": "https://git.example/shop.git"}});
    let of = |n, slug: &str, kind, stage: &str, spec: Value| {
        let pinned = PinnedResource {
            project: PROJECT,
            id: ResourceId::new(Uuid::from_u128(n)),
            kind,
            spec,
            ports: BTreeMap::new(),
            environment: Map::new(),
            login: None,
        };
        v1::PinnedResource {
            slug: slug.to_owned(),
            json: serde_json::to_string(&pinned).unwrap(),
            stage: stage.to_owned(),
            unusable: String::new(),
        }
    };
    vec![
        of(21, "web", ResourceKind::BuildService, "", repository),
        of(22, "web-staging", ResourceKind::DeploymentService, "Staging", json!({})),
        of(23, "web-production", ResourceKind::DeploymentService, "Production", json!({})),
    ]
}

/// What an executor says of work: a build is of the commit that was asked for, or of the first one there is.
pub fn done(work: &v1::Assignment) -> Outcome {
    let workload: Workload = serde_json::from_str(&work.work_json).unwrap();
    let mut outputs = Map::new();
    let mut effects = Vec::new();
    match workload {
        Workload::Build(build) => {
            outputs.insert("id".to_owned(), json!(build.build));
            outputs.insert("branch".to_owned(), json!(build.branch));
            let commit = build.sha.unwrap_or_else(|| commit(1));
            let (digest, service) = (digest_of(&commit), build.service.slug);
            let artifact = Artifact { digest, build: build.build, service, commit, branch: build.branch };
            effects.push(Effect::Built { artifact, authored: None });
        }
        Workload::Release(release) => effects.push(Effect::Released {
            target: release.target.id,
            slug: release.target.slug,
            artifact: release.artifact,
        }),
        _ => {}
    }
    Outcome::Succeeded { outputs, effects }
}

/// The digest of what is built of a commit.
pub fn digest_of(commit: &str) -> String {
    format!("sha256:{}{}", commit, &commit[..24])
}

/// Somebody has pushed a commit, and a flow's trigger wants it; the run that follows.
pub async fn push(log: &dyn Log, path: &str, branch: &str, commit: &str, name: Option<&str>) -> RunId {
    let delivery = DeliveryId::new(Uuid::now_v7());
    let flow: FlowId = flow(path).unwrap().flow.parse().unwrap();
    let values = json!({"branch": branch, "sha": commit, "repoUrl": "https://git.example/shop.git"});
    let verdict = Verdict {
        project: PROJECT,
        flow,
        path: path.to_owned(),
        trigger: "push".to_owned(),
        matched: true,
        reason: "any branch".to_owned(),
        rules: Vec::new(),
        part: 0,
        held: None,
        origin: Origin::Git,
        sender: Some("ana".to_owned()),
        values: values.as_object().unwrap().clone(),
        triggers: Map::new(),
        arguments: Map::new(),
        name: name.map(str::to_owned),
        description: None,
    };
    let run = verdict.run(delivery).unwrap();
    let matched = Matched {
        delivery,
        hook: None,
        body: String::new(),
        summary: format!("push of {} to {branch}", &commit[..7]),
        verdicts: vec![verdict],
    };
    let meta = Meta { actor: Actor::Hook("test".to_owned()), cause: Cause::Request, trace: None };
    let (command, stream) = (CommandId::new(Uuid::now_v7()), StreamName::delivery(delivery));
    let event = delivery::Event::from(matched).encode();
    log.append(Item::one(command, meta, stream, Expected::New, vec![event])).await.unwrap();
    run
}

/// So long is waited between two looks.
pub const PAUSE: Duration = Duration::from_millis(5);
