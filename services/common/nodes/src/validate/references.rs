//! Whether every name in an expression stands for something that is known by then.

use std::collections::BTreeMap;

use shipway_documents::{
    Problem, Problems, Severity,
    expr::{self, Reference, Root},
    flow::{Flow, Node, TriggerSource},
    nearest, pointer, with_article,
};

use super::Known;
use crate::{
    Outputs, find,
    kind::PathFit,
    kinds::workflow::{Order, order},
};

pub(super) fn check(flow: &Flow, known: &Known, problems: &mut Problems) {
    let declared = flow.arguments.iter().map(|argument| (argument.name.as_str(), argument.secret));
    let mut arguments: BTreeMap<&str, bool> = declared.collect();
    for (name, secret) in &known.arguments {
        *arguments.entry(name).or_default() |= secret;
    }
    let mut checker =
        Checker { root: &flow.root, all: BTreeMap::new(), triggers: triggers(flow), arguments, problems };
    checker.find(&flow.root, Vec::new());
    for (path, node) in checker.all.values().cloned().collect::<Vec<_>>() {
        checker.node(node, &path);
    }
}

/// The values of each trigger.
fn triggers(flow: &Flow) -> BTreeMap<&str, Outputs> {
    let webhook = || Outputs::of(&["body.*"], &[]);
    let mut all: BTreeMap<&str, Outputs> = BTreeMap::new();
    if flow.webhook.is_some() {
        all.insert("webhook", webhook());
    }
    for trigger in &flow.triggers {
        let values = match trigger.source {
            TriggerSource::Git(_) => Outputs::of(&["branch", "sha", "repoUrl", "pullRequestId"], &[]),
            TriggerSource::Webhook(_) => webhook(),
        };
        all.insert(&trigger.reference, values);
    }
    all
}

struct Checker<'a, 'p> {
    root: &'a Node,
    /// The way to each node: the places among siblings from the root on.
    all: BTreeMap<&'a str, (Vec<usize>, &'a Node)>,
    triggers: BTreeMap<&'a str, Outputs>,
    /// Whether each is secret.
    arguments: BTreeMap<&'a str, bool>,
    problems: &'p mut Problems,
}

