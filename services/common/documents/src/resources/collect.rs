//! Finds the resource nodes of a document, in order.

use std::{collections::BTreeMap, rc::Rc};

use serde_json::{Map, Value};

use super::Names;
use crate::{
    Code, Fields, Problem, Problems, expr, flow,
    kinds::{self, DocumentType},
    pointer,
};

/// The kinds that can be declared.
const DECLARED: &[&str] = &[
    "Project",
    "BuildService",
    "DeploymentService",
    "CombinedService",
    "ManualJob",
    "CronJob",
    "Job",
    "Addon",
    "SecretGroup",
    "Pipeline",
];

/// A resource node, not yet resolved.
pub(super) struct Collected<'a> {
    pub(super) kind: &'static str,
    pub(super) value: &'a Value,
    pub(super) pointer: String,
    pub(super) reference: Option<String>,
    /// The project of the workflow around it, if given.
    pub(super) project: Option<String>,
    /// The arguments of the template around it.
    pub(super) args: Rc<Map<String, Value>>,
}

pub(super) fn collect<'a>(
    document: &'a Value,
    overrides: &Map<String, Value>,
    problems: &mut Problems,
) -> Vec<Collected<'a>> {
    let mut collector = Collector { overrides, problems, nodes: Vec::new() };
    match document {
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                collector.document(item, &pointer::item("", n));
            }
        }
        one => collector.document(one, ""),
    }
    if collector.nodes.is_empty() && collector.problems.is_empty() {
        collector.problems.push(nothing(document));
    }
    collector.nodes
}

/// A template may be there before what it will hold; else nothing was meant for `apply`.
fn nothing(document: &Value) -> Problem {
    let message = "the document declares nothing";
    if document.get("kind").is_some() || document.get("spec").is_none() {
        return Problem::error("", message).help(HELP);
    }
    let steps = "/spec/spec/steps";
    let is_empty = document.pointer(steps).and_then(Value::as_array).is_some_and(Vec::is_empty);
    let problem = Problem::warning(if is_empty { steps } else { "" }, message);
    problem.code(Code::WorkflowEmpty).help("list what it shall make, in the `steps` of its workflow")
}

const HELP: &str =
    "declare nodes `{kind: Project, spec: …}`, one or a list, or a template with a `spec` workflow";

struct Collector<'a, 'o> {
    overrides: &'o Map<String, Value>,
    problems: &'o mut Problems,
    nodes: Vec<Collected<'a>>,
}

impl<'a> Collector<'a, '_> {
    /// A node, or a team template.
    fn document(&mut self, value: &'a Value, at: &str) {
        if value.get("kind").is_some() {
            self.node(value, at, None, &Rc::default());
            return;
        }
        let mut fields = Fields::new(value, at, "a document", self.problems);
        let Some(spec) = fields.get("spec") else {
            if value.is_object() {
                fields.missing("kind", HELP);
            }
            return;
        };
        let mut args = Map::new();
        for (name, value) in fields.object("arguments").into_iter().flatten().chain(self.overrides) {
            args.insert(name.clone(), value.clone());
        }
        let arguments = fields.at("arguments");
        for (name, value) in &args {
            let found = flow::unresolved(value, &pointer::join(&arguments, name));
            found.into_iter().for_each(|problem| fields.note(problem));
        }
        self.node(spec, &pointer::join(at, "spec"), None, &Rc::new(args));
    }

    fn node(&mut self, value: &'a Value, at: &str, project: Option<&str>, args: &Rc<Map<String, Value>>) {
        let mut fields = Fields::new(value, at, "a node", self.problems);
        fields.known(&[
            "kind",
            "ref",
            "spec",
            "condition",
            "skipNodeExecution",
            "updateMode",
            "timeoutDuration",
        ]);
        let Some(kind) = fields.required_text("kind", HELP) else { return };
        let spec_at = fields.at("spec");
        let reference = fields.text("ref").map(str::to_owned);
        if kind == "Workflow" {
            let context = value.pointer("/spec/context/projectId").and_then(Value::as_str);
            let steps = value.pointer("/spec/steps").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for (n, step) in steps.iter().enumerate() {
                let at = pointer::item(&format!("{spec_at}/steps"), n);
                self.node(step, &at, context.or(project), args);
            }
            return;
        }
        let Some(kind) = DECLARED.iter().find(|known| **known == kind) else {
            let problem = not_declared(kind, &fields.at("kind"));
            fields.note(problem);
            return;
        };
        if fields.get("spec").is_none() {
            fields.missing("spec", "give the node its `spec`, at least `spec: {name: …}`");
            return;
        }
        let Some(skipped) = skipped(&mut fields, args) else { return };
        if !skipped {
            let (pointer, project) = (at.to_owned(), project.map(str::to_owned));
            self.nodes.push(Collected { kind, value, pointer, reference, project, args: Rc::clone(args) });
        }
    }
}

fn skipped(fields: &mut Fields<'_, '_>, args: &Map<String, Value>) -> Option<bool> {
    let Some(skip) = fields.get("skipNodeExecution") else { return Some(false) };
    let scope = Names { args, outputs: &BTreeMap::new(), made: None };
    match expr::resolve(skip, &scope, &fields.at("skipNodeExecution")) {
        Ok(value) => Some(flow::is_skipped(&value)),
        Err(problems) => {
            problems.into_iter().for_each(|problem| fields.note(problem));
            None
        }
    }
}

fn not_declared(kind: &str, at: &str) -> Problem {
    let supported = || DECLARED.iter().copied();
    match kinds::find(kind) {
        Some(known) if known.is_allowed_in(DocumentType::Template) => {
            let problem = Problem::unsupported(at, format!("declaring a `{kind}` is not supported yet"));
            problem.help(format!("supported are {}", supported().collect::<Vec<_>>().join(", ")))
        }
        Some(_) => Problem::error(at, format!("a `{kind}` node cannot be declared by itself"))
            .help("it belongs into the `releaseFlow` of a stage of a `Pipeline`"),
        None if kind == "ReleaseFlow" => Problem::error(at, "a release flow cannot be declared by itself")
            .help("it is the `releaseFlow` of a stage of a `Pipeline`"),
        None => Problem::error(at, format!("no node is of kind `{kind}`"))
            .suggest(kind, supported().collect::<Vec<_>>()),
    }
}
