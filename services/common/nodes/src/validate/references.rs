//! Whether every name in an expression stands for something that is known by then.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashSet},
};

use serde_json::Value;
use shipway_documents::{
    Code, DocumentType, Problem, Problems, Severity,
    expr::{self, Reference, Root},
    flow::{Flow, Node},
    list, nearest, pointer,
};
use shipway_events::project::ResourceKind;

use super::{
    Known, MOST_SUGGESTIONS, StageContext,
    explain::{doubtful, error, lacking, misplaced, no_iteration, pathless, unknown_output, warning},
    fate::loop_around,
    index::Index,
    nested,
    order::{Standing, standing},
    triggers::triggers,
    unused::Used,
};
use crate::{Outputs, find, kind::PathFit, kinds::literal};

/// Checks every reference of the flow's nodes, and tells which names were used. Of a teardown, `outer` is the document
/// whose work it takes away again: its last run that went well gives the values of its names.
pub(super) fn check<'a>(
    flow: &'a Flow,
    index: &Index<'a>,
    outer: Option<(&'a Flow, &Index<'a>)>,
    known: &'a Known,
    stage: Option<&'a StageContext<'a>>,
    problems: &mut Problems,
) -> Used {
    let outer_flow = outer.map(|(flow, _)| flow);
    let all = flow.arguments.iter().chain(outer_flow.iter().flat_map(|flow| &flow.arguments));
    let mut arguments: BTreeMap<&str, bool> =
        all.map(|argument| (argument.name.as_str(), argument.secret)).collect();
    for (name, secret) in &known.arguments {
        *arguments.entry(name).or_default() |= secret;
    }
    let mut triggers = triggers(flow);
    triggers.extend(outer_flow.map(super::triggers::triggers).unwrap_or_default());
    let mut checker = Checker {
        flow,
        index,
        outer,
        is_alone: flow.document_type == DocumentType::Teardown && outer.is_none(),
        stage,
        unread: OnceCell::new(),
        triggers,
        arguments,
        meant: BTreeMap::new(),
        used: Used::default(),
        suggested: 0,
        problems,
    };
    for (at, item) in index.all() {
        checker.node(at, item.node);
    }
    checker.used
}

struct Checker<'a, 'p> {
    flow: &'a Flow,
    index: &'p Index<'a>,
    /// The document around a teardown.
    outer: Option<(&'a Flow, &'p Index<'a>)>,
    /// A teardown without the document around it: names may be of that.
    is_alone: bool,
    /// The project, where all of it is known.
    stage: Option<&'a StageContext<'a>>,
    /// Names in the document whose node or trigger could not be read: that is said at those.
    unread: OnceCell<HashSet<&'a str>>,
    triggers: BTreeMap<&'a str, Outputs>,
    /// Whether each is secret.
    arguments: BTreeMap<&'a str, bool>,
    /// The argument that was probably meant by a name that is none.
    meant: BTreeMap<String, Option<&'a str>>,
    used: Used,
    /// How many unknown names were given a suggestion.
    suggested: usize,
    problems: &'p mut Problems,
}

impl<'a> Checker<'a, '_> {
    fn node(&mut self, at: u32, node: &'a Node) {
        let payload = find(&node.kind).map(|kind| kind.payload()).unwrap_or_default();
        let spec_at = node.spec_pointer();
        let inner = nested(node);
        for reference in expr::all_references(&node.spec, &spec_at) {
            // In a document that stands in this node only `${template.…}` means a name of this one.
            let is_inner = inner.iter().any(|place| pointer::is_within(&reference.pointer, place));
            if is_inner != reference.template {
                continue;
            }
            let is_payload =
                |place: &&str| pointer::is_within(&reference.pointer, &format!("{spec_at}{place}"));
            let steers = !payload.iter().any(is_payload);
            let place = reference.pointer.strip_prefix(&spec_at).unwrap_or_default();
            if self.is_path_of_file(&reference)
                && !find(&node.kind).is_some_and(|kind| kind.takes_file(place))
            {
                self.problems.push(pathless(&reference));
                continue;
            }
            self.reference(at, &reference, steers);
        }
        if node.kind == "OpenTofuDestroy" {
            self.node_ref(node);
        }
        if let Some(skip) = &node.skip {
            for reference in expr::all_references(skip, &pointer::join(&node.pointer, "skipNodeExecution")) {
                self.reference(at, &reference, true);
            }
        }
        if let Some(timeout) = &node.timeout {
            for reference in expr::all_references(timeout, &pointer::join(&node.pointer, "timeoutDuration")) {
                self.timeout(at, &reference);
            }
        }
    }

