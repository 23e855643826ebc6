//! Names that nothing uses.

use std::collections::HashSet;

use shipway_documents::{
    Code, Problem, Problems,
    expr::{self, Root},
    flow::{Flow, Node},
    list, pointer,
};

use super::index::Index;
use crate::{Outputs, find};

/// The names that expressions use.
#[derive(Default)]
pub(super) struct Used {
    nodes: HashSet<String>,
    arguments: HashSet<String>,
}

impl Used {
    pub(super) fn node(&mut self, name: &str) {
        if !self.nodes.contains(name) {
            self.nodes.insert(name.to_owned());
        }
    }

    pub(super) fn argument(&mut self, name: &str) {
        if !self.arguments.contains(name) {
            self.arguments.insert(name.to_owned());
        }
    }

    /// Adds what another part of the document uses.
    pub(super) fn extend(&mut self, other: &Self) {
        other.nodes.iter().for_each(|name| self.node(name));
        other.arguments.iter().for_each(|name| self.argument(name));
    }

    /// What the parts of the document beside its nodes use.
    fn rest(&mut self, flow: &Flow) {
        for (name, value) in flow.value.as_object().into_iter().flatten().filter(|(name, _)| *name != "spec")
        {
            for reference in expr::references(value, name) {
                match reference.root {
                    Root::Args => self.argument(&reference.name),
                    Root::Refs | Root::Triggers => self.node(&reference.name),
                    Root::Secrets => {}
                }
            }
        }
    }
}

/// Notes what nothing uses: each argument by itself, and the `ref`s of nodes together, since they may well be
/// there to call a node by.
pub(super) fn check(flow: &Flow, index: &Index<'_>, mut used: Used, problems: &mut Problems) {
    used.rest(flow);
    for (_, item) in index.all() {
        item.node.depends_on.iter().for_each(|name| used.node(name));
    }
    for argument in flow.arguments.iter().filter(|argument| !used.arguments.contains(&argument.name)) {
        let at = pointer::join("/arguments", &argument.name);
        let problem = Problem::warning(at, format!("nothing uses the argument `{}`", argument.name));
        let help = format!("use it, `${{args.{}}}`, or take it away", argument.name);
        problems.push(problem.code(Code::ArgUnused).at_key().help(help));
    }
    let idle = |node: &&Node| node.named && has_outputs(node) && !used.nodes.contains(&node.reference);
    let unused: Vec<&Node> = index.all().map(|(_, item)| item.node).filter(idle).collect();
    let Some((first, others)) = unused.split_first() else { return };
    let names = list(unused.iter().map(|node| node.reference.as_str()));
    let message = format!("nothing refers to {names}");
    let mut problem = Problem::warning(pointer::join(&first.pointer, "ref"), message)
        .code(Code::RefUnused)
        .help("that is right where a `ref` is only there to call the node by; else use it, or take it away");
    for other in others.iter().take(7) {
        problem = problem.related(
            pointer::join(&other.pointer, "ref"),
            format!("nothing refers to `{}`", other.reference),
        );
    }
    problems.push(problem);
}

/// Whether there is something that could be used.
fn has_outputs(node: &Node) -> bool {
    find(&node.kind).is_some_and(|kind| kind.outputs(&node.spec) != Outputs::default())
}
