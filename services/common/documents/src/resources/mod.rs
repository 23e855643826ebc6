//! What `apply` declares: projects, resources and pipelines with their flows.

mod collect;
mod pipeline;
mod shape;
mod spec;

pub use pipeline::{DeclaredFlow, Member, PipelineDeclaration, StageDeclaration};
pub use spec::{Port, Protocol, ports};

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Map, Value, json};
use shipway_events::{SecretRef, project::ResourceKind};

use crate::{
    Document, Problem, Problems,
    expr::{self, Lookup, Place, Scope},
    names, pointer, secret, with_article,
};
use collect::Collected;

/// One declared thing. Applying declarations in their order makes what later ones refer to before them.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// What it is.
    pub declared: Declared,
    /// Its name.
    pub name: String,
    /// Its id in documents: the slug of its name.
    pub slug: String,
    /// The node's `ref`, if given.
    pub reference: Option<String>,
    /// Where the node stands.
    pub pointer: String,
    /// The slug of the project that it belongs to, if the document says so; none for projects.
    pub project: Option<String>,
    /// The node's `spec`, resolved, unknown members kept; a pipeline's flows are resolved for
    /// `${template.…}` only.
    pub spec: Value,
}

/// What a declaration declares.
#[derive(Clone, Debug)]
pub enum Declared {
    /// A project.
    Project,
    /// A service, job, addon or secret group.
    Resource(ResourceKind),
    /// A pipeline.
    Pipeline(PipelineDeclaration),
}

impl Declared {
    /// The word for people: `project`, `DeploymentService`, `pipeline`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Project => "project".into(),
            Self::Resource(kind) => kind.to_string(),
            Self::Pipeline(_) => "pipeline".into(),
        }
    }
}

/// What a document declares, and warnings about it.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    /// In the order of the document.
    pub all: Vec<Declaration>,
    /// What should be written otherwise, located and sorted.
    pub warnings: Problems,
}

/// Reads what a document declares: one node, a list of nodes (several YAML documents are one), or a team
/// template whose steps are resource nodes. References between declared nodes and to the template's
/// arguments are resolved.
///
/// # Errors
/// All that is wrong, located and sorted. A duplicate, a name that is too long, a reference to nothing:
/// nothing of the document should be applied.
pub fn parse_declarations(document: &Document) -> Result<Declarations, Problems> {
    parse_declarations_with(document, &Map::new())
}

/// The same with overrides of the template's arguments.
///
/// # Errors
/// As for [`parse_declarations`].
pub fn parse_declarations_with(
    document: &Document,
    overrides: &Map<String, Value>,
) -> Result<Declarations, Problems> {
    parse_declarations_at(document, overrides, &|_, _| None)
}

/// Where a service's port is reached, by the service's id and the port's name: `127.0.0.1:7501`.
pub type Addresses<'a> = &'a dyn Fn(&str, &str) -> Option<String>;

/// The same where ports are given out: `${refs.<service>.ports.N.dns}` is the address of the service's port.
///
/// # Errors
/// As for [`parse_declarations`].
pub fn parse_declarations_at(
    document: &Document,
    overrides: &Map<String, Value>,
    addresses: Addresses<'_>,
) -> Result<Declarations, Problems> {
    let (all, problems) = check_declarations(document, overrides, addresses);
    if problems.has_errors() {
        return Err(problems);
    }
    Ok(Declarations { all, warnings: problems })
}

