//! Documents in both formats, and what a node of each kind says.

use serde_json::{Value, json};
use shipway_documents::{
    Document, DocumentType, Problem, Report, diff::diff, flow::Flow, fmt::format, json_text, parse,
    resources::parse_declarations,
};
use shipway_nodes::{
    KINDS, StageContext,
    lint::{Knowledge, lint, lint_document},
    validate_flow,
};

/// Pieces of JSON.
pub(crate) const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "\"kind\":",
    "\"ref\":",
    "\"spec\":",
    "\"steps\":",
    "\"type\":",
    "\"name\":",
    "\"arguments\":",
    "\"condition\":",
    "\"retry\":",
    "\"dependsOn\":",
    "\"Workflow\"",
    "\"sequential\"",
    "\"parallel\"",
    "\"graph\"",
    "null",
    "true",
    "-0",
    "1e999",
    "0.1",
    "\"${args.X}\"",
    "\"${refs.a.id}\"",
    "\"$secret\":",
    "\"\\u0000\"",
    "\"\\ud83d\"",
    "é",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "\"a/b~c\":",
];

/// Pieces of YAML.
pub(crate) const YAML: &[&str] = &[
    "kind: ",
    "ref: ",
    "spec:",
    "steps:",
    "- ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "<<: *a",
    "|",
    ">",
    "|-\n",
    "'",
    "\"",
    ": ",
    "#",
    "---\n",
    "...\n",
    "!!str ",
    "!!int ",
    "!tag ",
    "? ",
    "%YAML 1.2\n",
    "~",
    "null",
    "yes",
    "0x1f",
    "1e999",
    ".nan",
    "é",
    "${args.X}",
    "@",
    "`",
    "\u{feff}",
    "\0",
    "Workflow",
    "sequential",
    "type: ",
];

/// A document as JSON.
pub fn json(data: &[u8]) {
    document("a.json", data);
}

/// A document as YAML.
pub fn yaml(data: &[u8]) {
    document("a.yaml", data);
}

fn document(name: &str, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    told(&lint(name, &text, Knowledge::default()));
    match parse(name, &text) {
        Ok(document) => {
            read(&document);
            check(&document);
            match format(name, &text) {
                Ok(formatted) => {
                    let again = parse(name, &formatted).map(|again| again.value);
                    assert_eq!(again.ok().as_ref(), Some(&document.value), "its usual form says the same");
                }
                Err(report) => told(&report),
            }
        }
        Err(report) => told(&report),
    }
}

/// All that is wrong with it as a document of each type, and what is different from another one.
fn check(document: &Document) {
    for kind in DocumentType::ALL {
        let knowledge = Knowledge { document: Some(*kind), ..Knowledge::default() };
        told(&document.report(lint_document(document, knowledge)));
    }
    let nothing = json!({});
    for (before, after) in [(&document.value, &nothing), (&nothing, &document.value)] {
        drop(diff(before, after));
    }
    assert!(diff(&document.value, &document.value).is_empty(), "it is no different from itself");
}

/// A report can be shown, and shows a way out of all that is in it.
fn told(report: &Report) {
    drop(report.to_string());
    let lacks = |problem: &&Problem| problem.help.is_none();
    assert_eq!(report.problems.iter().find(lacks), None, "each finding has a way out");
}

fn read(document: &Document) {
    let printed = json_text(&document.value);
    if let Ok(again) = parse("b.json", &printed) {
        assert_eq!(json_text(&again.value), printed, "what is printed reads back");
    }
    assert!(document.span("").is_some(), "the whole has a place");
    if let Err(problems) = parse_declarations(document) {
        told(&document.report(problems));
    }
    match Flow::parse(&document.value) {
        Ok(flow) => told(&document.report(validate_flow(&flow, &StageContext::default()))),
        Err(problems) => {
            assert!(problems.has_errors(), "what is refused has an error");
            told(&document.report(problems));
        }
    }
}

/// The `spec` of a node, of every kind.
pub fn schema(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Value>(data) else { return };
    for kind in KINDS {
        let node = json!({"kind": kind.name(), "ref": "n", "spec": spec});
        let flow = json!({
            "apiVersion": "v1.2",
            "arguments": {"X": "x"},
            "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [node]}},
        });
        if let Ok(flow) = Flow::parse(&flow) {
            let _ = validate_flow(&flow, &StageContext::default());
        }
    }
}
