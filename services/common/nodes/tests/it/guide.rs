//! The guide shows documents; each is as right as it says.

use std::collections::BTreeSet;

use serde_json::json;
use shipway_documents::{expr::functions, flow::Flow};
use shipway_nodes::{
    lint::{Knowledge, lint},
    supported,
    validate::trigger_values,
};

const GUIDE: &str = include_str!("../../../documents/README.md");

#[test]
fn the_examples_of_the_guide_have_nothing_wrong() {
    let blocks: Vec<&str> =
        GUIDE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 6, "examples of the guide are missing");
    for text in blocks {
        let report = lint("example.yaml", text, Knowledge::default());
        assert!(report.problems.is_empty(), "{text}\n{report}");
    }
}

#[test]
fn the_guide_names_every_function_and_every_kind_that_flows_run() {
    for function in functions() {
        assert!(GUIDE.contains(&format!("`{}(", function.name)), "{}", function.name);
    }
    let inherited = ["SecretInheritance", "Action"];
    for kind in supported().into_iter().filter(|kind| !inherited.contains(kind)) {
        assert!(GUIDE.contains(kind), "{kind}");
    }
}

#[test]
fn the_guide_names_the_values_that_triggers_have() {
    let vcs = json!({"vcsService": "github", "repoUrl": "https://x", "accountLogin": "acme"});
    let steps = json!([{"kind": "Noop", "spec": {}}]);
    let flow = Flow::parse(&json!({
        "triggers": [
            {"ref": "app", "vcsService": "github", "repoUrl": "https://x", "branchRestrictions": ["main"]},
            {"kind": "webhook", "ref": "go", "spec": {"token": "t"}},
            {"kind": "cron", "ref": "nightly", "spec": {"cron": "0 2 * * *"}},
            {"kind": "vcs-pr-label", "ref": "ready", "spec": {"vcs": vcs, "labelNamePatterns": ["preview"]}},
            {"kind": "vcs-release", "ref": "out", "spec": {"vcs": vcs}},
            {"kind": "vcs-check-suite", "ref": "green", "spec": {"vcs": vcs, "branchNamePatterns": ["main"]}},
        ],
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}},
    }))
    .unwrap_or_else(|problems| panic!("{problems}"));
    let outputs: Vec<_> = flow.triggers.iter().map(|trigger| trigger_values(&trigger.source)).collect();
    let has: BTreeSet<&str> = outputs.iter().flat_map(|outputs| outputs.names()).collect();
    let values = GUIDE.split("\nValues: ").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let code = values.split('`').skip(1).step_by(2);
    let told: BTreeSet<&str> =
        code.filter_map(|code| code.trim_end_matches('}').rsplit_once('.')).map(|(_, name)| name).collect();
    assert_eq!(told, has);
}
