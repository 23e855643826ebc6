//! A declared pipeline: stages, members, flows.

use serde_json::Value;
use shipway_events::project::ResourceKind;

use super::{Declaration, Declared, Names, collect::Collected};
use crate::{Code, DocumentType, Fields, Problem, Problems, expr, flow::Flow, names, pointer, with_article};

/// A pipeline.
#[derive(Clone, Debug, Default)]
pub struct PipelineDeclaration {
    /// What people said about it.
    pub description: String,
    /// Its stages in order: those of the document, else the format's three.
    pub stages: Vec<StageDeclaration>,
}

/// A stage of a pipeline.
#[derive(Clone, Debug)]
pub struct StageDeclaration {
    /// Its name: `Development`.
    pub name: String,
    /// Where it stands.
    pub pointer: String,
    /// Its members.
    pub members: Vec<Member>,
    /// Its release flow, if the document has one.
    pub flow: Option<DeclaredFlow>,
}

/// A member of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The resource's id in documents.
    pub slug: String,
    /// `service`, `job` or `addon`.
    pub member_type: String,
    /// Where it stands.
    pub pointer: String,
}

/// The release flow of a stage.
#[derive(Clone, Debug)]
pub struct DeclaredFlow {
    /// The flow; its document is [`Flow::value`], `${template.…}` resolved.
    pub flow: Flow,
    /// Where its document stands: put this before the pointers of its problems with [`Problems::under`].
    pub pointer: String,
    /// Whether all of it could be read.
    pub whole: bool,
}

/// The stages of a pipeline that names none.
const STAGES: [&str; 3] = ["Development", "Staging", "Production"];

