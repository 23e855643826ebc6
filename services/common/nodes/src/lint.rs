//! Checks a text: everything that can be known of a document before it is published or run, all at once.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use shipway_documents::{
    Code, Document, DocumentType, Problem, Problems, Report, Severity, Support,
    flow::{Flow, recognise},
    names, parse,
    resources::{Declaration, Declared, DeclaredFlow, Member, PipelineDeclaration, check_declarations},
};
use shipway_events::project::ResourceKind;

use crate::{
    StageContext,
    document::examine,
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

fn unrecognised() -> Problem {
    let words: Vec<_> = DocumentType::ALL.iter().map(|kind| kind.as_str()).collect();
    Problem::error("", "this is no document that Shipway knows: it has neither a `kind` nor a `spec`")
        .code(Code::DocumentType)
        .help(format!("say what it is with `--as`, one of {}", shipway_documents::list(words)))
}

/// The document, those in its nodes, and what each takes away again.
fn of_type(document: &Document, kind: DocumentType, knowledge: Knowledge<'_>) -> Problems {
    let examined = examine(kind, &document.value);
    let mut problems = examined.problems;
    let whole = !problems.iter().any(|problem| problem.severity == Severity::Error);
    if kind.support() != Support::Runs {
        let message = format!("{} is not run by this version", kind.describe());
        let problem = Problem::unsupported("", message).code(Code::DocumentUnsupported);
        problems.push(problem.help("it is checked and kept as it is"));
    }
    let (declared, found) = match kind {
        DocumentType::Template => check_declarations(document),
        _ => (Vec::new(), Problems::new()),
    };
    let nothing = Known::default();
    let known = knowledge.known.unwrap_or(&nothing);
    if let Some(flow) = &examined.flow {
        let context = Context { stage: knowledge.stage, partial: false, known, whole, examined: true };
        with_teardown(flow, "", &context, &mut problems);
    }
    let stages = stages(&declared);
    for nested in &examined.nested {
        let Some(flow) = &nested.flow else { continue };
        let stage = stages.get(nested.pointer.as_str());
        let known = Known { project: stage.and_then(|(project, _)| project.clone()), ..Known::default() };
        let stage = stage.map(|(_, stage)| stage);
        let context = Context { stage, partial: true, known: &known, whole, examined: true };
        with_teardown(flow, &nested.pointer, &context, &mut problems);
    }
    problems.extend(calls(&declared));
    // What is declared is read in its own way, too; one place, one problem.
    let said: HashSet<String> = problems.iter().map(|problem| problem.pointer.clone()).collect();
    problems.extend(found.into_iter().filter(|problem| !said.contains(&problem.pointer)));
    problems
}

fn with_teardown(flow: &Flow, at: &str, context: &Context<'_>, problems: &mut Problems) {
    problems.extend(check_flow(flow, context).under(at));
    if let Some(teardown) = &flow.teardown {
        let at = format!("{at}{}", teardown.pointer);
        problems.extend(check_flow(&teardown.flow, context).under(&at));
    }
}

/// Nodes by themselves, and the flows of declared pipelines.
fn declarations(document: &Document) -> Problems {
    let (declared, mut problems) = check_declarations(document);
    let stages = stages(&declared);
    for nested in flows(&declared) {
        let stage = stages.get(nested.pointer.as_str());
        let known = Known { project: stage.and_then(|(project, _)| project.clone()), ..Known::default() };
        let stage = stage.map(|(_, stage)| stage);
        let context = Context { stage, partial: true, known: &known, whole: nested.whole, examined: false };
        with_teardown(&nested.flow, &nested.pointer, &context, &mut problems);
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
