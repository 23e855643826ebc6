//! The nodes of a document, as values: they need not be right to be compared.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{flow, pointer};

/// A node as it stands in a document.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    /// Its `ref`, or a name made from its kind and target, numbered from the second on.
    pub(super) name: String,
    /// Whether the document gives the name.
    pub(super) named: bool,
    pub(super) kind: &'a str,
    pub(super) pointer: String,
    /// The place of the workflow around it in the list of all nodes.
    pub(super) parent: Option<usize>,
    /// The names of the workflows around it.
    pub(super) workflows: Vec<String>,
    /// The node without its steps.
    pub(super) own: Value,
}

/// The node itself and all in it: of the root workflow and of the teardown's, or of a list of nodes.
pub(super) fn collect(document: &Value) -> Vec<Placed<'_>> {
    let mut nodes = Collected::default();
    match document {
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                nodes.add(item, &pointer::item("", n), None, &[]);
            }
        }
        value if is_node(value) => nodes.add(value, "", None, &[]),
        value => {
            for at in ROOTS {
                if let Some(root) = value.pointer(at) {
                    nodes.add(root, at, None, &[]);
                }
            }
        }
    }
    nodes.all
}

/// The document without its nodes, arguments and triggers.
pub(super) fn around(document: &Value) -> Value {
    let Value::Object(members) = document else { return Value::Null };
    if is_node(document) {
        return Value::Null;
    }
    let mut rest = members.clone();
    rest.shift_remove("arguments");
    rest.shift_remove("triggers");
    if rest.get("spec").is_some_and(is_node) {
        rest.shift_remove("spec");
    }
    let teardown = rest.get_mut("teardownSpec").and_then(Value::as_object_mut);
    if let Some(teardown) = teardown.filter(|teardown| teardown.get("spec").is_some_and(is_node)) {
        teardown.shift_remove("spec");
    }
    Value::Object(rest)
}

/// Where a document has workflows.
const ROOTS: &[&str] = &["/spec", "/teardownSpec/spec"];

fn is_node(value: &Value) -> bool {
    value.get("kind").is_some_and(Value::is_string)
}

#[derive(Default)]
struct Collected<'a> {
    all: Vec<Placed<'a>>,
    counts: BTreeMap<String, usize>,
}

impl<'a> Collected<'a> {
    fn add(&mut self, value: &'a Value, at: &str, parent: Option<usize>, workflows: &[String]) {
        let Some(kind) = value.get("kind").and_then(Value::as_str) else { return };
        let given = value.get("ref").and_then(Value::as_str).filter(|given| !given.is_empty());
        let name = match given {
            Some(given) => given.to_owned(),
            None => self.make_name(kind, value.get("spec").unwrap_or(&Value::Null)),
        };
        let mut own = value.clone();
        let steps_at = "/spec/steps";
        let steps = value.pointer(steps_at).and_then(Value::as_array);
        if steps.is_some() {
            own.pointer_mut("/spec")
                .and_then(Value::as_object_mut)
                .map(|spec: &mut Map<_, _>| spec.shift_remove("steps"));
        }
        let inside: Vec<String> = workflows.iter().cloned().chain([name.clone()]).collect();
        let place = self.all.len();
        self.all.push(Placed {
            name,
            named: given.is_some(),
            kind,
            pointer: at.to_owned(),
            parent,
            workflows: workflows.to_vec(),
            own,
        });
        for (n, step) in steps.into_iter().flatten().enumerate() {
            self.add(step, &pointer::item(&format!("{at}{steps_at}"), n), Some(place), &inside);
        }
    }

    fn make_name(&mut self, kind: &str, spec: &Value) -> String {
        let base = flow::base_name(kind, spec);
        let count = self.counts.entry(base.clone()).or_default();
        *count += 1;
        if *count == 1 { base } else { format!("{base}-{count}") }
    }
}
