//! Flow documents: what is published, and whether the rules of nodes and stages allow it.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;
use shipway_documents::{
    Code, Problem, Problems, Severity,
    flow::Flow,
    resources::{Declaration, PipelineDeclaration},
};

use shipway_nodes::validate::check_calls;

use crate::{
    domain::Pipeline,
    usable::{self, overridden},
    world::Project,
};

/// The document as it is published: tokens of webhooks are credentials and stay out of it.
pub(super) fn document(value: &Value) -> Value {
    let mut document = value.clone();
    each_token(&mut document, |_, _| {});
    document
}

/// The token that the document chooses for its webhook, if it does.
pub(super) fn token(value: &Value) -> Option<String> {
    let mut found = None;
    each_token(&mut value.clone(), |_, token| found = found.take().or(Some(token)));
    found
}

/// Takes every token out of a document.
fn each_token(document: &mut Value, mut taken: impl FnMut(&str, String)) {
    let mut take = |holder: Option<&mut Value>, pointer: &str| {
        if let Some(Value::String(token)) =
            holder.and_then(Value::as_object_mut).and_then(|f| f.remove("token"))
        {
            taken(pointer, token);
        }
    };
    take(document.get_mut("webhook"), "/webhook/token");
    for trigger in document.get_mut("triggers").and_then(Value::as_array_mut).into_iter().flatten() {
        if trigger.get("kind").and_then(Value::as_str) == Some("webhook") {
            take(trigger.get_mut("spec"), "/triggers");
        }
    }
}

/// What is wrong with the pipeline's flows now: with those that the document declares, and, if its stages were
/// changed, with the others.
pub(super) fn problems(
    project: &Project,
    declared: &Declaration,
    pipeline: &PipelineDeclaration,
    moved: bool,
) -> Vec<Problem> {
    let Some(known) = project.state.pipelines.get(&declared.slug) else { return Vec::new() };
    let mut problems: Vec<Problem> = Vec::new();
    for stage in &known.stages {
        let document = pipeline.stages.iter().find(|other| other.name == stage.name);
        if let Some(flow) = document.and_then(|document| document.flow.as_ref()) {
            let found = validate(project, known, &stage.name, &flow.flow);
            let warnings = &flow.flow.warnings;
            let new = found.into_iter().filter(|problem| !warnings.iter().any(|known| known == problem));
            problems.extend(Problems::from(new.collect::<Vec<_>>()).under(&flow.pointer));
        } else if moved {
            problems.extend(undeclared(project, known, &stage.name, &declared.pointer));
        }
    }
    problems
}

/// A flow that would wait for itself through a flow that it runs.
pub(super) struct Stuck {
    /// Its path, and the pipeline and the stage in it.
    path: String,
    place: (String, String),
    /// Pipelines and stages of the flows between.
    through: Vec<(String, String)>,
    problem: Problem,
}

/// What is wrong between the project's flows, as they are now, that run each other.
pub(super) fn stuck(project: &Project) -> Vec<Stuck> {
    let parsed: BTreeMap<String, (&crate::domain::Flow, Flow)> = project
        .state
        .flows
        .values()
        .filter_map(|flow| Some((flow.path(), (flow, Flow::parse(&flow.newest()?.document).ok()?))))
        .collect();
    let find = |id: &str| {
        let mut parts = id.rsplitn(3, '/');
        let (stage, named, of) = (parts.next()?, parts.next()?, parts.next());
        let path = format!("{named}/{stage}");
        let is_own = of.is_none_or(|of| of == project.slug);
        let found = parsed.get(&path).filter(|_| is_own);
        let found = found.or_else(|| parsed.values().find(|(flow, _)| flow.id.to_string() == id));
        found.map(|(flow, parsed)| (flow.path(), Cow::Borrowed(parsed)))
    };
    let place = |flow: &crate::domain::Flow| (flow.pipeline.clone(), flow.stage.clone());
    let mut all = Vec::new();
    for (path, (flow, document)) in &parsed {
        for stuck in check_calls(document, &find) {
            let through = stuck.through.iter().filter_map(|path| parsed.get(path));
            all.push(Stuck {
                path: path.clone(),
                place: place(flow),
                through: through.map(|(flow, _)| place(flow)).collect(),
                problem: stuck.problem,
            });
        }
    }
    all
}

/// What of it is wrong with the flows that the document declares, and with others that run one of those.
pub(super) fn calls(stuck: &[Stuck], declared: &Declaration, pipeline: &PipelineDeclaration) -> Vec<Problem> {
    let pointer = |(of, stage): &(String, String)| {
        let stage = pipeline.stages.iter().find(|known| known.name == *stage);
        let here = stage.filter(|_| *of == declared.slug);
        here.and_then(|stage| Some(stage.flow.as_ref()?.pointer.as_str()))
    };
    let mut problems: Vec<Problem> = Vec::new();
    for Stuck { path, place, through, problem } in stuck {
        match pointer(place) {
            Some(at) => problems.extend(Problems::from(vec![problem.clone()]).under(at)),
            None if through.iter().any(|place| pointer(place).is_some()) => {
                let Problem { pointer, message, help, .. } = problem;
                let message = format!("the flow {path} would be wrong at {pointer}: {message}");
                let problem = Problem::error(format!("{}/spec/stages", declared.pointer), message);
                problems.push(problem.code(Code::LockHeld).help(help.clone().unwrap_or_default()));
            }
            None => {}
        }
    }
    problems
}

/// What would be wrong with a flow that the document does not show.
fn undeclared(project: &Project, pipeline: &Pipeline, stage: &str, at: &str) -> Vec<Problem> {
    let flow =
        project.state.flows.values().find(|flow| flow.pipeline == pipeline.slug && flow.stage == stage);
    let Some((flow, newest)) = flow.and_then(|flow| Some((flow, flow.newest()?))) else { return Vec::new() };
    let Ok(parsed) = Flow::parse(&newest.document) else { return Vec::new() };
    validate(project, pipeline, stage, &parsed)
        .into_iter()
        .filter(|problem| problem.severity != Severity::Warning)
        .map(|problem| {
            let path = flow.path();
            let message =
                format!("the flow {path} would be wrong at {}: {}", problem.pointer, problem.message);
            Problem::error(format!("{at}/spec/stages"), message)
                .help(format!("give {path} a new `releaseFlow` too"))
        })
        .collect()
}

fn validate(project: &Project, pipeline: &Pipeline, stage: &str, flow: &Flow) -> Problems {
    let id = pipeline.stages.iter().find(|known| known.name == stage).map(|known| known.flow);
    let Some(id) = id else { return Problems::new() };
    usable::validate(project, pipeline, stage, flow, overridden(project, id))
}
