//! Members, stages, promotion.

use serde_json::{Value, json};
use shipway_documents::flow::Flow;
use shipway_nodes::validate::{StageContext, validate_flow};

use crate::world::{document, said, staging, without_unused};

fn promote(from: &str, to: &str) -> Value {
    json!({"kind": "Release", "spec": {"type": "deployment", "origin": {"id": from, "type": "service"}, "target": {"id": to, "type": "service"}}})
}

#[test]
fn a_flow_names_members_of_its_stage_and_promotes_from_the_one_before() {
    assert_eq!(said(promote("web-dev", "web-stage")), Vec::<String>::new());
    for (node, expected) in [
        (
            promote("web-prod", "web-stage"),
            "error: /spec/origin/id: promotion takes from the stage before, Development, and not `web-prod`: it is a member of shop/Production; there is `web-dev`",
        ),
        (
            promote("web-stage", "web-stage"),
            "error: /spec/origin/id: promotion takes from the stage before, Development, and not `web-stage`: it is a member of stage Staging; there is `web-dev`",
        ),
        (
            promote("web-dve", "web-stage"),
            "error: /spec/origin/id: there is no service `web-dve`; did you mean `web-dev`?",
        ),
        (
            promote("web-dev", "web-prod"),
            "error: /spec/target/id: the flow of stage Staging cannot change `web-prod`: it is a member of shop/Production; there is `web-stage`",
        ),
        (
            promote("web-dev", "web-dev"),
            "error: /spec/target/id: the flow of stage Staging cannot change `web-dev`: it is a member of stage Development; there is `web-stage`",
        ),
        (
            promote("web-dev", "loose"),
            "error: /spec/target/id: the flow of stage Staging cannot change `loose`: it is in no stage; there is `web-stage`",
        ),
        (
            promote("web-dev", "migrate"),
            "error: /spec/target/id: `migrate` is a ManualJob; this must be a deployment service; write `type: job`",
        ),
        (
            promote("web-dev", "builder"),
            "error: /spec/target/id: `builder` is a BuildService; this must be a deployment service; there is `web-stage`",
        ),
        (
            promote("web-dev", "shop/web"),
            "unsupported: /spec/target/id: `shop/web` is a resource of another project, which is not supported yet; use a resource of this project",
        ),
        (
            json!({"kind": "Build", "spec": {"id": "web-stage", "branch": "main"}}),
            "error: /spec/id: `web-stage` is a DeploymentService; this must be a build service; there is `builder` and `site`",
        ),
        (
            json!({"kind": "JobRun", "spec": {"jobId": "migrat"}}),
            "error: /spec/jobId: there is no job `migrat`; did you mean `migrate`?",
        ),
        (
            json!({"kind": "AddonBackup", "spec": {"addonId": "web-stage"}}),
            "error: /spec/addonId: `web-stage` is a DeploymentService; this must be an addon; there is `db`",
        ),
    ] {
        assert_eq!(said(node.clone()), [expected], "{node}");
    }
    // What is only looked at may be anywhere; what an expression names is checked when it is known.
    for node in [
        json!({"kind": "Condition", "spec": {"kind": "Service", "spec": {"type": "running", "data": {"serviceId": "web-prod"}}}}),
        promote("${args.BRANCH}", "${args.BRANCH}"),
    ] {
        assert_eq!(said(node), Vec::<String>::new());
    }
}

#[test]
fn the_first_stage_has_none_before_it() {
    let flow = Flow::parse(&document(json!([promote("web-dev", "web-stage")]))).unwrap();
    let first = StageContext { previous: None, ..staging() };
    let found = without_unused(validate_flow(&flow, &first)).to_string();
    assert_eq!(
        found,
        "error: /spec/spec/steps/0/spec/origin/id: stage Staging is the first of its pipeline: there is none before it to promote from; no service can be promoted from there"
    );
}
