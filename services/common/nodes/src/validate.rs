//! Checks a flow against its stage: all that can be known before anything runs.

mod references;
mod stage;

use std::collections::{BTreeMap, BTreeSet};

use shipway_documents::{
    Problem, Problems,
    flow::{Flow, Node},
    kinds::{self, DocumentType, KNOWN, canonical},
    pointer,
};
use shipway_events::project::ResourceKind;

use crate::{Kind, find, supported};

/// What a flow may use.
#[derive(Clone, Debug, Default)]
pub struct StageContext {
    /// The stage's name.
    pub stage: String,
    /// The project's id in documents; nodes may name it and no other. Not checked when none.
    pub project: Option<String>,
    /// The stage's members, by their id in documents.
    pub members: BTreeMap<String, ResourceKind>,
    /// The stage before, if there is one.
    pub previous: Option<PreviousStage>,
    /// Build and combined services of the project.
    pub build_services: BTreeSet<String>,
    /// Other resources that are known, and why the flow may not use them: `it is a member of stage Staging`.
    pub others: BTreeMap<String, String>,
    /// Arguments that only overrides give.
    pub arguments: BTreeSet<String>,
    /// Arguments whose override is secret.
    pub secret_arguments: BTreeSet<String>,
}

/// The stage that a flow promotes from.
#[derive(Clone, Debug, Default)]
pub struct PreviousStage {
    /// Its name.
    pub stage: String,
    /// Its members, by their id in documents.
    pub members: BTreeMap<String, ResourceKind>,
}

/// Where a kind notes what is wrong with a node.
#[derive(Debug)]
pub struct Validation<'a> {
    at: String,
    stage: &'a StageContext,
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
        if let (Some(named), Some(own)) = (project, self.stage.project.as_deref())
            && named != own
        {
            let message = format!("`{named}` is another project; a flow works in its own, `{own}`");
            self.error(place, &message, "take it away");
        }
    }
}

/// All that is wrong with a flow in its stage, sorted by place: unknown kinds and resources, members of other stages,
/// references that cannot be resolved, values of the wrong type, secrets where they would steer.
#[must_use]
pub fn validate_flow(flow: &Flow, stage: &StageContext) -> Problems {
    let mut problems = Problems::new();
    for placed in flow.nodes() {
        let node = placed.node;
        if let Some(kind) = known_kind(node, &mut problems) {
            envelope(kind, node, &mut problems);
            kind.shape().check(&node.spec, &node.spec_pointer(), &mut problems);
            let mut validation = Validation { at: node.spec_pointer(), stage, problems: &mut problems };
            kind.validate(node, &mut validation);
            for used in kind.uses(node) {
                problems.extend(stage::check(&used, stage));
            }
        }
    }
    references::check(flow, stage, &mut problems);
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
    if !known.is_allowed_in(DocumentType::Flow) {
        let help = if known.is_allowed_in(DocumentType::Template) {
            format!("declare the `{name}` beside the flow, with `shipway apply`")
        } else {
            format!("a release flow may hold {}", supported().join(", "))
        };
        problems.push(Problem::error(&at, format!("a release flow cannot hold a `{name}`")).help(help));
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
            let problem = Problem::error(at, format!("a `{}` cannot wait for `{condition}`", kind.name()));
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
