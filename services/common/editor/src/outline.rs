//! The names that a place of a document can use: those of the flow around it.

use serde_json::Value;
use shipway_documents::pointer;

/// A flow, as far as it can be told from a document that may be wrong in places.
pub(crate) struct Outline<'a> {
    /// Where the flow is: empty for the whole document.
    pub(crate) at: String,
    value: &'a Value,
    pub(crate) nodes: Vec<NodeAt<'a>>,
}

/// A node of the flow.
pub(crate) struct NodeAt<'a> {
    pub(crate) pointer: String,
    pub(crate) kind: &'a str,
    /// Its `ref`; empty where none is given.
    pub(crate) name: &'a str,
    pub(crate) value: &'a Value,
}

/// A name with the value that it is given to and the place of that.
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a Value,
    pub(crate) pointer: String,
}

impl<'a> Outline<'a> {
    /// The innermost flow around a place: a release flow may stand inside a pipeline's declaration.
    pub(crate) fn around(document: &'a Value, place: &str) -> Self {
        let mut at = "";
        for (end, _) in place.match_indices('/').chain([(place.len(), "")]) {
            let prefix = &place[..end];
            if document.pointer(prefix).is_some_and(is_flow) {
                at = prefix;
            }
        }
        let value = document.pointer(at).unwrap_or(document);
        let mut nodes = Vec::new();
        if is_flow(value) {
            for root in ["/spec", "/teardownSpec/spec"] {
                if let Some(spec) = value.pointer(root) {
                    collect(spec, &format!("{at}{root}"), &mut nodes);
                }
            }
        } else if let Value::Array(items) = value {
            for (n, item) in items.iter().enumerate() {
                collect(item, &pointer::item(at, n), &mut nodes);
            }
        } else {
            collect(value, at, &mut nodes);
        }
        Self { at: at.to_owned(), value, nodes }
    }

    pub(crate) fn arguments(&self) -> Vec<Named<'a>> {
        let at = format!("{}/arguments", self.at);
        let members = self.value.get("arguments").and_then(Value::as_object);
        let named =
            |(name, value): (&'a String, &'a Value)| Named { name, value, pointer: pointer::join(&at, name) };
        members.into_iter().flatten().map(named).collect()
    }

    /// Triggers that have a name.
    pub(crate) fn triggers(&self) -> Vec<Named<'a>> {
        let at = format!("{}/triggers", self.at);
        let items = self.value.get("triggers").and_then(Value::as_array);
        let named = |(n, value): (usize, &'a Value)| {
            let name = value.get("ref")?.as_str()?;
            Some(Named { name, value, pointer: pointer::item(&at, n) })
        };
        items.into_iter().flatten().enumerate().filter_map(named).collect()
    }

    /// The node of that name.
    pub(crate) fn node(&self, name: &str) -> Option<&NodeAt<'a>> {
        self.nodes.iter().find(|node| node.name == name && !name.is_empty())
    }

    /// The innermost node around a place.
    pub(crate) fn node_around(&self, place: &str) -> Option<&NodeAt<'a>> {
        self.nodes.iter().rev().find(|node| pointer::is_within(place, &node.pointer))
    }
}

/// Something with a root workflow that is no node itself.
fn is_flow(value: &Value) -> bool {
    value.get("kind").is_none()
        && (value.pointer("/spec/kind").is_some() || value.get("apiVersion").is_some())
}

fn collect<'a>(value: &'a Value, at: &str, nodes: &mut Vec<NodeAt<'a>>) {
    let kind = value.get("kind").and_then(Value::as_str);
    if value.is_object() {
        let name = value.get("ref").and_then(Value::as_str).unwrap_or_default();
        nodes.push(NodeAt { pointer: at.to_owned(), kind: kind.unwrap_or_default(), name, value });
    }
    let steps = value.pointer("/spec/steps").and_then(Value::as_array);
    for (n, step) in steps.into_iter().flatten().enumerate() {
        collect(step, &pointer::item(&format!("{at}/spec/steps"), n), nodes);
    }
}
