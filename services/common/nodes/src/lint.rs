//! Checks a text: everything that can be known of a document before it is published or run, all at once.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use serde_json::{Map, Value, json};
use shipway_documents::{
    Code, Document, DocumentType, Problem, Problems, Related, Report, Severity, Support,
    flow::recognise,
    names, parse, pointer,
    resources::{
        Addresses, Declaration, Declared, DeclaredFlow, Member, PipelineDeclaration, check_declarations,
    },
};
use shipway_events::project::ResourceKind;

use crate::{
    StageContext,
    document::{Examined, examine},
    validate::{Context, Known, Resource, check_calls, check_flow},
};

/// What is known beside the text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Knowledge<'a> {
    /// The type of the document, where somebody says it; else the document shows it.
    pub document: Option<DocumentType>,
    /// What the flow may name; none where nothing is known of the project.
    pub stage: Option<&'a StageContext<'a>>,
    /// What else is known.
    pub known: Option<&'a Known>,
}

/// All that is wrong with a text, located and sorted. `name` is what people call it by; its extension tells JSON
/// from YAML.
#[must_use]
pub fn lint(name: &str, text: &str, knowledge: Knowledge<'_>) -> Report {
    match parse(name, text) {
        Ok(document) => {
            let problems = lint_document(&document, knowledge);
            document.report(problems)
        }
        Err(report) => report,
    }
}

/// All that is wrong with a document, located and sorted.
#[must_use]
pub fn lint_document(document: &Document, knowledge: Knowledge<'_>) -> Problems {
    let value = &document.value;
    let mut problems = match knowledge.document.or_else(|| recognise(value)) {
        Some(kind) => of_type(document, kind, knowledge),
        // Nodes by themselves: what `shipway apply` takes as well.
        None if value.is_array() || value.get("kind").is_some() => declarations(document),
        None => unrecognised().into(),
    };
    document.locate(&mut problems);
    problems
}

/// What a document declares, as far as it can be read, and what is wrong with it whatever the project has. What this
/// version does not run is among it. The release flows in it are checked with what is known of their stages: by
/// [`lint_document`], and by whoever publishes them.
#[must_use]
pub fn lint_declarations(
    document: &Document,
    overrides: &Map<String, Value>,
    addresses: Addresses<'_>,
) -> (Vec<Declaration>, Problems) {
    let (declared, mut problems) = check_declarations(document, overrides, addresses);
    let arguments = overrides.keys().map(|name| (name.clone(), false)).collect();
    let known = Known { project: None, arguments };
    let found = match &document.value {
        Value::Array(items) => {
            let mut found = Problems::new();
            for (n, item) in items.iter().enumerate() {
                found.extend(entry(item, &pointer::item("", n), &known));
            }
            found
        }
        one => entry(one, "", &known),
    };
    join(&mut problems, found);
    document.locate(&mut problems);
    (declared, problems)
}

/// What is wrong with one of the things that a document declares: a template, or a node.
fn entry(value: &Value, at: &str, known: &Known) -> Problems {
    let is_part = !at.is_empty() || value.get("kind").is_some();
    let context = Context { stage: None, partial: false, known, whole: false, examined: true, is_part };
    let own = |value: &Value| check(DocumentType::Template, value, &context).0.problems;
    match value.get("kind").and_then(Value::as_str) {
        None if value.get("kind").is_none() => match value.get("spec") {
            Some(_) => own(value).under(at),
            None => Problems::new(),
        },
        Some("Workflow") => moved(own(&json!({ "name": "nodes", "spec": value })), "/spec", at),
        _ => {
            let spec = json!({ "type": "sequential", "steps": [value] });
            let around = json!({ "name": "nodes", "spec": { "kind": "Workflow", "spec": spec } });
            moved(own(&around), "/spec/spec/steps/0", at)
        }
    }
}

/// The same problems where what stood at `from` stands at `to`.
fn moved(problems: Problems, from: &str, to: &str) -> Problems {
    let place = |pointer: &str| format!("{to}{}", pointer.strip_prefix(from).unwrap_or_default());
    let each = problems.into_iter().map(|problem| Problem {
        pointer: place(&problem.pointer),
        related: problem
            .related
            .into_iter()
            .map(|other| Related { pointer: place(&other.pointer), ..other })
            .collect(),
        ..problem
    });
    each.collect::<Vec<_>>().into()
}