    /// The node of the document around whose work is taken away again.
    fn node_ref(&mut self, node: &Node) {
        let Some(name) = literal(&node.spec, "/nodeRef") else { return };
        self.used.node(name);
        if self.named(name).is_none() && !self.is_unread(name) && !self.is_alone {
            let at = pointer::join(&node.spec_pointer(), "nodeRef");
            let problem = Problem::error(at, format!("no node is called `{name}`")).code(Code::RefUnknown);
            let problem = self.suggest_name(problem, name);
            self.problems.push(problem);
        }
    }

    fn reference(&mut self, at: u32, reference: &Reference, steers: bool) {
        match reference.root {
            Root::Args => self.argument(reference, steers),
            Root::Triggers => self.trigger(reference),
            Root::Refs if self.triggers.contains_key(reference.name.as_str()) => self.trigger(reference),
            Root::Refs => self.output(at, reference),
            Root::Secrets if steers => self.problems.push(
                error(
                    Code::SecretSteers,
                    reference,
                    format!("`{}` is a secret and cannot decide what happens", reference.name),
                )
                .help(
                    "secrets may be in variables, build arguments, messages and addresses of messages only",
                ),
            ),
            Root::Secrets => self.secret(reference),
        }
    }

    /// Whether it is the path of a secret file.
    fn is_path_of_file(&self, reference: &Reference) -> bool {
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        matches!(path.as_slice(), ["files", _, "path"])
            && match reference.root {
                Root::Secrets => true,
                Root::Refs => {
                    self.named(&reference.name).is_some_and(|node| node.kind == "SecretInheritance")
                }
                Root::Args | Root::Triggers => false,
            }
    }

