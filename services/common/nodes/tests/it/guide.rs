//! The guide shows documents; each is as right as it says.

use shipway_documents::expr::functions;
use shipway_nodes::{
    lint::{Knowledge, lint},
    supported,
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
