//! Taking a resource out of its stage, with every flow node that refers to it; deleting a pipeline.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use shipway_events::{
    PipelineId, ResourceId,
    project::{Event, FlowPublished, MemberRemoved, PipelineDeleted},
};

use super::{
    ProjectState, Rejection, Why, names,
    state::{Flow, Resource},
};

/// What goes when a resource leaves its stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MemberRemoval {
    /// The resource that leaves.
    pub(crate) resource: ResourceId,
    /// Its pipeline.
    pub(crate) pipeline: PipelineId,
    /// The stage that it leaves.
    pub(crate) stage: String,
    /// The flows that lose nodes.
    pub(crate) flows: Vec<FlowRemoval>,
}

/// What a flow loses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FlowRemoval {
    /// The flow by the name people use: `shop/staging`.
    pub(crate) path: String,
    /// The nodes that go, in the order of the document.
    pub(crate) nodes: Vec<RemovedNode>,
    /// References in what stays to the nodes that go.
    pub(crate) dangling: Vec<Dangling>,
    /// The new version without them.
    pub(crate) published: FlowPublished,
}

/// A flow node that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemovedNode {
    /// Where it stood in the document: `/spec/spec/steps/2`.
    pub(crate) pointer: String,
    /// Its kind.
    pub(crate) kind: String,
    /// Its ref, if the document gives one.
    pub(crate) reference: Option<String>,
    /// The field that names the resource: `/spec/target/id`.
    pub(crate) field: String,
}

/// A reference to a node that goes, in a place that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dangling {
    /// Where it stands in the document.
    pub(crate) pointer: String,
    /// The ref that it names.
    pub(crate) reference: String,
}

impl MemberRemoval {
    /// The removal as events.
    pub(super) fn into_events(self) -> Vec<Event> {
        let removed = MemberRemoved { pipeline: self.pipeline, stage: self.stage, resource: self.resource };
        std::iter::once(removed.into())
            .chain(self.flows.into_iter().map(|flow| flow.published.into()))
            .collect()
    }
}

/// What would go if the resource left its stage.
pub(crate) fn member_removal(state: &ProjectState, slug: &str) -> Result<MemberRemoval, Rejection> {
    let resource = state.resources.get(slug).ok_or_else(|| {
        let suggestion = names::did_you_mean(slug, state.resources.keys().map(String::as_str));
        Rejection::one("", Why::NoSuchResource { id: slug.to_owned(), suggestion })
    })?;
    let membership = state
        .members
        .get(&resource.id)
        .ok_or_else(|| Rejection::one("", Why::NotAMember { slug: slug.to_owned() }))?;
    let flows =
        state.flows.values().filter_map(|flow| without(flow, resource, membership.pipeline)).collect();
    Ok(MemberRemoval {
        resource: resource.id,
        pipeline: membership.pipeline,
        stage: membership.stage.clone(),
        flows,
    })
}

/// What a pipeline's deletion takes with it.
pub(crate) fn deleted_pipeline(state: &ProjectState, slug: &str) -> Result<PipelineDeleted, Rejection> {
    let pipeline = state.pipelines.get(slug).ok_or_else(|| {
        let suggestion = names::did_you_mean(slug, state.pipelines.keys().map(String::as_str));
        Rejection::one("", Why::NoSuchPipeline { slug: slug.to_owned(), suggestion })
    })?;
    let flows = pipeline.stages.iter().map(|stage| stage.flow).collect();
    Ok(PipelineDeleted { pipeline: pipeline.id, slug: slug.to_owned(), flows })
}

/// The flow without the nodes that refer to the resource; none if there are no such nodes.
fn without(flow: &Flow, resource: &Resource, pipeline: PipelineId) -> Option<FlowRemoval> {
    let newest = flow.newest()?;
    let mut document = newest.document.clone();
    let mut nodes = Vec::new();
    take_out(document.get_mut("spec")?, "/spec", &resource.slug, &mut nodes);
    if nodes.is_empty() {
        return None;
    }
    let gone: BTreeSet<&str> = nodes.iter().filter_map(|node| node.reference.as_deref()).collect();
    let mut dangling = Vec::new();
    references(&newest.document, "", &gone, &nodes, &mut dangling);
    let taken: Vec<String> = nodes.iter().map(RemovedNode::describe).collect();
    let reason = format!("{} left its stage; taken out: {}", resource.slug, taken.join(", "));
    let published = FlowPublished {
        flow: flow.id,
        pipeline,
        stage: flow.stage.clone(),
        version: newest.version + 1,
        document,
        reason,
    };
    Some(FlowRemoval { path: flow.path(), nodes, dangling, published })
}

