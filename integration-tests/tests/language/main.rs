//! The document language end to end: loops, approvals, conditions, locks, flows in flows, on a real Shipway.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

mod approvals;
mod plans;

use serde_json::Value;
use shipway_integration_tests::shipway::{Shipway, wait};

const PIPELINE: &str = r#"
kind: Project
spec: {name: lab, region: local}
---
kind: Pipeline
spec:
  name: lab
  projectId: lab
  stages:
    - name: Development
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {REGIONS: "eu,us"}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {kind: Noop, ref: look, spec: {outputs: {found: "${args.REGIONS}", word: go}}}
                - kind: LoopWorkflow
                  ref: each
                  spec:
                    iterations: "${fn.split(refs.look.found, ',')}"
                    steps:
                      - {kind: LoopData, ref: item, spec: {}}
                      - {kind: Noop, ref: warm, spec: {outputs: {region: "${refs.item.value}"}}}
                      - {kind: Noop, ref: check, spec: {outputs: {of: "${refs.warm.region}"}}}
                - kind: LoopWorkflow
                  ref: beside
                  spec:
                    type: parallel
                    maxParallel: 2
                    iterations: [{n: 1}, {n: 2}, {n: 3}]
                    steps:
                      - {kind: Noop, locks: [cache], spec: {}}
                - {kind: Noop, ref: last, spec: {outputs: {second: "${refs.each.iterations.1.check.of}"}}}
                - kind: Condition
                  ref: known
                  spec: {kind: Expression, spec: {data: {expression: "${fn.eq(refs.look.word, 'go')}"}}}
                - {kind: Approval, ref: gate, spec: {amount: 1}}
                - kind: RunTemplate
                  ref: inner
                  condition: success
                  spec:
                    templateType: release-flow-template
                    templateId: lab/Staging
                    arguments: {variables: [{key: ENV, value: "${refs.last.second}"}]}
                - {kind: Noop, ref: done, spec: {outputs: {env: "${refs.inner.refs.tell.env}"}}}
    - name: Staging
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {ENV: none}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {kind: Noop, ref: tell, spec: {outputs: {env: "${args.ENV}"}}}
                - {kind: Noop, ref: hold, spec: {sleepMs: "${fn.if(fn.eq(args.ENV, 'forever'), 600000, 1)}"}}
    - name: Production
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - kind: RunTemplate
                  ref: inner
                  condition: success
                  spec:
                    templateType: release-flow-template
                    templateId: lab/Staging
                    arguments: {variables: [{key: ENV, value: forever}]}
                - kind: RunTemplate
                  ref: itself
                  condition: success
                  when: always
                  spec: {templateType: release-flow-template, templateId: lab/Production}
"#;

/// A flow that waits for another twice while it has a lock; the second time it would be needed there.
const LOCKED: &str = r#"
kind: Pipeline
spec:
  name: locked
  projectId: lab
  stages:
    - name: Development
      releaseFlow:
        kind: ReleaseFlow
        spec:
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - kind: Workflow
                  ref: around
                  locks: [db]
                  spec:
                    type: sequential
                    steps:
                      - kind: RunTemplate
                        ref: other
                        condition: success
                        spec:
                          templateType: release-flow-template
                          templateId: locked/staging
                          arguments: {variables: [{key: LOCK, value: dns}]}
                      - kind: RunTemplate
                        ref: same
                        condition: success
                        spec: {templateType: release-flow-template, templateId: locked/staging}
    - name: Staging
      releaseFlow:
        kind: ReleaseFlow
        spec:
          arguments: {LOCK: db}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {kind: Noop, ref: write, locks: ["${args.LOCK}"], spec: {}}
"#;

fn shipway(name: &str) -> Shipway {
    let shipway = Shipway::up(name).unwrap();
    let file = shipway.data().join("lab.yaml");
    std::fs::write(&file, PIPELINE).unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    shipway
}

fn node<'a>(run: &'a Value, name: &str) -> &'a Value {
    let found = run["nodes"].as_array().unwrap().iter().find(|node| node["ref"] == name);
    found.unwrap_or_else(|| panic!("no node `{name}` in {run:#}"))
}

/// The run once that node has that status.
fn until(shipway: &Shipway, run: &str, name: &str, status: &str) -> Value {
    wait(&format!("`{name}` is {status}"), || {
        let shown = shipway.json(&["show", run])?;
        let found = shown["nodes"].as_array().unwrap().iter().find(|node| node["ref"] == name);
        Ok(found.is_some_and(|node| node["status"] == status).then_some(shown))
    })
    .unwrap()
}

