//! One file per kind.

pub(crate) mod action;
pub(crate) mod addon;
pub(crate) mod addon_backup;
pub(crate) mod approval;
pub(crate) mod build;
pub(crate) mod condition;
pub(crate) mod job_run;
pub(crate) mod loop_data;
pub(crate) mod loop_workflow;
pub(crate) mod message;
pub(crate) mod noop;
pub(crate) mod release;
pub(crate) mod run_template;
pub(crate) mod workflow;

use serde_json::Value;
use shipway_documents::{flow::Node, is_expression};

use crate::{Role, Use, UseKind};

/// The resource that a node names at `path` in its spec, unless that is an expression.
fn named(node: &Node, path: &str, kind: UseKind, role: Role) -> Option<Use> {
    let value = node.spec.pointer(path)?;
    let slug = value.as_str().filter(|_| !is_expression(value))?;
    Some(Use { slug: slug.to_owned(), kind, pointer: format!("{}{path}", node.spec_pointer()), role })
}

/// The text at `path` in a spec, unless it is an expression.
fn literal<'a>(spec: &'a Value, path: &str) -> Option<&'a str> {
    spec.pointer(path).filter(|value| !is_expression(value)).and_then(Value::as_str)
}
