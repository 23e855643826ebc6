//! Checks a flow against its stage: all that can be known before anything runs.

mod arguments;
mod calls;
mod credentials;
mod explain;
mod fate;
mod graph;
mod index;
mod order;
mod reach;
mod references;
mod stage;
mod triggers;
mod types;
mod unused;

use std::{borrow::Cow, collections::BTreeMap};

use shipway_documents::{
    Code, Problem, Problems,
    flow::{Flow, Node},
    pointer,
};
use shipway_events::project::ResourceKind;

use crate::{Use, allowed, find};
pub use calls::{FindFlow, Stuck, check_calls};
use index::Index;
pub use triggers::trigger_values;
use unused::Used;

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

    /// Notes something that works and should be written otherwise.
    pub fn warning(&mut self, place: &str, message: &str, help: &str) {
        self.problems.push(Problem::warning(format!("{}{place}", self.at), message).help(help));
    }

    /// Notes a member that looks as if it meant something here, and what does.
    pub fn no_effect(&mut self, name: &str, help: &str) {
        let at = pointer::join(&self.at, name);
        let problem = Problem::warning(at, format!("`{name}` is not known here and has no effect"));
        self.problems.push(problem.code(Code::FieldUnknown).at_key().help(help));
    }

    /// Notes another name of a member.
    pub fn alias(&mut self, name: &str, right: &str) {
        let at = pointer::join(&self.at, name);
        let problem = Problem::warning(at, format!("`{name}` is another name of `{right}`"));
        self.problems.push(problem.code(Code::AliasUsed).at_key().help(format!("write `{right}`")));
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
    /// What it may name; none where nothing is known of the project, as on a command line without a server.
    pub stage: Option<&'a StageContext<'a>>,
    /// Whether there may be resources that it does not know.
    pub partial: bool,
    /// What else is known.
    pub known: &'a Known,
    /// Whether all of the document could be read: only then can it be said that nothing uses a name.
    pub whole: bool,
    /// Whether kinds and shapes were checked already, by [`crate::document::examine`].
    pub examined: bool,
    /// Whether it is a part of something larger: what its names stand for is asked there.
    pub is_part: bool,
}

/// As many unknown names of a document are compared with all that there are: after those, another suggestion costs time
/// and helps nobody.
const MOST_SUGGESTIONS: usize = 50;

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
    let stage = Some(stage);
    let context = Context { stage, partial: false, known, whole: false, examined: false, is_part: false };
    check_flow(flow, &context)
}

/// All that is wrong with a document of any type, its teardown included, sorted by place.
#[must_use]
pub fn check_flow(flow: &Flow, context: &Context<'_>) -> Problems {
    let mut problems = Problems::new();
    let index = Index::new(flow);
    let mut used = check_nodes(flow, &index, None, context, &mut problems);
    let is_whole = context.whole && !context.is_part;
    if let Some(teardown) = &flow.teardown {
        let mut found = Problems::new();
        let inner = Index::new(&teardown.flow);
        let named = check_nodes(&teardown.flow, &inner, Some((flow, &index)), context, &mut found);
        used.extend(&named);
        if is_whole {
            unused::check(&teardown.flow, &inner, named, &mut found);
        }
        problems.extend(found.under(&teardown.pointer));
    }
    if is_whole {
        unused::check(flow, &index, used, &mut problems);
    }
    arguments::check(flow, context.known, &mut problems);
    credentials::check(flow.document_type, &flow.value, &mut problems);
    problems.extend(flow.warnings.clone());
    problems.sort();
    problems
}

/// Notes what is wrong with the nodes of a document, and tells which names they use; `outer` is the document around a
/// teardown.
fn check_nodes<'a>(
    flow: &'a Flow,
    index: &Index<'a>,
    outer: Option<(&'a Flow, &Index<'a>)>,
    context: &Context<'a>,
    problems: &mut Problems,
) -> Used {
    if index.len() > MAX_NODES {
        let message = format!("the flow has {} nodes; a run has at most {MAX_NODES}", index.len());
        let problem = Problem::error("/spec", message).code(Code::FlowTooLarge);
        problems.push(problem.help("make several flows of it, started by `RunTemplate` nodes"));
    }
    for (_, item) in index.all() {
        let node = item.node;
        let kind = if context.examined {
            find(&node.kind)
        } else {
            let kind = allowed::kind(node, flow.document_type, problems);
            if let Some(kind) = kind {
                allowed::condition(kind, node, problems);
                allowed::once(node, flow.document_type, problems);
                kind.shape().check(&node.spec, &node.spec_pointer(), problems);
            }
            kind
        };
        let Some(kind) = kind else { continue };
        let at = node.spec_pointer();
        kind.validate(node, &mut Validation { at, known: context.known, problems: &mut *problems });
        if let Some(stage) = context.stage {
            let uses = kind.uses(node);
            let known = |used: &&Use| !context.partial || stage.resources.contains_key(used.slug.as_str());
            problems.extend(uses.iter().filter(known).filter_map(|used| stage::check(used, stage)));
        }
    }
    graph::check(index, problems);
    fate::check(flow, index, problems);
    let whole = context.stage.filter(|_| !context.partial);
    let used = if context.is_part {
        Used::default()
    } else {
        references::check(flow, index, outer, context.known, whole, problems)
    };
    types::check(flow, index, outer, problems);
    used
}

/// Where documents stand in a node: their expressions are theirs.
fn nested(node: &Node) -> Vec<String> {
    let Some(kind) = find(&node.kind) else { return Vec::new() };
    let at = node.spec_pointer();
    kind.documents(&node.spec).into_iter().map(|(place, _)| format!("{at}{place}")).collect()
}
