//! Services and jobs that take builds by themselves.

use serde_json::{Value, json};
use shipway_events::{
    FlowId, ResourceId, RunId,
    plan::Artifact,
    project::{Event, ResourceApplied, ResourceKind},
};
use uuid::Uuid;

use crate::domain::{Command, ProjectState, decide, evolve};

const WEB: ResourceId = ResourceId::new(Uuid::from_u128(1));
const MIGRATE: ResourceId = ResourceId::new(Uuid::from_u128(2));
const RUN: RunId = RunId::new(Uuid::from_u128(3));

fn apply(
    state: ProjectState,
    resource: ResourceId,
    slug: &str,
    kind: ResourceKind,
    spec: Value,
) -> ProjectState {
    let (slug, ports) = (slug.to_owned(), Default::default());
    evolve(state, &ResourceApplied { resource, slug, kind, spec, ports }.into())
}

fn web(state: ProjectState, change: impl FnOnce(&mut Value)) -> ProjectState {
    let mut spec =
        json!({"deployment": {"internal": {"id": "builder", "branch": "main", "buildSHA": "latest"}}});
    change(&mut spec);
    apply(state, WEB, "web", ResourceKind::DeploymentService, spec)
}

/// Decides and applies; what happened in short.
fn go(state: &mut ProjectState, command: &Command) -> Vec<String> {
    let events = decide(state, command).unwrap();
    let said = events
        .iter()
        .map(|event| match event {
            Event::BuildFollowed(e) => format!("{} takes {}", e.slug, e.build),
            Event::CdSwitchedOff(e) => format!("{} is off", e.slug),
            Event::JobDue(e) => format!("{} is due", e.slug),
            other => panic!("{other:?}"),
        })
        .collect();
    *state = events.iter().fold(std::mem::take(state), evolve);
    said
}

fn built(build: &str, branch: &str) -> Command {
    let artifact = Artifact {
        digest: "sha256:0".to_owned(),
        build: build.to_owned(),
        service: "builder".to_owned(),
        commit: "9c1185a5c5e9fc54612808977ee8f548b2258d31".to_owned(),
        branch: branch.to_owned(),
    };
    Command::Built { artifact, run: RUN }
}

fn released(target: ResourceId, flow: u128) -> Command {
    Command::Released { target, flow: FlowId::new(Uuid::from_u128(flow)), run: RUN }
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_service_takes_the_newest_build_of_its_branch_until_somebody_else_releases() {
    let mut state = web(ProjectState::default(), |_| ());
    assert_eq!(go(&mut state, &built("b-1", "main")), ["web takes b-1"]);
    assert_eq!(go(&mut state, &built("b-1", "main")), NOTHING, "found built already");
    assert_eq!(go(&mut state, &built("b-2", "next")), NOTHING, "another branch");
    // Its own release is what follows from that.
    assert_eq!(go(&mut state, &released(WEB, 1)), NOTHING);
    assert_eq!(go(&mut state, &built("b-3", "main")), ["web takes b-3"]);
    assert_eq!(go(&mut state, &released(WEB, 99)), ["web is off"]);
    assert_eq!(go(&mut state, &released(WEB, 99)), NOTHING, "said once");
    assert_eq!(go(&mut state, &built("b-4", "main")), NOTHING);
    // Declared again as it was, it stays off; switched on again, or with another branch, it goes on.
    let mut again = web(state.clone(), |spec| spec["runtimeEnvironment"] = json!({"A": "1"}));
    assert_eq!(go(&mut again, &built("b-5", "main")), NOTHING);
    let mut other = web(again, |spec| spec["deployment"]["internal"]["branch"] = json!("next"));
    assert_eq!(go(&mut other, &built("b-6", "next")), ["web takes b-6"]);
    let off = web(state, |spec| spec["disabledCD"] = json!(true));
    let mut on = web(off, |spec| spec["disabledCD"] = json!(false));
    assert_eq!(go(&mut on, &built("b-7", "main")), ["web takes b-7"]);
}

#[test]
fn who_follows_nothing() {
    let follows = |change: fn(&mut Value)| {
        !go(&mut web(ProjectState::default(), change), &built("b-1", "main")).is_empty()
    };
    assert!(follows(|_| ()));
    assert!(follows(|spec| {
        spec["deployment"]["internal"].as_object_mut().unwrap().remove("buildSHA");
    }));
    assert!(!follows(|spec| spec["disabledCD"] = json!(true)));
    assert!(!follows(|spec| spec["deployment"]["releaseFlowControlled"] = json!(true)));
    assert!(!follows(|spec| spec["deployment"]["internal"]["buildId"] = json!("b-0")));
    assert!(!follows(|spec| spec["deployment"]["internal"]["buildSHA"] = json!("9c1185a5")));
    assert!(!follows(|spec| {
        spec["deployment"]["internal"].as_object_mut().unwrap().remove("branch");
    }));
    assert!(!follows(|spec| spec["deployment"] = json!({"external": {"imagePath": "x"}})));
}

#[test]
fn a_job_runs_when_what_it_runs_was_changed() {
    let job = |policy: Value| {
        let spec = json!({
            "deployment": {"internal": {"id": "builder", "branch": "main"}}, "settings": {"runOnSourceChange": policy},
        });
        apply(ProjectState::default(), MIGRATE, "migrate", ResourceKind::ManualJob, spec)
    };
    for policy in ["cd-promote", "always"] {
        let mut state = job(json!(policy));
        assert_eq!(go(&mut state, &built("b-1", "main")), ["migrate takes b-1"]);
        assert_eq!(go(&mut state, &released(MIGRATE, 2)), ["migrate is due"], "{policy}: its own release");
        assert_eq!(go(&mut state, &released(MIGRATE, 99)), ["migrate is off", "migrate is due"], "{policy}");
        assert_eq!(go(&mut state, &released(MIGRATE, 99)), ["migrate is due"], "{policy}");
    }
    for policy in [json!("never"), Value::Null] {
        assert_eq!(go(&mut job(policy), &released(MIGRATE, 2)), NOTHING);
    }
}