impl RemovedNode {
    /// `Release /spec/spec/steps/2 (ref promote)`.
    pub(crate) fn describe(&self) -> String {
        match &self.reference {
            Some(reference) => format!("{} {} (ref {reference})", self.kind, self.pointer),
            None => format!("{} {}", self.kind, self.pointer),
        }
    }
}

/// Takes the steps out of a workflow (or loop) that name the resource, at every depth.
fn take_out(node: &mut Value, pointer: &str, slug: &str, taken: &mut Vec<RemovedNode>) {
    let Some(steps) = node.pointer_mut("/spec/steps").and_then(Value::as_array_mut) else { return };
    let mut kept = Vec::with_capacity(steps.len());
    for (index, mut step) in std::mem::take(steps).into_iter().enumerate() {
        let here = format!("{pointer}/spec/steps/{index}");
        match naming_field(&step, slug) {
            Some(field) => taken.push(RemovedNode {
                pointer: here,
                kind: text(&step, "kind").unwrap_or_default().to_owned(),
                reference: text(&step, "ref").map(str::to_owned),
                field: field.to_owned(),
            }),
            None => {
                take_out(&mut step, &here, slug, taken);
                kept.push(step);
            }
        }
    }
    *steps = kept;
}

fn text<'a>(node: &'a Value, field: &str) -> Option<&'a str> {
    node.get(field).and_then(Value::as_str)
}

/// Where nodes name resources. What a kind does not list it cannot name.
const NAMING_FIELDS: &[(&str, &[&str])] = &[
    ("Release", &["/spec/target/id", "/spec/origin/id"]),
    ("Build", &["/spec/id"]),
    ("BuildSource", &["/spec/id"]),
    ("JobRun", &["/spec/jobId", "/spec/deployment/internal/id"]),
    ("AddonBackup", &["/spec/addonId"]),
    ("AddonImport", &["/spec/addonId"]),
    ("Action", &["/spec/spec/data/serviceId", "/spec/spec/data/jobId", "/spec/spec/data/addonId"]),
    ("Condition", &["/spec/spec/data/serviceId", "/spec/spec/data/jobId", "/spec/spec/data/addonId"]),
];

/// The field by which the node itself (not a step in it) names the resource.
fn naming_field(node: &Value, slug: &str) -> Option<&'static str> {
    let kind = text(node, "kind")?;
    let (_, fields) = NAMING_FIELDS.iter().find(|(name, _)| *name == kind)?;
    fields.iter().copied().find(|field| node.pointer(field).and_then(Value::as_str) == Some(slug))
}

/// References to the refs that are gone, in everything that stays.
fn references(
    value: &Value,
    pointer: &str,
    gone: &BTreeSet<&str>,
    nodes: &[RemovedNode],
    found: &mut Vec<Dangling>,
) {
    if nodes.iter().any(|node| node.pointer == pointer) {
        return;
    }
    match value {
        Value::String(text) => {
            let named = gone.iter().filter(|reference| names_ref(text, reference));
            found.extend(named.map(|r| Dangling { pointer: pointer.to_owned(), reference: (*r).to_owned() }));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let here = format!("{pointer}/{index}");
                let depends = pointer.ends_with("/dependsOn");
                match item.as_str() {
                    Some(text) if depends && gone.contains(text) => {
                        found.push(Dangling { pointer: here, reference: text.to_owned() });
                    }
                    _ => references(item, &here, gone, nodes, found),
                }
            }
        }
        Value::Object(fields) => fields_of(fields, pointer, gone, nodes, found),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn fields_of(
    fields: &Map<String, Value>,
    pointer: &str,
    gone: &BTreeSet<&str>,
    nodes: &[RemovedNode],
    found: &mut Vec<Dangling>,
) {
    for (key, value) in fields {
        let token = key.replace('~', "~0").replace('/', "~1");
        references(value, &format!("{pointer}/{token}"), gone, nodes, found);
    }
}

/// Whether an expression in the text names `refs.<reference>`, as a whole word.
fn names_ref(text: &str, reference: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.contains("${")
        && text.match_indices(&format!("refs.{reference}")).any(|(at, found)| {
            let before = text[..at].chars().next_back();
            let after = text[at + found.len()..].chars().next();
            !before.is_some_and(|c| word(c) || c == '.') && !after.is_some_and(word)
        })
}
