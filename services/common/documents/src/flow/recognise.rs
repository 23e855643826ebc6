//! Which type a document is of, if nobody says so.

use serde_json::Value;

use super::{options, top};
use crate::{
    DocumentType::{self, Blueprint, Preview, ReleaseFlow, Teardown, Template, Workflow},
    kinds,
};

/// The type of a document: what its `$schema` says, else the first type that may hold what it holds. None for what
/// is no document of these types, such as nodes by themselves, which `shipway apply` takes as well.
#[must_use]
pub fn recognise(value: &Value) -> Option<DocumentType> {
    if let Some(named) = value.get("$schema").and_then(Value::as_str).and_then(of_schema) {
        return Some(named);
    }
    if value.get("kind").is_some() || !value.get("spec").is_some_and(Value::is_object) {
        return None;
    }
    let order: &[DocumentType] = if value.get("failurePolicy").is_some() {
        &[Teardown]
    } else if value.get("name").is_some() {
        &[Template, Workflow, Blueprint, ReleaseFlow, Preview]
    } else {
        &[ReleaseFlow, Preview, Template, Teardown]
    };
    order.iter().copied().find(|document| may_be(value, *document)).or_else(|| order.first().copied())
}

/// The last part of a schema's address is its type.
fn of_schema(address: &str) -> Option<DocumentType> {
    let address = address.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let last = address.rsplit('/').next().unwrap_or_default();
    DocumentType::parse(last.trim_end_matches(".json").trim_end_matches(".schema"))
}

fn may_be(value: &Value, document: DocumentType) -> bool {
    let has_place = |member: &str| {
        matches!(member, "name" | "description")
            || top::places_of(member).is_none_or(|documents| documents.contains(&document))
    };
    let members = value.as_object().into_iter().flatten();
    let is_preview = matches!(document, Preview | Blueprint);
    let of_previews =
        options::PREVIEW.iter().any(|name| value.pointer(&format!("/options/{name}")).is_some());
    members.into_iter().all(|(member, _)| has_place(member))
        && (is_preview || !of_previews)
        && value.get("spec").is_none_or(|root| may_hold(root, document, 0))
}

/// Deeper than documents are read there is nothing to be found out.
const DEEPEST: usize = 32;

fn may_hold(node: &Value, document: DocumentType, depth: usize) -> bool {
    let kind = node.get("kind").and_then(Value::as_str).unwrap_or_default();
    let steps = node.pointer("/spec/steps").and_then(Value::as_array).into_iter().flatten();
    kinds::find(kind).is_none_or(|kind| kind.is_allowed_in(document))
        && (depth > DEEPEST || steps.into_iter().all(|step| may_hold(step, document, depth + 1)))
}
