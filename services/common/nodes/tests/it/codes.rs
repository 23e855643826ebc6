//! The explanations of codes: each shows a document that has it.

use shipway_documents::Code;
use shipway_nodes::lint::{Knowledge, lint};

use crate::world::staging;

/// The document in an explanation.
fn example(code: Code) -> Option<&'static str> {
    let (_, rest) = code.explanation().split_once("```yaml\n")?;
    rest.split_once("```").map(|(example, _)| example)
}

#[test]
fn the_example_of_every_code_has_it() {
    let stage = staging();
    let mut wrong = Vec::new();
    for code in Code::ALL.iter().copied().filter(|code| *code != Code::FlowTooLarge) {
        let text = example(code).unwrap_or_else(|| panic!("{code} has no example"));
        let about_stage = ["resource.", "stage."].iter().any(|family| code.as_str().starts_with(family));
        let stage = about_stage.then_some(&stage);
        let report = lint("example.yaml", text, Knowledge { stage, ..Knowledge::default() });
        let errors: Vec<_> = report.problems.iter().filter(|problem| problem.code != code).collect();
        if report.problems.iter().all(|problem| problem.code != code) {
            wrong.push(format!("{code}: not found in\n{text}\nbut\n{report}\n"));
        } else if errors.iter().any(|problem| problem.severity == shipway_documents::Severity::Error) {
            wrong.push(format!("{code}: there are other errors\n{report}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
