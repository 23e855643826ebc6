//! Named histories and commands of the shop.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shipway_events::{
    FlowId, PipelineId, ResourceId,
    project::{Event, FlowPublished, MemberAdded, PipelineApplied, ResourceApplied, ResourceKind, Stage},
};
use uuid::Uuid;

use crate::domain::{ApplyPipeline, ApplyResource, Command, MemberWish, StageWish};

pub(super) fn resource_id(n: u128) -> ResourceId {
    ResourceId::new(Uuid::from_u128(n))
}

pub(super) fn flow_id(n: u128) -> FlowId {
    FlowId::new(Uuid::from_u128(0xf000 + n))
}

pub(super) fn pipeline_id(n: u128) -> PipelineId {
    PipelineId::new(Uuid::from_u128(0xa000 + n))
}

pub(super) fn applied(n: u128, slug: &str, kind: ResourceKind, spec: Value) -> Event {
    let resource = resource_id(n);
    ResourceApplied { resource, slug: slug.to_owned(), kind, spec, ports: BTreeMap::new() }.into()
}

/// The id that each resource of [`shop`] has.
pub(super) mod id {
    pub(in super::super) const BUILDER: u128 = 1;
    pub(in super::super) const WEB_DEV: u128 = 2;
    pub(in super::super) const WEB_STAGING: u128 = 3;
    pub(in super::super) const MIGRATE: u128 = 4;
    pub(in super::super) const DB: u128 = 5;
    pub(in super::super) const SITE: u128 = 6;
    pub(in super::super) const GIT_JOB: u128 = 7;
    pub(in super::super) const ENV: u128 = 8;
}

/// One resource of each kind, no pipeline.
pub(super) fn resources() -> Vec<Event> {
    let internal = json!({"deployment": {"internal": {"id": "shop-builder"}}});
    vec![
        applied(id::BUILDER, "shop-builder", ResourceKind::BuildService, json!({})),
        applied(id::WEB_DEV, "web-dev", ResourceKind::DeploymentService, internal.clone()),
        applied(id::WEB_STAGING, "web-staging", ResourceKind::DeploymentService, internal.clone()),
        applied(id::MIGRATE, "migrate", ResourceKind::ManualJob, internal),
        applied(id::DB, "shop-db", ResourceKind::Addon, json!({"type": "postgresql"})),
        applied(id::SITE, "site", ResourceKind::CombinedService, json!({})),
        applied(
            id::GIT_JOB,
            "nightly",
            ResourceKind::CronJob,
            json!({"deployment": {"vcs": {"projectUrl": "https://x"}}}),
        ),
        applied(id::ENV, "shop-env", ResourceKind::SecretGroup, json!({})),
    ]
}

/// The three stages with their flows 0, 1 and 2.
pub(super) fn usual_stages() -> Vec<Stage> {
    let names = ["Development", "Staging", "Production"];
    names.iter().zip(0..).map(|(name, n)| Stage { name: (*name).to_owned(), flow: flow_id(n) }).collect()
}

pub(super) fn pipeline(slug: &str) -> PipelineApplied {
    PipelineApplied {
        pipeline: pipeline_id(0),
        slug: slug.to_owned(),
        name: slug.to_owned(),
        description: String::new(),
        stages: usual_stages(),
    }
}

pub(super) fn member(stage: &str, resource: u128) -> Event {
    let resource = resource_id(resource);
    MemberAdded { pipeline: pipeline_id(0), stage: stage.to_owned(), resource }.into()
}

pub(super) fn published(stage: &str, flow: u128, version: u32, document: Value) -> Event {
    FlowPublished {
        flow: flow_id(flow),
        pipeline: pipeline_id(0),
        stage: stage.to_owned(),
        version,
        document,
        reason: String::new(),
    }
    .into()
}

/// The pipeline `shop`: web-dev in Development; web-staging, migrate and shop-db in Staging.
pub(super) fn shop() -> Vec<Event> {
    let mut history = resources();
    history.push(pipeline("shop").into());
    history.push(member("Development", id::WEB_DEV));
    history.extend([id::WEB_STAGING, id::MIGRATE, id::DB].map(|resource| member("Staging", resource)));
    history
}

/// A document whose root workflow has these steps.
pub(super) fn document(steps: Value) -> Value {
    json!({
        "apiVersion": "v1.2",
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}}
    })
}

/// A stage of a declaration, the `n`th.
pub(super) fn stage(n: usize, name: &str, members: &[(&str, &str)]) -> StageWish {
    let pointer = format!("/spec/stages/{n}");
    let members = members
        .iter()
        .enumerate()
        .map(|(index, (id, member_type))| MemberWish {
            id: (*id).to_owned(),
            member_type: (*member_type).to_owned(),
            found_in: None,
            pointer: format!("{pointer}/nfObjects/{index}"),
        })
        .collect();
    StageWish { name: name.to_owned(), members, flow: None, pointer }
}

/// A declaration of the pipeline `slug`; new ids are those of [`pipeline`] and [`usual_stages`].
pub(super) fn declare(slug: &str, stages: Vec<StageWish>) -> Command {
    Command::ApplyPipeline(ApplyPipeline {
        id: pipeline_id(u128::from(slug != "shop")),
        slug: slug.to_owned(),
        name: slug.to_owned(),
        description: String::new(),
        stages,
        new_flows: (0..20).map(flow_id).collect(),
    })
}

pub(super) fn declare_resource(n: u128, slug: &str, kind: ResourceKind, spec: Value) -> ApplyResource {
    ApplyResource { id: resource_id(n), slug: slug.to_owned(), kind, spec, new_ports: BTreeMap::new() }
}
