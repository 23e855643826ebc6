//! A document of any type with its nodes, and the documents in them: whether all of it has the right shape.

use serde_json::Value;
use shipway_documents::{
    DocumentType, Problems,
    flow::{Flow, Node},
};

use crate::allowed;

/// What there is in a document, and what is wrong with its shape.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The document as far as it can be read.
    pub flow: Option<Flow>,
    /// The documents in its nodes, those in them after them.
    pub nested: Vec<Nested>,
    /// All that is wrong with the shape of any of them, sorted by place.
    pub problems: Problems,
}

/// A document that stands in a node of another.
#[derive(Clone, Debug)]
pub struct Nested {
    /// Its type.
    pub document_type: DocumentType,
    /// Where it stands: put this before its pointers.
    pub pointer: String,
    /// It, as far as it can be read.
    pub flow: Option<Flow>,
}

/// Reads a document and says what is wrong with its shape: members in the wrong place, values of the wrong type, kinds
/// that are unknown or not allowed there, conditions that a kind does not know. The JSON Schema of the type
/// ([`crate::schema`]) refuses the same documents. What names mean, and what depends on the project, is for
/// [`crate::validate`].
#[must_use]
pub fn examine(document: DocumentType, value: &Value) -> Examined {
    let mut examined = examine_at(document, value, "");
    examined.problems.sort();
    examined
}

fn examine_at(document: DocumentType, value: &Value, at: &str) -> Examined {
    let (flow, problems) = Flow::examine(document, value, !at.is_empty());
    let mut found = Examined { flow: None, nested: Vec::new(), problems: problems.under(at) };
    if let Some(flow) = &flow {
        nodes(flow, at, &mut found);
        if let Some(teardown) = &flow.teardown {
            nodes(&teardown.flow, &format!("{at}{}", teardown.pointer), &mut found);
        }
    }
    Examined { flow, ..found }
}

fn nodes(flow: &Flow, at: &str, found: &mut Examined) {
    for placed in flow.nodes() {
        let mut problems = Problems::new();
        node(flow.document_type, placed.node, at, &mut problems, found);
        found.problems.extend(problems.under(at));
    }
}

fn node(document: DocumentType, node: &Node, at: &str, problems: &mut Problems, found: &mut Examined) {
    let Some(kind) = allowed::kind(node, document, problems) else { return };
    allowed::condition(kind, node, problems);
    allowed::once(node, document, problems);
    let spec_at = node.spec_pointer();
    kind.shape().check(&node.spec, &spec_at, problems);
    for (place, document_type) in kind.documents(&node.spec) {
        let Some(value) = node.spec.pointer(&place) else { continue };
        let pointer = format!("{at}{spec_at}{place}");
        let inner = examine_at(document_type, value, &pointer);
        found.problems.extend(inner.problems);
        found.nested.push(Nested { document_type, pointer, flow: inner.flow });
        found.nested.extend(inner.nested);
    }
}
