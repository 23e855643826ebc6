//! Completion inside `${…}`.

use shipway_documents::expr;

use super::{Completion, CompletionKind};
use crate::{
    expression::Dotted,
    hover,
    outline::{NodeAt, Outline},
};

const ROOTS: &[(&str, &str)] = &[
    ("args", "Arguments of the run"),
    ("refs", "Outputs of nodes that ran before, and values of triggers"),
    ("triggers", "Values of what started the run"),
    ("fn", "Functions"),
    ("secrets", "Secrets of the team"),
];

/// What a Git trigger knows of a push.
const PUSH: &[&str] = &["branch", "sha", "repoUrl", "pullRequestId"];

/// What could be written in the part of a dotted name in which the place is.
pub(super) fn complete(dotted: &Dotted, outline: &Outline<'_>, place: &str) -> Vec<Completion> {
    let range = dotted.part_range();
    let option = |label: &str, kind, detail: &str, help: String, insert: String| Completion {
        label: label.to_owned(),
        kind,
        detail: detail.to_owned(),
        help,
        insert,
        range: range.clone(),
    };
    let before: Vec<&str> = dotted.parts[..dotted.part].iter().map(String::as_str).collect();
    match before.as_slice() {
        [] => {
            let root = |(name, about): &(&str, &str)| {
                option(name, CompletionKind::Root, "", (*about).to_owned(), format!("{name}."))
            };
            ROOTS.iter().map(root).collect()
        }
        ["args"] => {
            let named = |argument: crate::outline::Named<'_>| {
                let help = hover::argument(argument.name, argument.value);
                option(argument.name, CompletionKind::Argument, "argument", help, argument.name.to_owned())
            };
            outline.arguments().into_iter().map(named).collect()
        }
        ["fn"] => {
            let function = |function: &expr::Function| {
                let help = hover::function(function.name).unwrap_or_default();
                // What is called already keeps its brackets.
                let insert = function.name.to_owned();
                option(function.name, CompletionKind::Function, &function.signature(), help, insert)
            };
            expr::functions().iter().map(function).collect()
        }
        [root @ ("refs" | "triggers")] => {
            let own = outline.node_around(place).map(|node| node.pointer.as_str());
            let reference = |node: &NodeAt<'_>| {
                option(
                    node.name,
                    CompletionKind::Reference,
                    node.kind,
                    hover::output(node, &[]),
                    node.name.to_owned(),
                )
            };
            let around = |node: &&NodeAt<'_>| {
                own.is_none_or(|own| !shipway_documents::pointer::is_within(own, &node.pointer))
            };
            let nodes =
                outline.nodes.iter().filter(|node| *root == "refs" && !node.name.is_empty()).filter(around);
            let mut all: Vec<_> = nodes.map(reference).collect();
            all.extend(outline.triggers().into_iter().map(|trigger| {
                option(
                    trigger.name,
                    CompletionKind::Reference,
                    "trigger",
                    String::new(),
                    trigger.name.to_owned(),
                )
            }));
            all
        }
        [root @ ("refs" | "triggers"), name, path @ ..] => {
            let output =
                |name: &str, help: String| option(name, CompletionKind::Output, "", help, name.to_owned());
            if let Some(node) = outline.node(name).filter(|_| *root == "refs") {
                return below(&hover::outputs(node), path)
                    .into_iter()
                    .map(|(name, help)| output(&name, help))
                    .collect();
            }
            let is_trigger = outline.triggers().iter().any(|trigger| trigger.name == *name);
            let push = PUSH.iter().filter(|_| is_trigger && path.is_empty());
            push.map(|name| output(name, String::new())).collect()
        }
        _ => Vec::new(),
    }
}

/// The next parts of the paths that begin so.
fn below(outputs: &[(String, &'static str)], path: &[&str]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (output, when) in outputs {
        let parts: Vec<&str> = output.split('.').collect();
        let next = parts.strip_prefix(path).and_then(|rest| rest.first());
        if let Some(next) = next.filter(|next| all.iter().all(|(known, _)| known != *next)) {
            all.push(((*next).to_owned(), (*when).to_owned()));
        }
    }
    all
}
