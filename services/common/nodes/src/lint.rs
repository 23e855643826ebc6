//! Checks a text: everything that can be known of a document before it is published or run, all at once.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;
use shipway_documents::{
    Code, Document, DocumentType, Problem, Problems, Report, Support,
    flow::Flow,
    parse,
    resources::{Declared, Member, PipelineDeclaration, check_declarations},
};
use shipway_events::project::ResourceKind;

use crate::{
    StageContext,
    validate::{Context, Known, Resource, check_flow},
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
    let mut problems = match knowledge.document.or_else(|| recognise(&document.value)) {
        Some(DocumentType::Template) => declarations(document),
        Some(kind) => flow(&document.value, kind, knowledge),
        None => unrecognised().into(),
    };
    document.locate(&mut problems);
    problems
}

/// The type that a document shows: by its `$schema`, else by what it has.
#[must_use]
pub fn recognise(value: &Value) -> Option<DocumentType> {
    if value.is_array() || value.get("kind").is_some() {
        return Some(DocumentType::Template);
    }
    let schema = value.get("$schema").and_then(Value::as_str);
    if let Some(kind) =
        schema.and_then(|schema| DocumentType::parse(schema.trim_end_matches('/').rsplit('/').next()?))
    {
        return Some(kind);
    }
    let spec = value.get("spec")?;
    Some(if holds_declarations(spec) { DocumentType::Template } else { DocumentType::ReleaseFlow })
}

/// Whether a step declares something that flows cannot hold.
fn holds_declarations(node: &Value) -> bool {
    let kind = node.get("kind").and_then(Value::as_str).unwrap_or_default();
    let steps = node.pointer("/spec/steps").and_then(Value::as_array);
    match steps {
        Some(steps) => steps.iter().any(holds_declarations),
        None => shipway_documents::kinds::find(kind).is_some_and(|kind| {
            !kind.is_allowed_in(DocumentType::ReleaseFlow) && kind.is_allowed_in(DocumentType::Template)
        }),
    }
}

fn unrecognised() -> Problem {
    let words: Vec<_> = DocumentType::ALL.iter().map(|kind| kind.as_str()).collect();
    Problem::error("", "this is no document that Shipway knows: it has neither a `kind` nor a `spec`")
        .code(Code::DocumentType)
        .help(format!("say what it is with `--as`: {}", shipway_documents::list(words)))
}

fn flow(value: &Value, document: DocumentType, knowledge: Knowledge<'_>) -> Problems {
    let (flow, mut problems) = Flow::check(value);
    if document.support() != Support::Runs {
        let message = format!("{} is not run by this version", document.describe());
        let problem = Problem::unsupported("", message).code(Code::DocumentUnsupported);
        problems.push(problem.help("it is checked and kept as it is"));
    }
    let Some(flow) = flow else { return problems };
    let nothing = Known::default();
    let known = knowledge.known.unwrap_or(&nothing);
    let whole = !problems.has_errors();
    problems.extend(check_flow(
        &flow,
        &Context { document, stage: knowledge.stage, partial: false, known, whole },
    ));
    problems
}

fn declarations(document: &Document) -> Problems {
    let (all, mut problems) = check_declarations(document);
    let kinds: BTreeMap<&str, ResourceKind> = all
        .iter()
        .filter_map(|one| match one.declared {
            Declared::Resource(kind) => Some((one.slug.as_str(), kind)),
            _ => None,
        })
        .collect();
    for pipeline in &all {
        let Declared::Pipeline(declared) = &pipeline.declared else { continue };
        for (n, stage) in declared.stages.iter().enumerate() {
            let Some(nested) = &stage.flow else { continue };
            let context = Context {
                document: DocumentType::ReleaseFlow,
                stage: Some(&stage_context(declared, n, &kinds)),
                partial: true,
                known: &Known { project: pipeline.project.clone(), ..Known::default() },
                whole: nested.whole,
            };
            problems.extend(check_flow(&nested.flow, &context).under(&nested.pointer));
        }
    }
    problems
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
