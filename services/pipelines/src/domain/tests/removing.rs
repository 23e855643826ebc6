//! Removing members and deleting pipelines.

use serde_json::json;
use shipway_events::{
    HookId,
    project::{Event, FlowPublished, HookCreated, HookSource, MemberRemoved, OverrideSet, PipelineDeleted},
};
use uuid::Uuid;

use super::{fixtures::*, given};
use crate::domain::{Command, Why, member_removal, removal::describe};

fn remove(slug: &str) -> Command {
    Command::RemoveMember { resource: slug.into() }
}

fn removed(stage: &str, resource: u128) -> Event {
    let resource = resource_id(resource);
    MemberRemoved { pipeline: pipeline_id(0), stage: stage.into(), resource }.into()
}

/// Development releases to web-dev; Staging promotes from it, three levels deep, and tells about it.
fn flows() -> Vec<Event> {
    let development = document(json!([
        {"kind": "Build", "ref": "b", "spec": {"id": "shop-builder"}},
        {"kind": "Release", "ref": "deploy", "spec": {
            "type": "build", "origin": {"id": "shop-builder"}, "target": {"id": "web-dev", "type": "service"}}},
        {"kind": "Message", "ref": "tell", "spec": {"message": "${refs.deploy.id} of ${refs.b.sha}"}}
    ]));
    let staging = document(json!([
        {"kind": "AddonBackup", "ref": "backup", "spec": {"addonId": "shop-db"}},
        {"kind": "Workflow", "spec": {"type": "parallel", "steps": [
            {"kind": "Workflow", "spec": {"type": "sequential", "steps": [
                {"kind": "Release", "ref": "promote", "spec": {
                    "type": "deployment", "origin": {"id": "web-dev", "type": "service"},
                    "target": {"id": "web-staging", "type": "service"}}},
                {"kind": "Action", "ref": "warm", "spec": {"kind": "Service", "spec": {
                    "type": "execute", "data": {"serviceId": "web-staging", "command": "${refs.promote.id}"}}}}
            ]}},
            {"kind": "JobRun", "ref": "migrate", "spec": {"jobId": "migrate"}}
        ]}}
    ]));
    vec![published("Development", 0, 1, development), published("Staging", 1, 4, staging)]
}

#[test]
fn a_member_that_no_flow_names_just_leaves_its_stage() {
    given(shop()).when(remove("migrate")).then(&[removed("Staging", id::MIGRATE)]);
}

#[test]
fn the_resource_itself_stays() {
    let after = given(shop()).when(remove("migrate")).then(&[removed("Staging", id::MIGRATE)]);
    assert!(after.0.resources.contains_key("migrate"));
    assert_eq!(after.0.stage_of(resource_id(id::MIGRATE)), None);
}

#[test]
fn every_node_that_refers_to_it_goes_with_it_in_all_flows_and_at_every_depth() {
    let given = given(shop().into_iter().chain(flows()));
    let went = |slug: &str| -> Vec<String> {
        let removal = member_removal(&given.0, slug).unwrap();
        let nodes = removal.flows.iter().flat_map(|flow| flow.nodes.iter().map(move |node| (flow, node)));
        nodes.map(|(flow, node)| format!("{} {}: {}", flow.path, describe(node), node.reason)).collect()
    };
    let deep = "/spec/spec/steps/1/spec/steps/0/spec/steps";
    assert_eq!(
        went("web-dev"),
        [
            "shop/development Release /spec/spec/steps/1 (ref deploy): it names `web-dev`".to_owned(),
            "shop/development Message /spec/spec/steps/2 (ref tell): it needs an output of `deploy`, which goes"
                .to_owned(),
            format!("shop/staging Release {deep}/0 (ref promote): it names `web-dev`"),
            format!("shop/staging Action {deep}/1 (ref warm): it needs an output of `promote`, which goes"),
        ]
    );
    assert_eq!(
        went("migrate"),
        ["shop/staging JobRun /spec/spec/steps/1/spec/steps/1 (ref migrate): it names `migrate`"]
    );
}

#[test]
fn the_flows_get_new_versions_that_say_why() {
    let given = given(shop().into_iter().chain(flows()));
    let events = given.when(remove("web-dev")).result.unwrap();
    assert_eq!(events[0], removed("Development", id::WEB_DEV));
    let Event::FlowPublished(FlowPublished { version: 2, document: left, reason, .. }) = &events[1] else {
        panic!("{:?}", events[1]);
    };
    assert_eq!(*left, document(json!([{"kind": "Build", "ref": "b", "spec": {"id": "shop-builder"}}])));
    assert_eq!(
        reason,
        "web-dev left its stage; taken out: Release /spec/spec/steps/1 (ref deploy), Message /spec/spec/steps/2 \
         (ref tell)"
    );
    let Event::FlowPublished(FlowPublished { version: 5, document, .. }) = &events[2] else {
        panic!("{:?}", events[2]);
    };
    let deepest = document.pointer("/spec/spec/steps/1/spec/steps/0/spec/steps").unwrap();
    assert_eq!(*deepest, json!([]), "workflows stay, also empty ones");
    assert_eq!(document.pointer("/spec/spec/steps").unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn only_members_can_be_removed() {
    let suggestion = " Did you mean `migrate`?".to_owned();
    given(shop())
        .when(remove("migrat"))
        .refused(&[("", Why::NoSuchResource { id: "migrat".into(), suggestion })]);
    given(resources()).when(remove("migrate")).refused(&[("", Why::NotAMember { slug: "migrate".into() })]);
}

#[test]
fn deleting_a_pipeline_leaves_its_resources() {
    let flows_of = vec![flow_id(0), flow_id(1), flow_id(2)];
    let hook = |n: u128, source| -> Event {
        let hook = HookId::new(Uuid::from_u128(n));
        HookCreated { hook, source, secret: None, options: serde_json::Map::new() }.into()
    };
    let overridden: Event =
        OverrideSet { flow: flow_id(1), argument: "A".into(), secret: None, plain: Some(json!(1)) }.into();
    let history = shop().into_iter().chain(flows()).chain([
        hook(1, HookSource::Flow { flow: flow_id(1) }),
        hook(2, HookSource::Git { repo_url: "https://a".into() }),
        overridden,
    ]);
    let deleted = PipelineDeleted { pipeline: pipeline_id(0), slug: "shop".into(), flows: flows_of };
    let after =
        given(history).when(Command::DeletePipeline { pipeline: "shop".into() }).then(&[deleted.into()]).0;
    assert_eq!(after.resources.len(), resources().len());
    assert!(after.members.is_empty() && after.flows.is_empty() && after.overrides.is_empty());
    assert_eq!(after.hooks.len(), 1, "the repository's hook stays, the flow's goes");
}

#[test]
fn an_unknown_pipeline_is_not_deleted() {
    let suggestion = " Did you mean `shop`?".to_owned();
    given(shop())
        .when(Command::DeletePipeline { pipeline: "shp".into() })
        .refused(&[("", Why::NoSuchPipeline { slug: "shp".into(), suggestion })]);
}
