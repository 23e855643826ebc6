//! The order of known members: what something is comes first, what is long comes last.

use crate::cst::{Entry, Kind, Node};

/// Members of a document, before those that are not known.
const DOCUMENT: &[&str] = &[
    "$schema",
    "apiVersion",
    "name",
    "description",
    "project",
    "stageId",
    "arguments",
    "argumentOverrides",
    "options",
    "gitops",
    "crossProjectAccess",
    "triggers",
    "webhook",
    "richInputs",
];

/// Members of a node, before those that are not known.
const NODE: &[&str] = &[
    "kind",
    "ref",
    "name",
    "description",
    "dependsOn",
    "when",
    "skipNodeExecution",
    "runNodeOnce",
    "runsOn",
    "locks",
    "interruptible",
    "effect",
    "condition",
    "timeoutDuration",
    "retry",
    "settings",
    "updateMode",
];

/// The places of an object's entries in the usual order.
pub(super) fn order(node: &Node, entries: &[Entry]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..entries.len()).collect();
    let has = |name: &str| entries.iter().any(|entry| entry.name() == Some(name));
    let (first, last): (&[&str], &[&str]) = if has("kind") {
        (NODE, &["spec", "response"])
    } else if has("apiVersion") || child_is_node(entries, "spec") {
        (DOCUMENT, &["spec", "teardownSpec"])
    } else if has("steps") {
        (&["type"], &["steps"])
    } else {
        return places;
    };
    // An alias must stay behind its anchor.
    let mut shared = false;
    node.visit(&mut |node| shared |= node.anchor.is_some() || matches!(node.kind, Kind::Alias));
    if !shared {
        places.sort_by_key(|place| rank(entries[*place].name().unwrap_or_default(), first, last));
    }
    places
}

fn rank(name: &str, first: &[&str], last: &[&str]) -> usize {
    let known = first.iter().position(|known| *known == name);
    let late = || last.iter().position(|known| *known == name).map(|place| first.len() + 1 + place);
    known.or_else(late).unwrap_or(first.len())
}

fn child_is_node(entries: &[Entry], name: &str) -> bool {
    let child = entries.iter().find(|entry| entry.name() == Some(name));
    child.is_some_and(|entry| entry.value.child("kind").is_some())
}
