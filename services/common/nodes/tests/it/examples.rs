//! An example of each node kind and of each type of document, in `examples/`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use shipway_documents::{
    Code, Document, DocumentType, Problem, Problems, Severity,
    flow::recognise,
    kinds::{self, KNOWN},
};
use shipway_nodes::{
    document::examine,
    lint::{Knowledge, lint_document},
};

/// What the files of a folder say, by their names without the end.
fn folder(name: &str) -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| {
            let value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), value)
        })
        .collect()
}

/// The example of each kind.
pub(crate) fn nodes() -> BTreeMap<String, Value> {
    folder("examples")
}

/// The example of each type of document.
pub(crate) fn documents() -> Vec<(DocumentType, Value)> {
    let all = folder("examples/documents").into_iter();
    all.map(|(name, value)| (DocumentType::parse(&name).unwrap(), value)).collect()
}

/// A document of that type with one node in it.
pub(crate) fn around(document: DocumentType, node: &Value) -> Value {
    let mut value =
        json!({ "spec": { "kind": "Workflow", "spec": { "type": "sequential", "steps": [node] } } });
    if matches!(document, DocumentType::Template | DocumentType::Workflow | DocumentType::Blueprint) {
        value["name"] = "example".into();
    }
    value
}

/// The errors among problems; what is only unsupported is legal.
pub(crate) fn errors(problems: &Problems) -> Vec<&Problem> {
    problems.iter().filter(|problem| problem.severity == Severity::Error).collect()
}

#[test]
fn every_kind_has_an_example_that_stands_where_it_may() {
    let examples = nodes();
    let names: Vec<_> = KNOWN.iter().map(|kind| kind.name).filter(|name| *name != "Noop").collect();
    assert_eq!(examples.len(), names.len());
    for name in names {
        let node = &examples[name];
        assert_eq!(node["kind"], name);
        for document in DocumentType::ALL {
            let examined = examine(*document, &around(*document, node));
            let errors = errors(&examined.problems);
            if kinds::find(name).unwrap().is_allowed_in(*document) {
                assert!(errors.is_empty(), "{name} in {document}: {errors:?}");
                let flow = examined.flow.unwrap();
                assert_eq!(flow.value, around(*document, node), "{name}: nothing of it is lost");
            } else {
                let refused = errors.iter().any(|problem| {
                    problem.message.contains(&format!("cannot hold `{name}` nodes"))
                        && problem.help.as_ref().is_some_and(|help| help.contains("it may stand in"))
                });
                assert!(refused, "{name} in {document}: {errors:?}");
            }
        }
    }
}

#[test]
fn every_type_of_document_has_an_example_that_is_recognised() {
    let all = documents();
    assert_eq!(all.len(), DocumentType::ALL.len());
    for (document, mut value) in all {
        let examined = examine(document, &value);
        let errors = errors(&examined.problems);
        assert!(errors.is_empty(), "{document}: {errors:?}");
        assert_eq!(recognise(&value), Some(document), "by its schema");
        value.as_object_mut().unwrap().shift_remove("$schema");
        assert_eq!(recognise(&value), Some(document), "by its shape");
    }
}

