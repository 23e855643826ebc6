//! What goes with a member.

use serde_json::json;
use shipway_documents::flow::Flow;
use shipway_nodes::remove_member;

use crate::world::document;

#[test]
fn nodes_that_name_it_and_those_that_need_them_go() {
    let flow = Flow::parse(&document(json!([
        {"kind": "Build", "ref": "build", "spec": {"id": "builder", "branch": "main"}},
        {"kind": "Workflow", "ref": "both", "spec": {"type": "parallel", "steps": [
            {"kind": "JobRun", "ref": "migrate-run", "spec": {"jobId": "migrate"}},
            {"kind": "Release", "ref": "web", "spec": {"type": "build", "origin": {"id": "builder"}, "target": {"id": "web-stage", "type": "service"}}},
        ]}},
        {"kind": "Message", "ref": "tell", "spec": {"kind": "RAW_WEBHOOK", "spec": {"webhookUrl": "http://x", "message": "${refs.migrate-run.id}"}}},
        {"kind": "Noop", "ref": "after", "spec": {}, "skipNodeExecution": "${refs.tell.status}"},
        {"kind": "Noop", "ref": "stays", "spec": {"outputs": {"x": "migrate"}}},
    ])))
    .unwrap();
    let (gone, left) = remove_member(&flow, "migrate");
    let shown: Vec<_> =
        gone.iter().map(|one| format!("{} {} {}", one.pointer, one.reference, one.reason)).collect();
    assert_eq!(
        shown,
        [
            "/spec/spec/steps/1/spec/steps/0 migrate-run it names `migrate`",
            "/spec/spec/steps/2 tell it needs an output of `migrate-run`, which goes",
            "/spec/spec/steps/3 after it needs an output of `tell`, which goes",
        ]
    );
    let left = Flow::parse(&left).unwrap();
    let names: Vec<_> = left.nodes().iter().map(|placed| placed.node.reference.clone()).collect();
    assert_eq!(names, ["workflow", "build", "both", "web", "stays"]);
    assert_eq!(remove_member(&left, "migrate").0, []);
}
