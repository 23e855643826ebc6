//! The guide shows documents; each is as right as it says.

use shipway_nodes::lint::{Knowledge, lint};

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
