//! An example of each node kind and of each type of document, in `examples/`.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use shipway_documents::{
    DocumentType, Problem, Problems, Severity,
    flow::recognise,
    kinds::{self, KNOWN},
};
use shipway_nodes::document::examine;

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

/// The examples of the format's own pages, where a checkout of them is at hand.
#[test]
fn the_pages_examples_have_no_error() {
    let Ok(folder) = std::env::var("SHIPWAY_SPEC") else {
        println!("SKIPPED: set SHIPWAY_SPEC to the folder of the format's pages");
        return;
    };
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        for block in text.split("```json\n").skip(1) {
            let value: Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
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
                println!("{}: no document: {value}", path.display());
                continue;
            };
            for (document, value) in tried {
                let problems = examine(document, &value).problems;
                assert_eq!(errors(&problems), Vec::<&Problem>::new(), "{}: {value}", path.display());
                count += 1;
            }
        }
    }
    println!("examples of the pages: {count}");
    assert!(count > 40);
}