/// Reads as much as can be read of what a document declares, and says all that is wrong with it, located and sorted.
#[must_use]
pub fn check_declarations(
    document: &Document,
    overrides: &Map<String, Value>,
    addresses: Addresses<'_>,
) -> (Vec<Declaration>, Problems) {
    let mut problems = Problems::new();
    crate::flow::refuse_marks(&document.value, "", &mut problems);
    let nodes = collect::collect(&document.value, overrides, &mut problems);
    let outputs = outputs(&nodes, addresses, &mut problems);
    let mut all: Vec<Declaration> = Vec::with_capacity(nodes.len());
    let mut project = None;
    for node in &nodes {
        let declaration = declare(node, &outputs, project.as_deref(), &mut problems);
        if matches!(declaration.declared, Declared::Project) && !declaration.slug.is_empty() {
            project = Some(declaration.slug.clone());
        }
        refuse_duplicate(&all, &declaration, &mut problems);
        all.push(declaration);
    }
    pipeline::check_members(&all, &mut problems);
    document.locate(&mut problems);
    (all, problems)
}

/// `id` and `name` of every named node, and of services the `ports`; they are known before anything is applied.
fn outputs(
    nodes: &[Collected<'_>],
    addresses: Addresses<'_>,
    problems: &mut Problems,
) -> BTreeMap<String, Value> {
    let mut outputs = BTreeMap::new();
    for node in nodes {
        let scope = Names { args: &node.args, outputs: &outputs, made: None };
        let Some(reference) = &node.reference else { continue };
        let name = node.value.pointer("/spec/name").unwrap_or(&Value::Null);
        // What is wrong with the name is said when the whole spec is resolved.
        let Ok(Value::String(name)) = expr::resolve(name, &scope, "") else { continue };
        let id = names::slug(&name);
        let mut output = json!({"id": id, "name": name});
        if let Some(ports) = port_outputs(node, &id, &scope, addresses) {
            output["ports"] = ports;
        }
        if outputs.insert(reference.clone(), output).is_some() {
            let at = pointer::join(&node.pointer, "ref");
            problems.push(
                Problem::error(at, format!("two nodes are called `{reference}`"))
                    .help("give each its own `ref`"),
            );
        }
    }
    outputs
}

/// What a service's ports tell others; none for what has none.
fn port_outputs(
    node: &Collected<'_>,
    id: &str,
    scope: &Names<'_>,
    addresses: Addresses<'_>,
) -> Option<Value> {
    if !matches!(node.kind, "DeploymentService" | "CombinedService") {
        return None;
    }
    let declared = expr::resolve(node.value.pointer("/spec/ports")?, scope, "").ok()?;
    let shown = ports(&json!({ "ports": declared })).into_iter().map(|port| {
        let mut shown = json!({"name": port.name, "internalPort": port.internal, "public": port.public});
        if let Some(address) = addresses(id, &port.name) {
            shown["dns"] = address.into();
        }
        shown
    });
    Some(shown.collect())
}

fn declare(
    node: &Collected<'_>,
    outputs: &BTreeMap<String, Value>,
    project: Option<&str>,
    problems: &mut Problems,
) -> Declaration {
    let at = pointer::join(&node.pointer, "spec");
    let made = (node.kind == "SecretGroup").then(|| format!("{at}/secrets"));
    let scope = Names { args: &node.args, outputs, made: made.as_deref() };
    // What does not resolve is checked as far as it goes, so that everything is said at once.
    let (spec, unresolved) = match pipeline::resolve_spec(node, &scope, &at) {
        Ok(spec) => (spec, Vec::new()),
        Err(found) => (node.value.get("spec").cloned().unwrap_or_default(), found),
    };
    let around = around(node, &scope, problems);
    let mut shape = Problems::new();
    // Flows in a spec that is not resolved still hold `${template.…}`.
    let nested = !unresolved.is_empty();
    let declaration = read(node, spec, &at, around.as_deref().or(project), nested, &mut shape);
    // One place, one problem: what did not resolve has no right shape either.
    let known = |problem: &Problem| unresolved.iter().any(|other| other.pointer == problem.pointer);
    problems.extend(shape.into_iter().filter(|problem| !known(problem)));
    problems.extend(unresolved);
    declaration
}

fn read(
    node: &Collected<'_>,
    spec: Value,
    at: &str,
    project: Option<&str>,
    nested: bool,
    problems: &mut Problems,
) -> Declaration {
    let kind = resource_kind(node.kind, &spec);
    let length = match (node.kind, kind) {
        ("Project", _) => names::PROJECT,
        (_, Some(kind)) => names::length_of(kind),
        _ => names::PIPELINE,
    };
    // Without a right name it is no declaration, and the rest of it is checked all the same.
    let name = shape::name(&spec, at, length, problems).unwrap_or_default();
    let declared = match (node.kind, kind) {
        ("Project", _) => Declared::Project,
        (_, Some(kind)) => {
            shape::resource(kind, &spec, at, problems);
            Declared::Resource(kind)
        }
        _ => Declared::Pipeline(PipelineDeclaration::read(&spec, at, nested, problems)),
    };
    let own = spec.get("projectId").and_then(Value::as_str);
    let project = own.or(project).filter(|_| !matches!(declared, Declared::Project));
    Declaration {
        declared,
        slug: names::slug(&name),
        name,
        reference: node.reference.clone(),
        pointer: node.pointer.clone(),
        project: project.map(str::to_owned),
        spec,
    }
}

/// The project of the workflow around a node, resolved.
fn around(node: &Collected<'_>, scope: &Names<'_>, problems: &mut Problems) -> Option<String> {
    let text = Value::from(node.project.as_deref()?);
    match expr::resolve(&text, scope, &node.pointer) {
        Ok(project) => project.as_str().map(str::to_owned),
        Err(found) => {
            let help = "the workflow around it names its project in `context.projectId`";
            problems.extend(found.into_iter().map(|problem| match problem.help {
                Some(_) => problem,
                None => problem.help(help),
            }));
            None
        }
    }
}

fn resource_kind(kind: &str, spec: &Value) -> Option<ResourceKind> {
    Some(match kind {
        "BuildService" => ResourceKind::BuildService,
        "DeploymentService" => ResourceKind::DeploymentService,
        "CombinedService" => ResourceKind::CombinedService,
        "ManualJob" => ResourceKind::ManualJob,
        "CronJob" => ResourceKind::CronJob,
        "Job" if spec.pointer("/settings/cron").is_some() => ResourceKind::CronJob,
        "Job" => ResourceKind::ManualJob,
        "Addon" => ResourceKind::Addon,
        "SecretGroup" => ResourceKind::SecretGroup,
        _ => return None,
    })
}

fn refuse_duplicate(all: &[Declaration], new: &Declaration, problems: &mut Problems) {
    let same = |other: &&Declaration| {
        !new.slug.is_empty()
            && other.slug == new.slug
            && other.project == new.project
            && std::mem::discriminant(&other.declared) == std::mem::discriminant(&new.declared)
    };
    if let Some(other) = all.iter().find(same) {
        let message = format!(
            "`{}` is declared twice; the other is {}",
            new.slug,
            with_article(&other.declared.describe())
        );
        let at = format!("{}/spec/name", new.pointer);
        problems.push(Problem::error(at, message).help("give each its own name: ids are the slugs of names"));
    }
}

struct Names<'a> {
    args: &'a Map<String, Value>,
    outputs: &'a BTreeMap<String, Value>,
    /// Where secrets can be made: they take their names from what holds them, once that is applied.
    made: Option<&'a str>,
}

impl Scope for Names<'_> {
    fn arg(&self, name: &str) -> Lookup<'_> {
        Lookup::from_option(self.args.get(name), || self.args.keys().cloned().collect())
    }

    fn reference(&self, reference: &str) -> Lookup<'_> {
        match self.outputs.get(reference) {
            Some(outputs) => Lookup::Value(Cow::Borrowed(outputs)),
            None => Lookup::Missing { known: self.outputs.keys().cloned().collect() },
        }
    }

    fn trigger(&self, _reference: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }

    fn random_secret(&self, place: Place<'_>) -> Option<SecretRef> {
        self.made.filter(|made| pointer::is_within(place.pointer, made))?;
        Some(secret::random_name("", "", place.pointer, place.ordinal))
    }
}
