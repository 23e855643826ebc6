//! The JSON Schemas of the document types: what editors check and complete with.
//!
//! They accept the documents that [`crate::document::examine`] finds no error in; what a schema cannot say (two names
//! that are the same, an expression that is no expression, a default of another type than its argument) is the
//! parser's alone. The shapes of kinds are those that the parser checks with; the rest mirrors it, and a property
//! test holds the two together.

mod fields;
mod node;
mod top;
mod trigger;

use serde_json::{Map, Value, json};
use shipway_documents::DocumentType;

use crate::KINDS;

/// The schema of documents of that type.
#[must_use]
pub fn schema(document: DocumentType) -> Value {
    let mut definitions = Map::new();
    for needed in types(document) {
        definitions.insert(format!("document-{needed}"), top::document(needed));
        definitions.insert(format!("node-{needed}"), node::node(needed));
    }
    for kind in KINDS {
        let known = shipway_documents::kinds::find(kind.name());
        if known.is_some_and(|known| types(document).iter().any(|needed| known.is_allowed_in(*needed))) {
            definitions.insert(format!("kind-{}", kind.name()), kind.config_schema());
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("Shipway: {}", document.describe()),
        "$ref": format!("#/$defs/document-{document}"),
        "$defs": definitions,
    })
}

/// A type, and those that stand in its documents.
fn types(document: DocumentType) -> Vec<DocumentType> {
    match document {
        // Its nodes hold documents of every other type.
        DocumentType::Template => DocumentType::ALL.to_vec(),
        DocumentType::Teardown => vec![document],
        _ => vec![document, DocumentType::Teardown],
    }
}
