//! Single resources: what build services build by themselves, and who takes the builds.

use std::time::Duration;

use serde_json::{Map, Value, json};
use shipway_eventing::log::{Expected, Item};
use shipway_events::{
    Actor, Cause, CommandId, FlowId, Meta, ProjectId, ResourceId, RunId, StreamEvent, StreamName,
    plan::{Artifact, Plan},
    project,
    run::{Effect, Event, NodeSucceeded, Origin, Started},
};
use uuid::Uuid;

use crate::support::Lab;

const DOCUMENT: &str = r#"
kind: Project
ref: project
spec: { name: Shop }
---
kind: BuildService
ref: builder
spec:
  name: builder
  vcsData: { projectUrl: "https://github.com/acme/shop", projectType: github }
  buildConfiguration: { branchRestrictions: [main], pathIgnoreRules: [docs/**] }
---
kind: DeploymentService
ref: web
spec:
  name: web
  deployment: { internal: { id: "${refs.builder.id}", branch: main, buildSHA: latest } }
---
kind: ManualJob
ref: migrate
spec:
  name: migrate
  deployment: { internal: { id: "${refs.builder.id}", branch: main }, releaseFlowControlled: true }
  runOnSourceChange: cd-promote
"#;

/// What a run did, as the scheduler would write it.
async fn ran(lab: &Lab, project: ProjectId, flow: FlowId, effect: Effect) {
    let run = RunId::new(Uuid::now_v7());
    let started = Started {
        run,
        project,
        pipeline: None,
        flow,
        path: "shop/development".into(),
        flow_version: 1,
        name: "test".into(),
        description: String::new(),
        origin: Origin::Git,
        author: None,
        parent: None,
        policy: shipway_events::ConcurrencyPolicy::Allow,
        rollback: None,
        plan: Plan::default(),
    };
    let done = NodeSucceeded { node: 1, fence: None, outputs: Map::new(), effects: vec![effect] };
    let meta = Meta { actor: Actor::System("test".into()), cause: Cause::Request, trace: None };
    let events = vec![Event::from(started).encode(), Event::from(done).encode()];
    let command = CommandId::new(Uuid::now_v7());
    lab.log.append(Item::one(command, meta, StreamName::run(run), Expected::New, events)).await.unwrap();
}

fn artifact(build: &str) -> Artifact {
    Artifact {
        digest: "sha256:00".into(),
        build: build.into(),
        service: "builder".into(),
        commit: "0".repeat(40),
        branch: "main".into(),
    }
}

/// What followed, in short, once there is as much of it.
async fn followed(lab: &Lab, count: usize) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..1_000 {
        let events = lab.events().await;
        let of_project = events.iter().filter(|raw| raw.stream.kind() == "project");
        said = of_project
            .filter_map(|raw| match project::Event::from_raw(raw).unwrap().event {
                project::Event::BuildFollowed(e) => Some(format!("{} takes {}", e.slug, e.build)),
                project::Event::CdSwitchedOff(e) => Some(format!("{} is off", e.slug)),
                project::Event::JobDue(e) => Some(format!("{} is due", e.slug)),
                _ => None,
            })
            .collect();
        if said.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    said
}

#[tokio::test]
async fn a_build_service_is_a_trigger_of_its_own_flow() {
    let lab = Lab::new().await;
    let reply = lab.applied(DOCUMENT).await;
    assert_eq!(reply.hooks.len(), 1, "the repository has an address");
    let hooks = lab.hooks().await;
    let [trigger] = hooks.triggers.as_slice() else { panic!("{:?}", hooks.triggers) };
    assert_eq!(trigger.path, "build/shop/builder");
    let rules: Value = serde_json::from_str(&trigger.trigger_json).unwrap();
    assert_eq!(rules["branchRestrictions"], json!(["main"]));
    assert_eq!(rules["pathIgnoreRules"], json!(["docs/**"]));

    let flow = lab.flow(&trigger.flow).await.unwrap();
    assert_eq!((flow.path.as_str(), flow.flow.as_str()), ("build/shop/builder", trigger.flow.as_str()));
    let document: Value = serde_json::from_str(&flow.document_json).unwrap();
    let node = document.pointer("/spec/spec/steps/0").unwrap();
    assert_eq!((&node["kind"], &node["spec"]["sha"]), (&json!("Build"), &json!("${triggers.ci.sha}")));

    let off = DOCUMENT.replace("buildConfiguration:", "disabledCI: true\n  buildConfiguration:");
    lab.applied(&off).await;
    assert!(lab.hooks().await.triggers.is_empty());
}

#[tokio::test]
async fn builds_are_taken_until_somebody_releases_and_jobs_are_due() {
    let lab = Lab::new().await;
    lab.applied(DOCUMENT).await;
    let flow = lab.flow("cd/shop/web").await.unwrap();
    let project: ProjectId = flow.project.parse().unwrap();
    let web: ResourceId = flow.flow.parse().unwrap();
    let job: ResourceId = lab.flow("job/shop/migrate").await.unwrap().flow.parse().unwrap();
    let names: Vec<&str> = flow.resources.iter().map(|resource| resource.slug.as_str()).collect();
    assert_eq!(names, ["web", "builder"]);

    let (own, other) = (FlowId::new(web.uuid()), FlowId::new(Uuid::from_u128(9)));
    let release =
        |target, slug: &str| Effect::Released { target, slug: slug.into(), artifact: artifact("b-1") };
    ran(&lab, project, other, Effect::Built { artifact: artifact("b-1"), authored: None }).await;
    assert_eq!(followed(&lab, 1).await, ["web takes b-1"]);
    ran(&lab, project, own, release(web, "web")).await;
    ran(&lab, project, other, release(web, "web")).await;
    assert_eq!(followed(&lab, 2).await, ["web takes b-1", "web is off"]);
    ran(&lab, project, other, Effect::Built { artifact: artifact("b-2"), authored: None }).await;
    ran(&lab, project, other, release(job, "migrate")).await;
    assert_eq!(followed(&lab, 3).await, ["web takes b-1", "web is off", "migrate is due"]);

    // Nothing of it is done again by a process that starts anew.
    let lab = lab.restarted().await;
    ran(&lab, project, other, release(job, "migrate")).await;
    assert_eq!(followed(&lab, 4).await[3..], ["migrate is due"]);
}