impl<'a> Checker<'a, '_> {
    fn find(&mut self, node: &'a Node, path: Vec<usize>) {
        for (n, child) in node.children.iter().enumerate() {
            let mut path = path.clone();
            path.push(n);
            self.find(child, path);
        }
        self.all.insert(&node.reference, (path, node));
    }

    fn node(&mut self, node: &'a Node, path: &[usize]) {
        let payload = find(&node.kind).map(|kind| kind.payload()).unwrap_or_default();
        let spec_at = node.spec_pointer();
        for reference in expr::references(&node.spec, &spec_at) {
            let is_payload =
                |place: &&str| pointer::is_within(&reference.pointer, &format!("{spec_at}{place}"));
            let steers = !payload.iter().any(is_payload);
            self.reference(node, path, &reference, steers);
        }
        for (name, value) in [("skipNodeExecution", &node.skip), ("timeoutDuration", &node.timeout)] {
            let at = pointer::join(&node.pointer, name);
            for reference in value.iter().flat_map(|value| expr::references(value, &at)) {
                self.reference(node, path, &reference, true);
            }
        }
    }

    /// Whether the node at `source` has always ended, or started, when the one at `path` has its turn: where their
    /// ways part, the steps follow each other.
    fn runs_before(&self, source: &[usize], path: &[usize]) -> bool {
        let mut workflow = self.root;
        for (a, b) in source.iter().zip(path) {
            if a != b {
                return a < b && order(&workflow.spec) != Some(Order::Parallel);
            }
            workflow = &workflow.children[*a];
        }
        false
    }

    fn reference(&mut self, node: &Node, path: &[usize], reference: &Reference, steers: bool) {
        match reference.root {
            Root::Args => self.argument(reference, steers),
            Root::Triggers => self.trigger(reference),
            Root::Refs if self.triggers.contains_key(reference.name.as_str()) => self.trigger(reference),
            Root::Refs => self.output(node, path, reference),
            Root::Secrets if steers => self.problems.push(
                error(reference, format!("`{}` is a secret and cannot decide what happens", reference.name))
                    .help("secrets may be in variables, build arguments, messages and addresses of messages only"),
            ),
            Root::Secrets => {}
        }
    }

    fn argument(&mut self, reference: &Reference, steers: bool) {
        let name = reference.name.as_str();
        match self.arguments.get(name) {
            Some(true) if steers => self.problems.push(
                error(reference, format!("the argument `{name}` is secret and cannot decide what happens"))
                    .help("secrets may be in variables, build arguments, messages and addresses of messages only"),
            ),
            Some(_) => {}
            None => {
                let problem = self.unknown_argument(reference);
                self.problems.push(problem);
            }
        }
    }

    /// Overrides and runs may give arguments that the document does not declare: an error only for what
    /// looks like a typing error.
    fn unknown_argument(&self, reference: &Reference) -> Problem {
        let name = reference.name.as_str();
        let near = nearest(name, self.arguments.keys().copied()).filter(|_| name.len() > 3);
        match near {
            Some(near) if !reference.optional => error(reference, format!("no argument is called `{name}`"))
                .help(format!("did you mean `{near}`?")),
            _ => {
                let else_ =
                    if reference.optional { "counts as false" } else { "keeps the run from starting" };
                warning(
                    reference,
                    format!("the argument `{name}` is not declared; without a value it {else_}"),
                )
                .help(format!("declare it: `arguments: {{{name}: …}}`"))
            }
        }
    }

    fn trigger(&mut self, reference: &Reference) {
        let name = reference.name.as_str();
        let Some(values) = self.triggers.get(name) else {
            let known: Vec<_> = self.triggers.keys().copied().collect();
            let problem = error(reference, format!("no trigger is called `{name}`")).suggest(name, known);
            self.problems.push(problem);
            return;
        };
        if values.fit(&reference.path) == PathFit::Unknown {
            let path = reference.path.join(".");
            let problem = error(reference, format!("the trigger `{name}` has no `{path}`"));
            let problem = problem.suggest(&path, values.names());
            self.problems.push(problem);
        }
    }

    fn output(&mut self, node: &Node, path: &[usize], reference: &Reference) {
        let name = reference.name.as_str();
        let Some((source_path, source)) = self.all.get(name) else {
            let known: Vec<_> = self.all.keys().chain(self.triggers.keys()).copied().collect();
            let problem = error(reference, format!("no node or trigger is called `{name}`"));
            self.problems.push(problem.suggest(name, known));
            return;
        };
        if !self.runs_before(source_path, path) {
            self.problems.push(if std::ptr::eq(node, *source) {
                error(reference, format!("`{name}` is this node itself"))
                    .help("name a node that runs before it")
            } else {
                error(reference, format!("the node `{name}` has not run when this is needed"))
                    .help("put this node after it, in a `sequential` workflow")
            });
            return;
        }
        let Some(kind) = find(&source.kind) else { return };
        let outputs = kind.outputs(&source.spec);
        match outputs.fit(&reference.path) {
            PathFit::Always => {}
            PathFit::Finished if kind.awaited(&source.spec, source.condition.as_deref()) => {}
            PathFit::Finished => {
                let path = reference.path.join(".");
                let word = kind.conditions().first().copied().unwrap_or("success");
                let problem =
                    error(reference, format!("`{path}` of `{name}` is only known when it has ended"));
                self.problems.push(problem.help(format!("give `{name}` a `condition: {word}`")));
            }
            PathFit::Open => {
                let mut problem = unknown_output(reference, source, &outputs);
                problem.severity = Severity::Warning;
                self.problems.push(problem);
            }
            PathFit::Unknown => self.problems.push(unknown_output(reference, source, &outputs)),
        }
    }
}

fn unknown_output(reference: &Reference, source: &Node, outputs: &Outputs) -> Problem {
    let (name, path, kind) = (&reference.name, reference.path.join("."), &source.kind);
    let problem =
        error(reference, format!("`{name}` is {}, which has no output `{path}`", with_article(kind)));
    let names = outputs.names();
    if names.is_empty() {
        problem.help(format!("{} has no outputs", with_article(kind)))
    } else {
        problem.suggest(&path, names)
    }
}

fn error(reference: &Reference, message: String) -> Problem {
    Problem::error(reference.pointer.clone(), message).span(reference.span.clone())
}

fn warning(reference: &Reference, message: String) -> Problem {
    Problem::warning(reference.pointer.clone(), message).span(reference.span.clone())
}
