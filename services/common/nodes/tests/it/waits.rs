//! What the kinds ask for that need no executor: approvals, loops, other flows, conditions on the run itself.

use serde_json::{Map, Value, json};
use shipway_events::run::ApprovalRule;
use shipway_nodes::{Child, Made, Step, iterations};

use crate::world::{World, artifact};

#[test]
fn a_condition_on_what_the_run_makes_asks_no_executor() {
    let mut world = World::new();
    world.builds.insert("b-1".to_owned(), artifact("b-1"));
    let of = |kind: &str, data: Value| json!({"kind": kind, "spec": {"type": "success", "data": data}});
    let there = world.step("Condition", of("Build", json!({"buildId": "b-1"})));
    assert_eq!(there, Ok(Step::Done { outputs: Map::from_iter([("id".to_owned(), json!("b-1"))]) }));
    let waits = |kind: &'static str, id: &str, timeout_seconds| {
        Ok(Step::Await { made: Made { kind, id: id.to_owned() }, timeout_seconds })
    };
    assert_eq!(world.step("Condition", of("Build", json!({"buildId": "b-2"}))), waits("Build", "b-2", 600));
    let job = json!({"jobId": "migrate", "runId": "j-1", "timeoutDuration": 60});
    assert_eq!(world.step("Condition", of("JobRun", job)), waits("JobRun", "j-1", 60));
    let backup = json!({"addonId": "db", "backupId": "k-1"});
    assert_eq!(world.step("Condition", of("AddonBackup", backup)), waits("AddonBackup", "k-1", 600));
    let missing = world.refused("Condition", of("JobRun", json!({"jobId": "migrate"})));
    assert_eq!(missing, "bad_spec: `spec.spec.data.runId` is missing");
}

#[test]
fn approval() {
    let world = World::new();
    let spec =
        json!({"amount": "2", "approvers": ["ana", "bo"], "excludeAuthor": true, "timeoutDuration": 900});
    let approvers = vec!["ana".to_owned(), "bo".to_owned()];
    let rule = ApprovalRule { amount: 2, approvers, exclude_author: true };
    assert_eq!(world.step("Approval", spec), Ok(Step::Approve { rule, timeout_seconds: Some(900) }));
    assert!(world.refused("Approval", json!({})).contains("`amount` is missing"));
    assert!(world.refused("Approval", json!({"amount": 0})).contains("`amount` is 0"));
}

#[test]
fn loops_and_what_their_iterations_are_about() {
    let mut world = World::new();
    assert!(world.refused("LoopData", json!({})).contains("stands in no loop"));
    world.iteration = Some(json!({"region": "eu"}));
    let outputs = Map::from_iter([("region".to_owned(), json!("eu"))]);
    assert_eq!(world.step("LoopData", json!({})), Ok(Step::Done { outputs }));
    world.iteration = Some(json!("eu"));
    let outputs = Map::from_iter([("value".to_owned(), json!("eu"))]);
    assert_eq!(world.step("LoopData", json!({})), Ok(Step::Done { outputs }));
    assert_eq!(iterations(&json!({"iterations": [1, {"a": 2}]})), Ok(vec![json!(1), json!({"a": 2})]));
    for (spec, expected) in [
        (json!({}), "`spec.iterations` must be a list, not null"),
        (json!({"iterations": "eu,us"}), "`spec.iterations` is the text `eu,us`, not a list"),
        (json!({"iterations": [{"$secret": "a@1"}]}), "`spec.iterations` depends on a secret"),
    ] {
        let found = iterations(&spec).unwrap_err().message;
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn run_template() {
    let mut world = World::new();
    let spec = json!({"templateType": "release-flow-template", "templateId": "shop/Staging",
        "arguments": {"variables": [{"key": "ENV", "value": "staging"}, {"key": "EMPTY"}]}});
    let arguments = json!({"ENV": "staging", "EMPTY": ""}).as_object().unwrap().clone();
    let child = Child { flow: "shop/Staging".to_owned(), arguments, wait: false };
    assert_eq!(world.step("RunTemplate", spec.clone()), Ok(Step::Child(child.clone())));
    world.condition = Some("success");
    assert_eq!(world.step("RunTemplate", spec), Ok(Step::Child(Child { wait: true, ..child })));
    let other = world.refused("RunTemplate", json!({"templateType": "workflow", "templateId": "x"}));
    assert!(other.starts_with("unsupported: only flows can be run"), "{other}");
}