#[test]
fn documents_in_nodes_are_documents() {
    let mut node = nodes()["Pipeline"].clone();
    let examined = examine(DocumentType::Template, &around(DocumentType::Template, &node));
    let nested: Vec<_> =
        examined.nested.iter().map(|nested| (nested.document_type, &*nested.pointer)).collect();
    let at = "/spec/spec/steps/0/spec";
    assert_eq!(
        nested,
        [
            (DocumentType::ReleaseFlow, &*format!("{at}/stages/0/releaseFlow/spec")),
            (DocumentType::Preview, &*format!("{at}/preview/spec")),
        ]
    );
    // Each has the rules of its own type, and `${template.…}` is known in it only.
    let flow = &mut node["spec"]["stages"][0]["releaseFlow"]["spec"];
    flow["stageId"] = "live".into();
    flow["spec"]["spec"]["steps"][0]["kind"] = "Volume".into();
    node["spec"]["description"] = "${template.args.X}".into();
    let problems = examine(DocumentType::Template, &around(DocumentType::Template, &node)).problems;
    let shown: Vec<_> = errors(&problems).iter().map(|problem| problem.to_string().replace(at, "")).collect();
    assert_eq!(
        shown,
        [
            "error: /description: `template.` is only known inside a flow that is nested in a template; take `template.` away",
            "error: /stages/0/releaseFlow/spec/spec/spec/steps/0/kind: a release flow cannot hold `Volume` nodes; it may stand in a team template, a preview template or a preview blueprint",
            "error: /stages/0/releaseFlow/spec/stageId: `stageId` has no place in a release flow; it belongs into a workflow document",
        ]
    );
}

/// What a node by itself lacks: the nodes and the loop around it, and the arguments of its document.
const OF_ITS_PLACE: &[Code] = &[
    Code::ArgUnknown,
    Code::RefUnknown,
    Code::TriggerUnknown,
    Code::LoopData,
    Code::NodeUnreachable,
    Code::GraphPlace,
    Code::GraphUnknown,
];

/// Lints every JSON example of a page as a document of its type, and tells how many there were. What is `composed` of nodes
/// lacks what they lack.
fn lint_page(name: &str, page: &str, composed: bool) -> usize {
    let mut count = 0;
    for block in page.split("```json\n").skip(1) {
        let value: Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
        let is_node = composed || value.get("kind").is_some();
        let tried = if let Some(kind) = value.get("kind").and_then(Value::as_str) {
            let documents = kinds::find(kind).unwrap().documents;
            documents.iter().map(|document| (*document, around(*document, &value))).collect()
        } else if let Some(document) = recognise(&value) {
            vec![(document, value)]
        } else if value.get("triggers").is_some() {
            let mut document = around(DocumentType::Workflow, &json!({"kind": "Noop", "spec": {}}));
            document["triggers"] = value["triggers"].clone();
            vec![(DocumentType::Workflow, document)]
        } else {
            println!("{name}: no document: {value}");
            continue;
        };
        // What the API says of a run holds a document's `spec` and is none.
        if tried.iter().any(|(_, value)| value.get("concluded").is_some()) {
            continue;
        }
        for (document, value) in tried {
            let knowledge = Knowledge { document: Some(document), ..Knowledge::default() };
            let problems = lint_document(&Document::from_value(name, value.clone()), knowledge);
            let mut wrong = errors(&problems);
            wrong.retain(|problem| !is_node || !OF_ITS_PLACE.contains(&problem.code));
            assert_eq!(wrong, Vec::<&Problem>::new(), "{name} as {document}: {value}");
            count += 1;
        }
    }
    count
}

#[test]
fn examples_of_every_shape_have_no_error() {
    assert!(lint_page("shapes.md", include_str!("shapes.md"), false) > 10);
    let nodes = nodes().into_values().map(|node| format!("```json\n{node}\n```\n"));
    let documents = documents().into_iter().map(|(_, value)| format!("```json\n{value}\n```\n"));
    let page: String = nodes.chain(documents).collect();
    assert!(lint_page("examples", &page, true) > 60);
}

/// The examples of the format's own pages, where a checkout of them is at hand.
#[test]
fn the_pages_examples_have_no_error() {
    let Ok(folder) = std::env::var("SHIPWAY_SPEC") else {
        println!("SKIPPED: set SHIPWAY_SPEC to the folder of the format's pages");
        return;
    };
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        lint_page(&path.display().to_string(), &fs::read_to_string(&path).unwrap_or_default(), false)
    };
    let count: usize = paths.map(read).sum();
    println!("examples of the pages: {count}");
    assert!(count > 40);
}