/// Resolves a spec; of nested flows and previews only `${template.…}`.
pub(super) fn resolve_spec(node: &Collected<'_>, scope: &Names<'_>, at: &str) -> Result<Value, Vec<Problem>> {
    let mut outer = node.value.get("spec").cloned().unwrap_or_default();
    if node.kind != "Pipeline" {
        return expr::resolve(&outer, scope, at);
    }
    let stages = outer.get("stages").and_then(Value::as_array).map_or(0, Vec::len);
    let mut inner = Vec::new();
    for place in (0..stages).map(|n| format!("/stages/{n}/releaseFlow")).chain(["/preview".to_owned()]) {
        if let Some(value) = outer.pointer_mut(&place) {
            inner.push((place, value.take()));
        }
    }
    let mut problems = Vec::new();
    let mut spec = expr::resolve(&outer, scope, at).unwrap_or_else(|found| {
        problems.extend(found);
        outer
    });
    for (place, value) in inner {
        match expr::resolve_template(&value, scope, &format!("{at}{place}")) {
            Ok(value) => {
                if let Some(slot) = spec.pointer_mut(&place) {
                    *slot = value;
                }
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(spec) } else { Err(problems) }
}

impl PipelineDeclaration {
    /// Reads a pipeline; in flows that are `nested` yet, expressions may be `${template.…}`.
    pub(super) fn read(spec: &Value, at: &str, nested: bool, problems: &mut Problems) -> Self {
        let mut fields = Fields::new(spec, at, "`spec`", problems);
        fields.known(&["name", "description", "projectId", "stages", "preview", "nfObjects"]);
        let description = fields.text("description").unwrap_or_default().to_owned();
        if fields.get("preview").is_some() {
            let problem = Problem::unsupported(fields.at("preview"), "previews are not supported yet");
            fields.note(problem.help("take it away until they are; the stages do without it"));
        }
        let list = fields.list("stages");
        let legacy = fields.list("nfObjects");
        if list.len() == 1 || list.len() > 20 {
            let message = format!("a pipeline has 2 to 20 stages, not {}", list.len());
            let help = "add the stages that come after it, or leave `stages` away for the usual three";
            let help = if list.len() == 1 { help } else { "make several pipelines of it" };
            fields.note(Problem::error(fields.at("stages"), message).help(help));
        }
        let mut stages: Vec<StageDeclaration> = Vec::new();
        for (n, stage) in list.iter().enumerate() {
            let at = pointer::item(&pointer::join(at, "stages"), n);
            let Some(stage) = StageDeclaration::read(stage, &at, nested, problems) else { continue };
            if stages.iter().any(|other| other.name.eq_ignore_ascii_case(&stage.name)) {
                let message = format!("two stages are called `{}`", stage.name);
                let problem = Problem::error(pointer::join(&at, "name"), message);
                problems.push(problem.help("give each its own name"));
            }
            stages.push(stage);
        }
        if list.is_empty() {
            let empty = |name: &str| StageDeclaration {
                name: name.to_owned(),
                pointer: at.to_owned(),
                members: Vec::new(),
                flow: None,
            };
            stages = STAGES.into_iter().map(empty).collect();
        }
        read_legacy_members(legacy, at, &mut stages, problems);
        Self { description, stages }
    }
}

impl StageDeclaration {
    fn read(value: &Value, at: &str, nested: bool, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::new(value, at, "a stage", problems);
        fields.known(&["name", "nfObjects", "releaseFlow"]);
        let name = fields.required_text("name", "name the stage: `Development`")?.to_owned();
        if let Err(reason) = names::check(&name, names::STAGE) {
            let problem = Problem::error(fields.at("name"), format!("the stage name `{name}` {reason}"));
            fields.note(problem.code(Code::NameInvalid).help(names::example(names::STAGE)));
        }
        let (flow, flow_at) = (fields.get("releaseFlow"), fields.at("releaseFlow"));
        let (list, list_at) = (fields.list("nfObjects"), fields.at("nfObjects"));
        let members = list
            .iter()
            .enumerate()
            .filter_map(|(n, member)| {
                Member::read(member, &pointer::item(&list_at, n), problems).map(|(m, _)| m)
            })
            .collect();
        let flow = flow.and_then(|flow| DeclaredFlow::read(flow, &flow_at, nested, problems));
        Some(Self { name, pointer: at.to_owned(), members, flow })
    }
}

impl Member {
    /// The member, and the stage that the older list names with it.
    fn read<'v>(value: &'v Value, at: &str, problems: &mut Problems) -> Option<(Self, Option<&'v str>)> {
        let mut fields = Fields::new(value, at, "a member of a stage", problems);
        let slug =
            fields.required_text("id", "name the resource by its id, the slug of its name")?.to_owned();
        let member_type = fields.one_of("type", &["service", "job", "addon"]);
        if fields.get("type").is_none() {
            fields.missing("type", "say `service`, `job` or `addon`");
        }
        let stage = fields.text("stage");
        Some((Self { slug, member_type: member_type?.to_owned(), pointer: at.to_owned() }, stage))
    }
}

impl DeclaredFlow {
    fn read(value: &Value, at: &str, nested: bool, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::new(value, at, "`releaseFlow`", problems);
        fields.one_of("kind", &["ReleaseFlow"]);
        let (Some(spec), pointer) = (fields.get("spec"), fields.at("spec")) else {
            fields.missing("spec", "give it `{kind: ReleaseFlow, spec: {apiVersion: v1.2, spec: …}}`");
            return None;
        };
        let (flow, found) = Flow::examine(DocumentType::ReleaseFlow, spec, nested);
        let whole = !found.has_errors();
        let warnings = if whole { found.clone() } else { Problems::new() };
        problems.extend(found.under(&pointer));
        Some(Self { flow: Flow { warnings, ..flow? }, pointer, whole })
    }
}

fn read_legacy_members(list: &[Value], at: &str, stages: &mut [StageDeclaration], problems: &mut Problems) {
    for (n, value) in list.iter().enumerate() {
        let at = pointer::item(&pointer::join(at, "nfObjects"), n);
        let Some((member, stage)) = Member::read(value, &at, problems) else { continue };
        let stage = stage.unwrap_or_default();
        match stages.iter_mut().find(|known| known.name.eq_ignore_ascii_case(stage)) {
            Some(known) => known.members.push(member),
            None => {
                let names: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
                let problem =
                    Problem::error(pointer::join(&at, "stage"), format!("no stage is called `{stage}`"));
                problems.push(problem.suggest(stage, names));
            }
        }
    }
}

/// What the document alone shows to be wrong about members; what exists already is for the project to judge.
pub(super) fn check_members(all: &[Declaration], problems: &mut Problems) {
    let mut seen: Vec<(&Declaration, &Member)> = Vec::new();
    for pipeline in all {
        let Declared::Pipeline(PipelineDeclaration { stages, .. }) = &pipeline.declared else { continue };
        for member in stages.iter().flat_map(|stage| &stage.members) {
            let same = |(other, known): &&(&Declaration, &Member)| {
                known.slug == member.slug && other.project == pipeline.project
            };
            if seen.iter().any(|other| same(&other)) {
                problems.push(
                    Problem::error(
                        member.pointer.clone(),
                        format!("`{}` is a member of two stages", member.slug),
                    )
                    .help("a resource is in one stage of one pipeline at most"),
                );
            }
            seen.push((pipeline, member));
            let declared = all.iter().find_map(|other| match other.declared {
                Declared::Resource(kind)
                    if other.slug == member.slug && other.project == pipeline.project =>
                {
                    Some(kind)
                }
                _ => None,
            });
            if let Some(problem) = declared.and_then(|kind| refusal(kind, member)) {
                problems.push(problem);
            }
        }
    }
}

fn refusal(kind: ResourceKind, member: &Member) -> Option<Problem> {
    let slug = &member.slug;
    let error = |message: String| Problem::error(member.pointer.clone(), message);
    match kind {
        ResourceKind::BuildService => Some(
            error(format!("`{slug}` is a build service and cannot be a member of a stage"))
                .help("flows use it without membership: take it out of `nfObjects`"),
        ),
        ResourceKind::CombinedService => Some(
            error(format!(
                "`{slug}` is a combined service, which builds from Git itself, and cannot be a member"
            ))
            .help("split it into a BuildService and a DeploymentService"),
        ),
        ResourceKind::SecretGroup => Some(
            error(format!("`{slug}` is a secret group and cannot be a member of a stage"))
                .help("take it out of `nfObjects`; who gets it is said in its `restrictions`"),
        ),
        _ if kind.member_type() != member.member_type => Some(
            error(format!(
                "`{slug}` is {}, not {}",
                with_article(&kind.to_string()),
                with_article(&member.member_type)
            ))
            .help(format!("write `type: {}`", kind.member_type())),
        ),
        _ => None,
    }
}