    /// The node of that name, here or in the document around.
    fn named(&self, name: &str) -> Option<&'a Node> {
        let mut all = std::iter::once(self.index).chain(self.outer.map(|(_, index)| index));
        all.find_map(|index| Some(index.get(index.find(name)?).node))
    }

    /// Secrets are groups of the project; what `fn.fetchSecret` asks for is known when it runs.
    fn secret(&mut self, reference: &Reference) {
        let name = reference.name.as_str();
        if name.starts_with("fn.") {
            return;
        }
        if let Some(part) = reference.path.first().filter(|part| !matches!(part.as_str(), "values" | "files"))
        {
            let message = format!("a secret has `values` and `files`, and no `{part}`");
            let problem = error(Code::RefPath, reference, message);
            self.problems.push(problem.suggest(part, ["values", "files"]));
        }
        let Some(stage) = self.stage else { return };
        let groups =
            stage.resources.iter().filter(|(_, resource)| resource.kind == ResourceKind::SecretGroup);
        let known: Vec<&str> = groups.map(|(slug, _)| slug.as_ref()).collect();
        if !known.contains(&name) {
            let problem = error(Code::RefUnknown, reference, format!("no secret is called `{name}`"));
            let problem = problem.help("declare it beside the flow: `kind: SecretGroup`");
            self.problems.push(problem.suggest(name, known));
        }
    }

    /// A time limit is a number when the run starts: no node has run then.
    fn timeout(&mut self, at: u32, reference: &Reference) {
        let is_node = reference.root == Root::Refs && self.index.find(&reference.name).is_some();
        if !is_node || self.triggers.contains_key(reference.name.as_str()) {
            return self.reference(at, reference, true);
        }
        self.used.node(&reference.name);
        self.problems.push(
            error(
                Code::RefLater,
                reference,
                format!(
                    "`timeoutDuration` is fixed when the run starts, before `{}` has run",
                    reference.name
                ),
            )
            .help("give a number of seconds, an argument or a trigger's value"),
        );
    }

    fn argument(&mut self, reference: &Reference, steers: bool) {
        let name = reference.name.as_str();
        self.used.argument(name);
        match self.arguments.get(name) {
            Some(true) if steers => self.problems.push(
                error(
                    Code::SecretSteers,
                    reference,
                    format!("the argument `{name}` is secret and cannot decide what happens"),
                )
                .help(
                    "secrets may be in variables, build arguments, messages and addresses of messages only",
                ),
            ),
            Some(_) => {}
            None if self.is_alone => {}
            None => {
                let near = match self.meant.get(name) {
                    Some(near) => *near,
                    None if self.meant.len() == MOST_SUGGESTIONS => None,
                    None => {
                        let near = nearest(name, self.arguments.keys().copied());
                        self.meant.insert(name.to_owned(), near);
                        near
                    }
                };
                near.inspect(|near| self.used.argument(near));
                let problem = unknown_argument(reference, near);
                self.problems.push(problem);
            }
        }
    }

    fn trigger(&mut self, reference: &Reference) {
        let name = reference.name.as_str();
        let Some(values) = self.triggers.get(name) else {
            if !self.is_unread(name) && !self.is_alone {
                let known: Vec<_> = self.triggers.keys().copied().collect();
                let problem =
                    error(Code::TriggerUnknown, reference, format!("no trigger is called `{name}`"));
                let problem = problem.help(format!("add one to `triggers`: `{{ref: {name}, …}}`"));
                self.problems.push(problem.suggest(name, known));
            }
            return;
        };
        if values.fit(&reference.path) == PathFit::Unknown {
            let path = reference.path.join(".");
            let problem =
                error(Code::TriggerPath, reference, format!("the trigger `{name}` has no `{path}`"));
            self.problems.push(problem.help("it has no values").suggest(&path, values.names()));
        }
    }

    fn output(&mut self, at: u32, reference: &Reference) {
        let name = reference.name.as_str();
        let Some(source) = self.index.find(name) else { return self.outer_output(reference) };
        self.used.node(name);
        let node = self.index.get(source).node;
        if node.kind == "LoopWorkflow" {
            self.iteration(self.index, source, reference);
        }
        match standing(self.index, source, at) {
            Standing::Before => self.path(self.index, source, reference),
            Standing::Perhaps(on, doubt) => {
                self.path(self.index, source, reference);
                if !reference.optional {
                    let problem = doubtful(self.index, reference, on, doubt);
                    self.problems.push(problem);
                }
            }
            Standing::Never(..) if reference.optional => {}
            other => {
                let problem = misplaced(self.index, reference, node, other);
                self.problems.push(problem);
            }
        }
    }

    /// An output of the document around a teardown. All of its nodes have run by then.
    fn outer_output(&mut self, reference: &Reference) {
        let name = reference.name.as_str();
        let found = self.outer.and_then(|(_, index)| Some((index, index.find(name)?)));
        let Some((index, source)) = found else {
            if !self.is_unread(name) && !self.is_alone {
                let problem =
                    error(Code::RefUnknown, reference, format!("no node or trigger is called `{name}`"));
                let problem = self.suggest_name(problem, name);
                self.problems.push(problem);
            }
            return;
        };
        self.used.node(name);
        let node = index.get(source).node;
        if node.kind == "LoopWorkflow" {
            self.iteration(index, source, reference);
        }
        let is_loop = |at: &u32| *at != source && index.get(*at).node.kind == "LoopWorkflow";
        match index.outwards(source).find(is_loop) {
            // What else there is to see stands outside of the teardown.
            Some(looped) => self.problems.push(Problem {
                related: Vec::new(),
                ..misplaced(index, reference, node, Standing::InLoop(looped))
            }),
            None => self.path(index, source, reference),
        }
    }

    /// An iteration of a loop, and a node of it: `refs.<loop>.iterations.<n>.<inner>…`.
    fn iteration(&mut self, index: &Index<'a>, looped: u32, reference: &Reference) {
        let [_, n, rest @ ..] = reference.path.as_slice() else { return };
        self.problems.extend(no_iteration(index.get(looped).node, n, reference));
        let [inner, rest @ ..] = rest else { return };
        let is_in = |at: u32| at != looped && index.outwards(at).any(|around| around == looped);
        let Some(found) = index.find(inner).filter(|at| is_in(*at)) else {
            let known = index.all().filter(|(at, _)| is_in(*at));
            let known: Vec<&str> = known.map(|(_, item)| item.node.reference.as_str()).collect();
            let name = &reference.name;
            let message = format!("no node in the loop `{name}` is called `{inner}`");
            nearest(inner, known.iter().copied()).inspect(|near| self.used.node(near));
            let problem = error(Code::RefPath, reference, message).help("it has no steps");
            self.problems.push(problem.suggest(inner, known));
            return;
        };
        self.used.node(inner);
        let node = index.get(found).node;
        let is_loop = |at: &u32| index.get(*at).node.kind == "LoopWorkflow";
        // A loop in between has iterations of its own, and what an iteration is about is its own, too.
        if index.outwards(found).skip(1).find(is_loop) != Some(looped) || node.kind == "LoopData" {
            return;
        }
        let inner = Reference { name: inner.clone(), path: rest.to_vec(), ..reference.clone() };
        if node.kind == "LoopWorkflow" {
            self.iteration(index, found, &inner);
        }
        self.path(index, found, &inner);
    }

    /// Adds what was probably meant, which then is used: that nothing uses it would be a second problem of one
    /// mistake. After so many unknown names another suggestion costs time and helps nobody.
    fn suggest_name(&mut self, problem: Problem, name: &str) -> Problem {
        if self.suggested == MOST_SUGGESTIONS {
            return problem.help("name a node that runs before this one");
        }
        self.suggested += 1;
        let outer = self.outer.into_iter().flat_map(|(_, index)| index.names());
        let known: Vec<_> = self.index.names().chain(outer).chain(self.triggers.keys().copied()).collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => {
                self.used.node(near);
                problem.help(format!("did you mean `{near}`?"))
            }
            None => problem.help(format!("there is {}", list(known))),
        }
    }

    fn path(&mut self, index: &Index<'a>, at: u32, reference: &Reference) {
        let source = index.get(at).node;
        let Some(kind) = find(&source.kind) else { return };
        let name = reference.name.as_str();
        let outputs = kind.outputs(&source.spec);
        match outputs.fit(&reference.path) {
            PathFit::Always => {}
            PathFit::Finished if kind.awaited(&source.spec, source.condition.as_deref()) => {}
            PathFit::Finished if !std::ptr::eq(index, self.index) => {}
            PathFit::Finished => {
                let path = reference.path.join(".");
                let word = kind.conditions().first().copied().unwrap_or("success");
                self.problems.push(
                    error(
                        Code::RefUnfinished,
                        reference,
                        format!("`{path}` of `{name}` is only known when it has ended"),
                    )
                    .related(source.pointer.clone(), format!("nothing waits for the end of `{name}`"))
                    .help(format!("give `{name}` a `condition: {word}`")),
                );
            }
            PathFit::Later => {
                let path = reference.path.join(".");
                let message = format!("the output `{path}` of `{name}` is not given yet");
                let problem = Problem::unsupported(reference.pointer.clone(), message);
                let problem = problem.span(reference.span.clone()).help("do without it");
                self.problems.push(problem.suggest(&path, outputs.names()));
            }
            PathFit::Open if source.kind == "LoopData" => {
                let problem = loop_around(index, at).and_then(|looped| lacking(looped, reference));
                self.problems.extend(problem);
            }
            PathFit::Open => {
                let mut problem = unknown_output(reference, source, &outputs);
                problem.severity = Severity::Warning;
                self.problems.push(problem);
            }
            PathFit::Unknown => self.problems.push(unknown_output(reference, source, &outputs)),
        }
    }

    /// Whether something of that name stands in the document and could not be read.
    fn is_unread(&self, name: &str) -> bool {
        let unread = self.unread.get_or_init(|| {
            let mut names = HashSet::new();
            for flow in std::iter::once(self.flow).chain(self.outer.map(|(flow, _)| flow)) {
                for part in ["spec", "triggers"] {
                    collect_names(flow.value.get(part), &mut names);
                }
            }
            names
        });
        unread.contains(name)
    }
}

fn collect_names<'a>(value: Option<&'a Value>, names: &mut HashSet<&'a str>) {
    match value {
        Some(Value::Array(items)) => items.iter().for_each(|item| collect_names(Some(item), names)),
        Some(Value::Object(members)) => {
            names.extend(members.get("ref").and_then(Value::as_str));
            members.values().for_each(|member| collect_names(Some(member), names));
        }
        _ => {}
    }
}

/// Overrides and runs may give arguments that the document does not declare: an error only for what looks like a typing
/// error.
fn unknown_argument(reference: &Reference, near: Option<&str>) -> Problem {
    let name = reference.name.as_str();
    match near.filter(|_| name.len() > 3) {
        Some(near) if !reference.optional => {
            error(Code::ArgUnknown, reference, format!("no argument is called `{name}`"))
                .help(format!("did you mean `{near}`?"))
        }
        _ => {
            let else_ = if reference.optional { "counts as false" } else { "keeps the run from starting" };
            warning(
                Code::ArgUnknown,
                reference,
                format!("the argument `{name}` is not declared; without a value it {else_}"),
            )
            .help(format!("declare it: `arguments: {{{name}: …}}`"))
        }
    }
}
