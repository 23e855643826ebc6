//! Checks a flow against its stage: all that can be known before anything runs.

mod arguments;
mod credentials;
mod fate;
mod graph;
mod index;
mod order;
mod reach;
mod references;
mod stage;
mod unused;

use std::{borrow::Cow, collections::BTreeMap};

use shipway_documents::{
    Code, Problem, Problems,
    flow::{Flow, Node},
    kinds::{self, DocumentType, KNOWN, KnownKind, Support, canonical},
    list, pointer,
};
use shipway_events::project::ResourceKind;

use crate::{Kind, Use, find, supported};
use index::Index;

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
            let problem = Problem::error(format!("{}{place}", self.at), message).code(Code::ResourceForeign);
            self.problems.push(problem.help("take it away"));
        }
    }
}

/// What a flow is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The type of the document.
    pub document: DocumentType,
    /// What it may name; none where nothing is known of the project, as on a command line without a server.
    pub stage: Option<&'a StageContext<'a>>,
    /// Whether there may be resources that it does not know.
    pub partial: bool,
    /// What else is known.
    pub known: &'a Known,
    /// Whether all of the document could be read: only then can it be said that nothing uses a name.
    pub whole: bool,
}

/// The most nodes of a run.
pub const MAX_NODES: usize = 10_000;

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
    let document = DocumentType::ReleaseFlow;
    check_flow(flow, &Context { document, stage: Some(stage), partial: false, known, whole: true })
}

/// All that is wrong with a flow of any type, sorted by place.
#[must_use]
pub fn check_flow(flow: &Flow, context: &Context<'_>) -> Problems {
    let mut problems = Problems::new();
    let index = Index::new(flow);
    if index.len() > MAX_NODES {
        let message = format!("the flow has {} nodes; a run has at most {MAX_NODES}", index.len());
        let problem = Problem::error("/spec", message).code(Code::FlowTooLarge);
        problems.push(problem.help("make several flows of it, started by `RunTemplate` nodes"));
    }
    for (_, item) in index.all() {
        let node = item.node;
        if let Some(kind) = known_kind(node, context.document, &mut problems) {
            envelope(kind, node, &mut problems);
            kind.shape().check(&node.spec, &node.spec_pointer(), &mut problems);
            let mut validation =
                Validation { at: node.spec_pointer(), known: context.known, problems: &mut problems };
            kind.validate(node, &mut validation);
            if let Some(stage) = context.stage {
                let uses = kind.uses(node);
                let known =
                    |used: &&Use| !context.partial || stage.resources.contains_key(used.slug.as_str());
                problems.extend(uses.iter().filter(known).filter_map(|used| stage::check(used, stage)));
            }
        }
    }
    graph::check(&index, &mut problems);
    fate::check(flow, &index, &mut problems);
    let used = references::check(flow, &index, context.known, &mut problems);
    if context.whole {
        unused::check(flow, &index, used, &mut problems);
    }
    arguments::check(flow, context.known, &mut problems);
    credentials::check(&flow.value, &mut problems);
    problems.extend(flow.warnings.clone());
    problems.sort();
    problems
}

/// The kind of a node, if this version knows what is in it.
fn known_kind(node: &Node, document: DocumentType, problems: &mut Problems) -> Option<&'static dyn Kind> {
    let at = pointer::join(&node.pointer, "kind");
    let name = node.kind.as_str();
    let right = canonical(name);
    if right != name {
        let problem = Problem::warning(&at, format!("`{name}` is another name of `{right}`"));
        problems.push(problem.code(Code::AliasUsed).help(format!("write `kind: {right}`")));
    }
    let Some(known) = kinds::find(name) else {
        let problem = Problem::error(&at, format!("no node is of kind `{name}`")).code(Code::KindUnknown);
        problems.push(problem.suggest(name, KNOWN.iter().map(|kind| kind.name)));
        return None;
    };
    if !known.is_allowed_in(document) {
        problems.push(misplaced(known, document, &at));
        return None;
    }
    let found = find(name);
    if found.is_none() || known.support_in(document) != Support::Runs {
        let problem = match known.support {
            Support::OutOfScope => Problem::unsupported(
                &at,
                format!("`{name}` nodes are the plumbing of a cloud, which Shipway does not do"),
            ),
            _ => Problem::unsupported(&at, format!("`{name}` nodes are not supported yet")),
        };
        problems.push(
            problem.code(Code::KindUnsupported).help(format!("supported are {}", supported().join(", "))),
        );
    }
    found
}

/// A kind that stands in a document of the wrong type.
fn misplaced(kind: &KnownKind, document: DocumentType, at: &str) -> Problem {
    let name = kind.name;
    let problem = Problem::error(at, format!("{} cannot hold `{name}` nodes", document.describe()));
    let places = DocumentType::ALL.iter().filter(|place| kind.is_allowed_in(**place));
    let places: Vec<_> = places.map(|place| place.describe()).collect();
    problem.code(Code::KindPlace).help(if kind.support_in(DocumentType::Template) == Support::Runs {
        format!("declare the {name} beside the flow, with `shipway apply`")
    } else {
        format!("it may stand in {}", places.join(", "))
    })
}

fn envelope(kind: &dyn Kind, node: &Node, problems: &mut Problems) {
    if let Some(condition) = &node.condition {
        let allowed = kind.conditions();
        if !allowed.contains(&condition.as_str()) {
            let at = pointer::join(&node.pointer, "condition");
            let problem =
                Problem::error(at, format!("`{}` nodes cannot wait for `{condition}`", kind.name()));
            let problem = problem.code(Code::ConditionInvalid);
            problems.push(match allowed {
                [] => problem.help("take `condition` away: it is done when it has ended"),
                [one] => problem.help(format!("write `condition: {one}`")),
                some => problem.help(format!("it is one of {}", list(some.iter().copied()))),
            });
        }
    }
}
