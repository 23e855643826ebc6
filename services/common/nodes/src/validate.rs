//! Checks a flow against its stage: all that can be known before anything runs.

mod references;
mod stage;

use std::{borrow::Cow, collections::BTreeMap};

use shipway_documents::{
    Problem, Problems,
    flow::{Flow, Node},
    kinds::{self, DocumentType, KNOWN, canonical},
    pointer,
};
use shipway_events::project::ResourceKind;

use crate::{Kind, find, supported};

/// What a stage's flow may name.
#[derive(Clone, Debug, Default)]
pub struct StageContext<'a> {
    /// The stage's name.
    pub stage: Cow<'a, str>,
    /// The name of the stage before, if there is one: what is promoted comes from there.
    pub previous: Option<Cow<'a, str>>,
    /// Every resource of the project, by its id in documents.
    pub resources: BTreeMap<Cow<'a, str>, Resource<'a>>,
}

/// A resource as a stage's flow sees it.
#[derive(Clone, Debug)]
pub struct Resource<'a> {
    /// What it is.
    pub kind: ResourceKind,
    /// The stage of the flow's pipeline that it is a member of.
    pub stage: Option<Cow<'a, str>>,
    /// Why the flow may not use it, as the end of a sentence: `it is a member of shop/Production`.
    pub unusable: Option<Cow<'a, str>>,
}

/// What else may be known when a flow is checked.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The project's id in documents; a node may name it and no other. Not checked when none.
    pub project: Option<String>,
    /// Arguments that overrides or the run give, and whether that is secret.
    pub arguments: BTreeMap<String, bool>,
}

/// Where a kind notes what is wrong with a node.
#[derive(Debug)]
pub struct Validation<'a> {
    at: String,
    known: &'a Known,
    problems: &'a mut Problems,
}

impl Validation<'_> {
    /// Notes an error at a place in the node's `spec`, and what to do.
    pub fn error(&mut self, place: &str, message: &str, help: &str) {
        self.problems.push(Problem::error(format!("{}{place}", self.at), message).help(help));
    }

    /// Notes something that is right in the format and not supported.
    pub fn unsupported(&mut self, place: &str, message: &str, help: &str) {
        self.problems.push(Problem::unsupported(format!("{}{place}", self.at), message).help(help));
    }

    /// Notes a project that is not the flow's own.
    pub fn check_project(&mut self, place: &str, project: Option<&str>) {
        if let (Some(named), Some(own)) = (project, self.known.project.as_deref())
            && named != own
        {
            let message = format!("`{named}` is another project; a flow works in its own, `{own}`");
            self.error(place, &message, "take it away");
        }
    }
}

/// All that is wrong with a flow in its stage, sorted by place: unknown kinds and resources, members of
/// other stages, references that cannot be resolved, values of the wrong type, secrets where they would
/// steer.
#[must_use]
pub fn validate_flow(flow: &Flow, stage: &StageContext<'_>) -> Problems {
    validate_flow_with(flow, stage, &Known::default())
}

/// The same, knowing more.
#[must_use]
pub fn validate_flow_with(flow: &Flow, stage: &StageContext<'_>, known: &Known) -> Problems {
    let mut problems = Problems::new();
    for placed in flow.nodes() {
        let node = placed.node;
        if let Some(kind) = known_kind(node, &mut problems) {
            envelope(kind, node, &mut problems);
            kind.shape().check(&node.spec, &node.spec_pointer(), &mut problems);
            let mut validation = Validation { at: node.spec_pointer(), known, problems: &mut problems };
            kind.validate(node, &mut validation);
            for used in kind.uses(node) {
                problems.extend(stage::check(&used, stage));
            }
        }
    }
    references::check(flow, known, &mut problems);
    problems.extend(flow.warnings.clone());
    problems.sort();
    problems
}

fn known_kind(node: &Node, problems: &mut Problems) -> Option<&'static dyn Kind> {
    let at = pointer::join(&node.pointer, "kind");
    let name = node.kind.as_str();
    let right = canonical(name);
    if right != name {
        let problem = Problem::warning(&at, format!("`{name}` is another name of `{right}`"));
        problems.push(problem.help(format!("write `kind: {right}`")));
    }
    let Some(known) = kinds::find(name) else {
        let problem = Problem::error(&at, format!("no node is of kind `{name}`"));
        problems.push(problem.suggest(name, KNOWN.iter().map(|kind| kind.name)));
        return None;
    };
    if !known.is_allowed_in(DocumentType::ReleaseFlow) {
        let help = if known.is_allowed_in(DocumentType::Template) {
            format!("declare the {name} beside the flow, with `shipway apply`")
        } else {
            format!("a release flow may hold {}", supported().join(", "))
        };
        problems.push(Problem::error(&at, format!("a release flow cannot hold `{name}` nodes")).help(help));
        return None;
    }
    let found = find(name);
    if found.is_none() {
        let problem = Problem::unsupported(&at, format!("`{name}` nodes are not supported yet"));
        problems.push(problem.help(format!("supported are {}", supported().join(", "))));
    }
    found
}

fn envelope(kind: &dyn Kind, node: &Node, problems: &mut Problems) {
    if let Some(condition) = &node.condition {
        let allowed = kind.conditions();
        if !allowed.contains(&condition.as_str()) {
            let at = pointer::join(&node.pointer, "condition");
            let problem =
                Problem::error(at, format!("`{}` nodes cannot wait for `{condition}`", kind.name()));
            problems.push(match allowed {
                [] => problem.help("take `condition` away: it is done when it has ended"),
                [one] => problem.help(format!("write `condition: {one}`")),
                some => {
                    problem.help(format!("it is one of {}", shipway_documents::list(some.iter().copied())))
                }
            });
        }
    }
    if !node.depends_on.is_empty() {
        let at = pointer::join(&node.pointer, "dependsOn");
        let problem = Problem::unsupported(at, "`dependsOn` is not supported yet");
        problems.push(problem.help("nest `sequential` and `parallel` workflows"));
    }
}