/// Adds what is not said yet: two ways of reading one place find the same mistake, each in its words.
fn join(said: &mut Problems, found: Problems) {
    let mut places: HashMap<&str, Vec<&Problem>> = HashMap::new();
    for problem in &*said {
        places.entry(&problem.pointer).or_default().push(problem);
    }
    let is_same = |old: &Problem, new: &Problem| {
        // One place can lack many members.
        let missing = old.code == Code::FieldMissing && new.code == Code::FieldMissing;
        old.severity <= new.severity && (!missing || old.message == new.message)
    };
    let is_new = |new: &Problem| {
        !places.get(new.pointer.as_str()).is_some_and(|olds| olds.iter().any(|old| is_same(old, new)))
    };
    let new: Vec<Problem> = found.into_iter().filter(is_new).collect();
    said.extend(new);
}

/// The document read as that type, with what is wrong with it, and whether all of it could be read. What is between
/// the documents in its nodes is not looked at.
fn check(kind: DocumentType, value: &Value, context: &Context<'_>) -> (Examined, bool) {
    let mut examined = examine(kind, value);
    let is_whole = !examined.problems.iter().any(|problem| problem.severity == Severity::Error);
    if let Some(flow) = &examined.flow {
        let context = Context { whole: context.whole && is_whole, ..*context };
        examined.problems.extend(check_flow(flow, &context));
    }
    (examined, is_whole)
}

fn unrecognised() -> Problem {
    let words: Vec<_> = DocumentType::ALL.iter().map(|kind| kind.as_str()).collect();
    Problem::error("", "this is no document that Shipway knows: it has neither a `kind` nor a `spec`")
        .code(Code::DocumentType)
        .help(format!("say what it is with `--as`, one of {}", shipway_documents::list(words)))
}

/// The document, those in its nodes, and what each takes away again.
fn of_type(document: &Document, kind: DocumentType, knowledge: Knowledge<'_>) -> Problems {
    let nothing = Known::default();
    let known = knowledge.known.unwrap_or(&nothing);
    let stage = knowledge.stage;
    let context = Context { stage, partial: false, known, whole: true, examined: true, is_part: false };
    let (Examined { nested, mut problems, .. }, whole) = check(kind, &document.value, &context);
    if kind.support() != Support::Runs {
        let message = format!("{} is not run by this version", kind.describe());
        let problem = Problem::unsupported("", message).code(Code::DocumentUnsupported);
        problems.push(problem.help("it is checked and kept as it is"));
    }
    let (declared, mut said) = match kind {
        DocumentType::Template => check_declarations(document, &Map::new(), &somewhere),
        _ => (Vec::new(), Problems::new()),
    };
    let stages = stages(&declared);
    for nested in &nested {
        let Some(flow) = &nested.flow else { continue };
        let stage = stages.get(nested.pointer.as_str());
        let known = Known { project: stage.and_then(|(project, _)| project.clone()), ..Known::default() };
        let stage = stage.map(|(_, stage)| stage);
        let context = Context { stage, partial: true, known: &known, whole, examined: true, is_part: false };
        problems.extend(check_flow(flow, &context).under(&nested.pointer));
    }
    problems.extend(calls(&declared));
    join(&mut said, problems);
    said
}

/// Ports are given out when something is applied; until then each has some address.
fn somewhere(_service: &str, _port: &str) -> Option<String> {
    Some("127.0.0.1:1".to_owned())
}

/// Nodes by themselves, and the flows of declared pipelines.
fn declarations(document: &Document) -> Problems {
    let (declared, mut problems) = lint_declarations(document, &Map::new(), &somewhere);
    let stages = stages(&declared);
    for nested in flows(&declared) {
        let stage = stages.get(nested.pointer.as_str());
        let known = Known { project: stage.and_then(|(project, _)| project.clone()), ..Known::default() };
        let stage = stage.map(|(_, stage)| stage);
        let whole = nested.whole;
        let context = Context { stage, partial: true, known: &known, whole, examined: false, is_part: false };
        join(&mut problems, check_flow(&nested.flow, &context).under(&nested.pointer));
    }
    problems.extend(calls(&declared));
    problems
}

