//! Whether every name in an expression stands for something that is known by then.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashSet},
};

use serde_json::Value;
use shipway_documents::{
    Code, Problem, Problems, Severity,
    expr::{self, Reference, Root},
    flow::{Flow, Node},
    list, nearest, pointer,
};
use shipway_events::project::ResourceKind;

use super::{
    Known, MOST_SUGGESTIONS, StageContext,
    explain::{doubtful, error, lacking, misplaced, pathless, unknown_output, warning},
    fate::loop_around,
    index::Index,
    nested,
    order::{Standing, standing},
    triggers::triggers,
    unused::Used,
};
use crate::{Outputs, find, kind::PathFit};

/// Checks every reference of the flow's nodes, and tells which names were used.
pub(super) fn check<'a>(
    flow: &'a Flow,
    index: &Index<'a>,
    known: &'a Known,
    stage: Option<&'a StageContext<'a>>,
    problems: &mut Problems,
) -> Used {
    let declared = flow.arguments.iter().map(|argument| (argument.name.as_str(), argument.secret));
    let mut arguments: BTreeMap<&str, bool> = declared.collect();
    for (name, secret) in &known.arguments {
        *arguments.entry(name).or_default() |= secret;
    }
    let mut checker = Checker {
        flow,
        index,
        stage,
        unread: OnceCell::new(),
        triggers: triggers(flow),
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
        for reference in expr::references(&node.spec, &spec_at) {
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
        if let Some(skip) = &node.skip {
            for reference in expr::references(skip, &pointer::join(&node.pointer, "skipNodeExecution")) {
                self.reference(at, &reference, true);
            }
        }
        if let Some(timeout) = &node.timeout {
            for reference in expr::references(timeout, &pointer::join(&node.pointer, "timeoutDuration")) {
                self.timeout(at, &reference);
            }
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
                Root::Refs => self
                    .index
                    .find(&reference.name)
                    .is_some_and(|at| self.index.get(at).node.kind == "SecretInheritance"),
                Root::Args | Root::Triggers => false,
            }
    }

    /// Secrets are groups of the project; what `fn.fetchSecret` asks for is known when it runs.
    fn secret(&mut self, reference: &Reference) {
        let name = reference.name.as_str();
        let Some(stage) = self.stage.filter(|_| !name.starts_with("fn.")) else { return };
        let groups =
            stage.resources.iter().filter(|(_, resource)| resource.kind == ResourceKind::SecretGroup);
        let known: Vec<&str> = groups.map(|(slug, _)| slug.as_ref()).collect();
        if !known.contains(&name) {
            let problem = error(Code::RefUnknown, reference, format!("no secret is called `{name}`"));
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
            if !self.is_unread(name) {
                let known: Vec<_> = self.triggers.keys().copied().collect();
                let problem =
                    error(Code::TriggerUnknown, reference, format!("no trigger is called `{name}`"));
                self.problems.push(problem.suggest(name, known));
            }
            return;
        };
        if values.fit(&reference.path) == PathFit::Unknown {
            let path = reference.path.join(".");
            let problem =
                error(Code::TriggerPath, reference, format!("the trigger `{name}` has no `{path}`"));
            self.problems.push(problem.suggest(&path, values.names()));
        }
    }

    fn output(&mut self, at: u32, reference: &Reference) {
        let name = reference.name.as_str();
        let Some(source) = self.index.find(name) else {
            if !self.is_unread(name) {
                let problem =
                    error(Code::RefUnknown, reference, format!("no node or trigger is called `{name}`"));
                let problem = self.suggest_name(problem, name);
                self.problems.push(problem);
            }
            return;
        };
        self.used.node(name);
        let node = self.index.get(source).node;
        if node.kind == "LoopWorkflow"
            && let [_, _, inner, ..] = reference.path.as_slice()
        {
            self.iteration(source, inner, reference);
        }
        match standing(self.index, source, at) {
            Standing::Before => self.path(source, node, reference),
            Standing::Perhaps(on, doubt) => {
                self.path(source, node, reference);
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

    /// A node of an iteration: `refs.<loop>.iterations.<n>.<inner>…`.
    fn iteration(&mut self, looped: u32, inner: &str, reference: &Reference) {
        let is_in = |at: u32| at != looped && self.index.outwards(at).any(|around| around == looped);
        if self.index.find(inner).is_some_and(is_in) {
            return self.used.node(inner);
        }
        let known: Vec<&str> = self
            .index
            .all()
            .filter(|(at, _)| is_in(*at))
            .map(|(_, item)| item.node.reference.as_str())
            .collect();
        let name = &reference.name;
        let problem =
            error(Code::RefPath, reference, format!("no node in the loop `{name}` is called `{inner}`"));
        nearest(inner, known.iter().copied()).inspect(|near| self.used.node(near));
        self.problems.push(problem.suggest(inner, known));
    }

    /// Adds what was probably meant, which then is used: that nothing uses it would be a second problem of one
    /// mistake. After so many unknown names another suggestion costs time and helps nobody.
    fn suggest_name(&mut self, problem: Problem, name: &str) -> Problem {
        if self.suggested == MOST_SUGGESTIONS {
            return problem;
        }
        self.suggested += 1;
        let known: Vec<_> = self.index.names().chain(self.triggers.keys().copied()).collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => {
                self.used.node(near);
                problem.help(format!("did you mean `{near}`?"))
            }
            None => problem.help(format!("there is {}", list(known))),
        }
    }

    fn path(&mut self, at: u32, source: &Node, reference: &Reference) {
        let Some(kind) = find(&source.kind) else { return };
        let name = reference.name.as_str();
        let outputs = kind.outputs(&source.spec);
        match outputs.fit(&reference.path) {
            PathFit::Always => {}
            PathFit::Finished if kind.awaited(&source.spec, source.condition.as_deref()) => {}
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
                self.problems.push(problem.span(reference.span.clone()).suggest(&path, outputs.names()));
            }
            PathFit::Open if source.kind == "LoopData" => {
                let problem = loop_around(self.index, at).and_then(|looped| lacking(looped, reference));
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
            for part in ["spec", "triggers"] {
                collect_names(self.flow.value.get(part), &mut names);
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