#[tokio::test]
async fn a_flow_with_everything_in_it_goes_from_its_document_to_its_end() {
    let shipway = shipway("language");
    let run = shipway.json(&["run", "lab/development", "-p", "REGIONS=eu,us,ap"]).unwrap();
    let run = run["run"].as_str().unwrap().to_owned();
    let waiting = until(&shipway, &run, "gate", "approval_wait");
    assert_eq!(waiting["status"], "approval_wait");
    let why = node(&waiting, "gate")["waitingFor"].as_str().unwrap();
    assert!(why.contains("1 approval") && why.contains("shipway approve"), "{why}");
    assert_eq!(node(&waiting, "each[2].check")["outputs"]["of"], "ap");
    assert_eq!(node(&waiting, "last")["outputs"]["second"], "us");
    assert_eq!(node(&waiting, "known")["status"], "success");

    // Two iterations go on at once and want the same lock: each has it once and gives it back.
    let events = shipway.shipway(&["events"]).unwrap();
    let locks = ["lock.taken", "lock.released"].map(|kind| events.matches(kind).count());
    assert_eq!(locks, [3, 3], "{events}");

    let other = shipway.attempt(&["approve", &run, "--plan", "sha256:other"]).unwrap();
    assert_eq!(other.status.code(), Some(1), "another plan is not approved");
    let plan = waiting["plan"].as_str().unwrap();
    shipway.shipway(&["approve", &run, "gate", "--plan", plan, "--reason", "looks right"]).unwrap();

    let ended = shipway.ended(&run).unwrap();
    assert_eq!(ended["status"], "success", "{ended:#}");
    assert_eq!(ended["plan"], plan, "loops change what runs, not what was planned");
    assert_eq!(node(&ended, "done")["outputs"]["env"], "us", "what the other flow put out");
    let child = node(&ended, "inner")["outputs"]["id"].as_str().unwrap();
    let child = shipway.json(&["show", child]).unwrap();
    assert_eq!((child["status"].as_str(), child["parent"].as_str()), (Some("success"), Some(run.as_str())));
    let shown = shipway.shipway(&["show", &run]).unwrap();
    assert!(shown.contains("each[1].warm"), "{shown}");
}

#[tokio::test]
async fn a_rejection_fails_the_node_and_says_who() {
    let shipway = shipway("rejected");
    let run = shipway.json(&["run", "lab/development"]).unwrap();
    let run = run["run"].as_str().unwrap().to_owned();
    until(&shipway, &run, "gate", "approval_wait");
    shipway.shipway(&["reject", &run, "--reason", "not on a Friday"]).unwrap();
    let ended = shipway.ended(&run).unwrap();
    assert_eq!(ended["status"], "failure");
    let said = node(&ended, "gate")["errorMessage"].as_str().unwrap();
    assert!(said.ends_with("rejected it: not on a Friday"), "{said}");
    assert_eq!(node(&ended, "inner")["status"], "skipped");
}

#[tokio::test]
async fn an_abort_is_passed_on_and_a_flow_does_not_run_itself() {
    let shipway = shipway("nested");
    let run = shipway.json(&["run", "lab/production"]).unwrap();
    let run = run["run"].as_str().unwrap().to_owned();
    let child = wait("the inner run", || {
        let runs = shipway.json(&["runs", "lab/staging"])?;
        Ok(runs["runs"][0]["id"].as_str().map(str::to_owned))
    })
    .unwrap();
    until(&shipway, &child, "hold", "running");
    shipway.shipway(&["abort", &run]).unwrap();
    let ended = shipway.ended(&run).unwrap();
    assert_eq!(ended["status"], "aborted", "{ended:#}");
    assert_eq!(shipway.ended(&child).unwrap()["status"], "aborted");
    assert_eq!(node(&ended, "inner")["status"], "aborted");
    let said = node(&ended, "itself")["errorMessage"].as_str().unwrap();
    assert!(said.contains("would run itself"), "{said}");

    // Which lock the other flow needs shows when it would start.
    let file = shipway.data().join("locked.yaml");
    std::fs::write(&file, LOCKED).unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let run = shipway.json(&["run", "locked/development"]).unwrap();
    let ended = shipway.ended(run["run"].as_str().unwrap()).unwrap();
    assert_eq!(node(&ended, "other")["status"], "success", "{ended:#}");
    let said = node(&ended, "same")["errorMessage"].as_str().unwrap();
    assert!(said.contains("`write` needs the lock `db`, which `around` of locked/development"), "{said}");

    // And what shows in the documents is refused with them.
    let same = LOCKED.replace("[\"${args.LOCK}\"]", "[db]");
    std::fs::write(&file, same).unwrap();
    let refused = shipway.attempt(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("holds the lock `db` until the run of locked/staging"),
        "{said}"
    );
}
