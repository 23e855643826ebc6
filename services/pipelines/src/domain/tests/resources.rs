//! Making and changing resources, overrides and hooks.

use std::collections::BTreeMap;

use serde_json::json;
use shipway_events::{
    HookId,
    project::{Event, HookCreated, HookSource, OverrideSet, ResourceApplied, ResourceKind::*},
};
use uuid::Uuid;

use super::{fixtures::*, given};
use crate::domain::{Command, CreateHook, Override, SetOverride, Why};

#[test]
fn a_resource_is_made_once_and_changed_when_its_spec_changes() {
    let spec = json!({"type": "postgresql"});
    let given = given([])
        .when(Command::ApplyResource(declare_resource(1, "shop-db", Addon, spec.clone())))
        .then(&[applied(1, "shop-db", Addon, spec.clone())]);
    let other_id_same_spec = declare_resource(99, "shop-db", Addon, spec);
    let given = given.when(Command::ApplyResource(other_id_same_spec)).then(&[]);
    let changed = json!({"type": "postgresql", "version": "16"});
    given
        .when(Command::ApplyResource(declare_resource(99, "shop-db", Addon, changed.clone())))
        .then(&[applied(1, "shop-db", Addon, changed)]);
}

#[test]
fn a_port_is_given_once_and_kept_also_when_the_name_is_dropped() {
    let with = |ports: &[(&str, u16)]| {
        let mut wish = declare_resource(1, "web-dev", DeploymentService, json!({"ports": ports.len()}));
        wish.new_ports = ports.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect();
        Command::ApplyResource(wish)
    };
    let event = |count: usize, ports: &[(&str, u16)]| -> Event {
        let ports: BTreeMap<_, _> = ports.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect();
        let (slug, kind) = ("web-dev".to_owned(), DeploymentService);
        ResourceApplied { resource: resource_id(1), slug, kind, spec: json!({"ports": count}), ports }.into()
    };
    given([])
        .when(with(&[("http", 7500)]))
        .then(&[event(1, &[("http", 7500)])])
        .when(with(&[("http", 7600), ("admin", 7501)]))
        .then(&[event(2, &[("http", 7500), ("admin", 7501)])])
        .when(with(&[]))
        .then(&[event(0, &[("http", 7500), ("admin", 7501)])]);
}

#[test]
fn a_port_of_another_resource_is_refused() {
    let mut first = declare_resource(1, "web-dev", DeploymentService, json!({}));
    first.new_ports.insert("http".into(), 7500);
    let mut second = declare_resource(2, "web-two", DeploymentService, json!({}));
    second.new_ports.insert("http".into(), 7500);
    let made = ResourceApplied {
        resource: first.id,
        slug: first.slug.clone(),
        kind: first.kind,
        spec: json!({}),
        ports: first.new_ports.clone(),
    };
    let why =
        Why::PortTaken { slug: "web-two".into(), port: 7500, name: "http".into(), other: "web-dev".into() };
    given([made.into()]).when(Command::ApplyResource(second)).refused(&[("/spec/ports", why)]);
}

#[test]
fn a_resource_keeps_its_kind() {
    let wish = declare_resource(9, "web-dev", ManualJob, json!({}));
    let why = Why::KindChange {
        slug: "web-dev".into(),
        now: "DeploymentService".into(),
        wanted: "ManualJob".into(),
    };
    given(resources()).when(Command::ApplyResource(wish)).refused(&[("/kind", why)]);
}

#[test]
fn a_name_has_the_length_of_its_kind() {
    for (kind, most) in [(DeploymentService, 54), (CronJob, 52), (Addon, 39), (SecretGroup, 100)] {
        let fits = "x".repeat(most);
        let events = [applied(1, &fits, kind, json!({}))];
        given([]).when(Command::ApplyResource(declare_resource(1, &fits, kind, json!({})))).then(&events);
        for name in ["ab".to_owned(), "x".repeat(most + 1)] {
            let why = Why::NameLength { name: name.clone(), kind: kind.to_string(), most };
            given([])
                .when(Command::ApplyResource(declare_resource(1, &name, kind, json!({}))))
                .refused(&[("/spec/name", why)]);
        }
    }
}

#[test]
fn a_member_cannot_turn_to_a_git_source() {
    let spec = json!({"deployment": {"vcs": {"projectUrl": "https://x"}}});
    let why = Why::MemberBuildsFromGit { slug: "migrate".into(), stage: "shop/Staging".into() };
    given(shop())
        .when(Command::ApplyResource(declare_resource(id::MIGRATE, "migrate", ManualJob, spec.clone())))
        .refused(&[("/spec/deployment/vcs", why)]);
    given(resources())
        .when(Command::ApplyResource(declare_resource(id::MIGRATE, "migrate", ManualJob, spec.clone())))
        .then(&[applied(id::MIGRATE, "migrate", ManualJob, spec)]);
}

#[test]
fn an_override_is_secret_by_name_or_plain_and_set_once() {
    let secret: shipway_events::SecretRef = "override/x/TOKEN@1".parse().unwrap();
    let wish = |argument: &str, value| {
        Command::SetOverride(SetOverride { flow: flow_id(1), argument: argument.into(), value })
    };
    let set = |argument: &str, secret, plain| -> Event {
        OverrideSet { flow: flow_id(1), argument: argument.into(), secret, plain }.into()
    };
    given(shop())
        .when(wish("TOKEN", Override::Secret(secret.clone())))
        .then(&[set("TOKEN", Some(secret), None)])
        .when(wish("REGION", Override::Plain(json!("eu"))))
        .then(&[set("REGION", None, Some(json!("eu")))]);
}

#[test]
fn an_override_needs_a_flow_and_a_proper_name() {
    let wish = |flow, argument: &str| {
        let value = Override::Plain(json!(1));
        Command::SetOverride(SetOverride { flow, argument: argument.into(), value })
    };
    given(shop())
        .when(wish(flow_id(77), "A"))
        .refused(&[("", Why::NoSuchFlow { flow: flow_id(77).to_string() })]);
    for bad in ["", "a b", "a/b"] {
        given(shop())
            .when(wish(flow_id(1), bad))
            .refused(&[("", Why::BadArgumentName { argument: bad.into() })]);
    }
}

#[test]
fn a_repository_has_one_hook() {
    let hook = |n: u128, url: &str| CreateHook {
        hook: HookId::new(Uuid::from_u128(n)),
        source: HookSource::Git { repo_url: url.into() },
        secret: format!("hook/{n}@1").parse().ok(),
    };
    let created = |wish: &CreateHook| -> Event {
        HookCreated {
            hook: wish.hook,
            source: wish.source.clone(),
            secret: wish.secret.clone(),
            options: serde_json::Map::new(),
        }
        .into()
    };
    let (first, other) = (hook(1, "https://a"), hook(3, "https://b"));
    let events = [created(&first), created(&other)];
    given([])
        .when(Command::CreateHook(first))
        .then(&events[..1])
        .when(Command::CreateHook(hook(2, "https://a")))
        .then(&[])
        .when(Command::CreateHook(other))
        .then(&events[1..]);
}
