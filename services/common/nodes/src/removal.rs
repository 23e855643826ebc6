//! What goes from a flow when a member leaves its stage.

use std::collections::BTreeSet;

use serde_json::Value;
use shipway_documents::{
    expr::{self, Root},
    flow::{Flow, Node},
};

use crate::registry::find;

/// A node that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Where it stands.
    pub pointer: String,
    /// Its name.
    pub reference: String,
    /// Its kind.
    pub kind: String,
    /// Why it goes, for people.
    pub reason: String,
}

/// The nodes that name the resource, then those that need an output of a node that goes, and the document
/// without them all. Workflows stay, also empty ones.
#[must_use]
pub fn remove_member(flow: &Flow, slug: &str) -> (Vec<Removal>, Value) {
    let mut gone: Vec<Removal> = Vec::new();
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let nodes = flow.nodes();
    loop {
        let before = gone.len();
        for placed in &nodes {
            let node = placed.node;
            if node.kind == "Workflow" || names.contains(node.reference.as_str()) {
                continue;
            }
            if let Some(reason) = reason(node, slug, &names) {
                names.insert(&node.reference);
                gone.push(Removal {
                    pointer: node.pointer.clone(),
                    reference: node.reference.clone(),
                    kind: node.kind.clone(),
                    reason,
                });
            }
        }
        if gone.len() == before {
            break;
        }
    }
    let pointers: Vec<_> = gone.iter().map(|removal| removal.pointer.clone()).collect();
    let document = flow.without(&pointers);
    (gone, document)
}

fn reason(node: &Node, slug: &str, gone: &BTreeSet<&str>) -> Option<String> {
    let uses = find(&node.kind).map(|kind| kind.uses(node)).unwrap_or_default();
    if uses.iter().any(|used| used.slug == slug) {
        return Some(format!("it names `{slug}`"));
    }
    let fields = [Some(&node.spec), node.skip.as_ref(), node.timeout.as_ref()];
    let mut references = fields.into_iter().flatten().flat_map(|value| expr::references(value, ""));
    let lost = references
        .find(|reference| reference.root == Root::Refs && gone.contains(reference.name.as_str()))?;
    Some(format!("it needs an output of `{}`, which goes", lost.name))
}