/// What is wrong between the flows of declared pipelines that run each other.
fn calls(declared: &[Declaration]) -> Problems {
    let mut paths: BTreeMap<String, &DeclaredFlow> = BTreeMap::new();
    for one in declared {
        let Declared::Pipeline(pipeline) = &one.declared else { continue };
        for stage in &pipeline.stages {
            let path = format!("{}/{}", one.slug, names::slug(&stage.name));
            paths.extend(stage.flow.as_ref().map(|flow| (path, flow)));
        }
    }
    let find = |id: &str| Some((id.to_owned(), Cow::Borrowed(&paths.get(id)?.flow)));
    let mut problems = Problems::new();
    for declared in paths.values() {
        let found: Vec<Problem> =
            check_calls(&declared.flow, &find).into_iter().map(|stuck| stuck.problem).collect();
        problems.extend(Problems::from(found).under(&declared.pointer));
    }
    problems
}

fn flows(declared: &[Declaration]) -> impl Iterator<Item = &DeclaredFlow> {
    let pipelines = declared.iter().filter_map(|one| match &one.declared {
        Declared::Pipeline(pipeline) => Some(pipeline),
        _ => None,
    });
    pipelines.flat_map(|pipeline| &pipeline.stages).filter_map(|stage| stage.flow.as_ref())
}

/// The project, and what is known of the stage, of the flow at each place.
type Stages<'a> = BTreeMap<&'a str, (Option<String>, StageContext<'a>)>;

fn stages(declared: &[Declaration]) -> Stages<'_> {
    let kinds: BTreeMap<&str, ResourceKind> = declared
        .iter()
        .filter_map(|one| match one.declared {
            Declared::Resource(kind) => Some((one.slug.as_str(), kind)),
            _ => None,
        })
        .collect();
    let mut stages = Stages::new();
    for one in declared {
        let Declared::Pipeline(pipeline) = &one.declared else { continue };
        for (n, stage) in pipeline.stages.iter().enumerate() {
            if let Some(flow) = &stage.flow {
                let context = stage_context(pipeline, n, &kinds);
                stages.insert(&flow.pointer, (one.project.clone(), context));
            }
        }
    }
    stages
}

/// What the pipeline's own declaration tells of its members. What else there is in the project is not known.
fn stage_context<'a>(
    pipeline: &'a PipelineDeclaration,
    stage: usize,
    kinds: &BTreeMap<&'a str, ResourceKind>,
) -> StageContext<'a> {
    let mut resources: BTreeMap<Cow<'a, str>, Resource<'a>> = BTreeMap::new();
    for other in &pipeline.stages {
        for member in &other.members {
            let kind = kinds.get(member.slug.as_str()).copied().or_else(|| kind_of(member));
            let Some(kind) = kind else { continue };
            let stage = Some(Cow::Borrowed(other.name.as_str()));
            resources.insert(Cow::Borrowed(&member.slug), Resource { kind, stage, unusable: None });
        }
    }
    for (slug, kind) in kinds.iter().filter(|(_, kind)| is_builder(**kind)) {
        let builder = Resource { kind: *kind, stage: None, unusable: None };
        resources.entry(Cow::Borrowed(slug)).or_insert(builder);
    }
    let name = |stage: usize| pipeline.stages.get(stage).map(|stage| Cow::Borrowed(stage.name.as_str()));
    StageContext {
        stage: name(stage).unwrap_or_default(),
        previous: stage.checked_sub(1).and_then(name),
        resources,
    }
}

const fn is_builder(kind: ResourceKind) -> bool {
    matches!(kind, ResourceKind::BuildService | ResourceKind::CombinedService)
}

fn kind_of(member: &Member) -> Option<ResourceKind> {
    match member.member_type.as_str() {
        "service" => Some(ResourceKind::DeploymentService),
        "job" => Some(ResourceKind::ManualJob),
        "addon" => Some(ResourceKind::Addon),
        _ => None,
    }
}
