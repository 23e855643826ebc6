//! Taking a resource out of its stage, with every flow node that refers to it; deleting a pipeline.

use shipway_documents::flow::Flow as Document;
use shipway_events::{
    PipelineId, ResourceId,
    project::{Event, FlowPublished, MemberRemoved, PipelineDeleted},
};
pub(crate) use shipway_nodes::Removal as RemovedNode;

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
    /// The nodes that go: those that name the resource, then those that need an output of a node that goes.
    pub(crate) nodes: Vec<RemovedNode>,
    /// The new version without them.
    pub(crate) published: FlowPublished,
}

impl MemberRemoval {
    /// The removal as events.
    pub(super) fn into_events(self) -> Vec<Event> {
        let removed = MemberRemoved { pipeline: self.pipeline, stage: self.stage, resource: self.resource };
        std::iter::once(removed.into()).chain(self.flows.into_iter().map(|flow| flow.published.into())).collect()
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
    let mut flows = Vec::new();
    for flow in state.flows.values() {
        flows.extend(without(flow, resource, membership.pipeline)?);
    }
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
fn without(
    flow: &Flow,
    resource: &Resource,
    pipeline: PipelineId,
) -> Result<Option<FlowRemoval>, Rejection> {
    let Some(newest) = flow.newest() else { return Ok(None) };
    let parsed = Document::parse(&newest.document)
        .map_err(|problems| Rejection::one("", Why::FlowUnreadable { path: flow.path(), problem: problems.to_string() }))?;
    let (nodes, document) = shipway_nodes::remove_member(&parsed, &resource.slug);
    if nodes.is_empty() {
        return Ok(None);
    }
    let taken: Vec<String> = nodes.iter().map(describe).collect();
    let published = FlowPublished {
        flow: flow.id,
        pipeline,
        stage: flow.stage.clone(),
        version: newest.version + 1,
        document,
        reason: format!("{} left its stage; taken out: {}", resource.slug, taken.join(", ")),
    };
    Ok(Some(FlowRemoval { path: flow.path(), nodes, published }))
}

/// `Release /spec/spec/steps/2 (ref promote)`.
pub(super) fn describe(node: &RemovedNode) -> String {
    format!("{} {} (ref {})", node.kind, node.pointer, node.reference)
}
