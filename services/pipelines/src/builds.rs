//! What a build service builds by itself: pushes that match its own rules. Pure.
//!
//! Its rules are a trigger like a flow's, of the one-node flow that builds it, so that they are judged with the flows'
//! triggers, word for word, and replayed, paused and explained like them.

use serde_json::{Value, json};
use shipway_contracts::v1::{FlowForRunReply, TriggerRecord};
use shipway_events::project::ResourceKind;

use crate::{
    domain::{Accounts, Resource},
    world::Project,
};

/// The ref of the trigger in the one-node flow.
const TRIGGER: &str = "ci";

/// The repository whose pushes build the resource by themselves; none if nothing does.
pub(crate) fn repository(resource: &Resource) -> Option<&str> {
    let spec = &resource.spec;
    let off = spec.get("disabledCI").is_some_and(|off| *off == true || *off == "true");
    let names = |rules: &str| {
        let rules = spec.pointer("/buildConfiguration").and_then(|configuration| configuration.get(rules));
        rules.and_then(Value::as_array).is_some_and(|rules| !rules.is_empty())
    };
    let any = names("branchRestrictions") || names("prRestrictions");
    if resource.kind != ResourceKind::BuildService || off || !any {
        return None;
    }
    spec.pointer("/vcsData/projectUrl").and_then(Value::as_str)
}

/// The triggers of all build services of a project.
pub(crate) fn records(project: &Project) -> impl Iterator<Item = TriggerRecord> {
    project.state.resources.values().filter_map(move |resource| {
        repository(resource)?;
        Some(TriggerRecord {
            project: project.id.to_string(),
            flow: resource.id.to_string(),
            path: path(project, resource),
            flow_version: resource.revision,
            trigger_json: trigger(resource).to_string(),
            paused: false,
            secret_arguments: Vec::new(),
        })
    })
}

/// What a run that builds a push pins.
pub(crate) fn flow(accounts: &Accounts, project: &Project, resource: &Resource) -> FlowForRunReply {
    let commit = |value: &str| format!("${{triggers.{TRIGGER}.{value}}}");
    let node = json!({
        "kind": "Build", "ref": "build", "condition": "success",
        "spec": {"id": resource.slug, "type": "service", "branch": commit("branch"), "sha": commit("sha")},
    });
    crate::api::one_node(accounts, project, resource, &path(project, resource), &node)
}

fn path(project: &Project, resource: &Resource) -> String {
    format!("build/{}/{}", project.slug, resource.slug)
}

/// The rules in the form of a release flow's trigger, whose words a build service has too.
fn trigger(resource: &Resource) -> Value {
    let spec = &resource.spec;
    let mut trigger = json!({"type": "git", "ref": TRIGGER});
    for (name, from) in [
        ("repoUrl", "/vcsData/projectUrl"),
        ("vcsService", "/vcsData/projectType"),
        ("accountLogin", "/vcsData/accountLogin"),
        ("vcsLinkId", "/vcsData/vcsLinkId"),
        ("selfHostedVcsId", "/vcsData/selfHostedVcsId"),
        ("branchRestrictions", "/buildConfiguration/branchRestrictions"),
        ("prRestrictions", "/buildConfiguration/prRestrictions"),
        ("pathIgnoreRules", "/buildConfiguration/pathIgnoreRules"),
        ("isAllowList", "/buildConfiguration/isAllowList"),
        ("ciIgnoreFlagsEnabled", "/buildConfiguration/ciIgnoreFlagsEnabled"),
        ("ciIgnoreFlags", "/buildConfiguration/ciIgnoreFlags"),
        ("ignoreDrafts", "/buildConfiguration/ignoreDrafts"),
    ] {
        if let Some(value) = spec.pointer(from).filter(|value| !value.is_null()) {
            trigger[name] = value.clone();
        }
    }
    trigger
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use shipway_events::ResourceId;
    use uuid::Uuid;

    use super::*;

    fn resource(kind: ResourceKind, change: impl FnOnce(&mut Value)) -> Resource {
        let mut spec = json!({
            "vcsData": {"projectUrl": "https://github.com/acme/api", "projectType": "github"},
            "buildConfiguration": {
                "branchRestrictions": ["main", "release/*"], "prRestrictions": [],
                "pathIgnoreRules": ["docs/**"], "isAllowList": false, "ciIgnoreFlagsEnabled": true,
            },
        });
        change(&mut spec);
        let (id, slug) = (ResourceId::new(Uuid::from_u128(1)), "api".to_owned());
        Resource { id, slug, kind, spec, ports: BTreeMap::new(), revision: 3, delivery: Default::default() }
    }

    #[test]
    fn what_is_built_by_itself() {
        let built = |change: fn(&mut Value)| {
            repository(&resource(ResourceKind::BuildService, change)).map(str::to_owned)
        };
        assert_eq!(built(|_| ()).as_deref(), Some("https://github.com/acme/api"));
        assert_eq!(built(|spec| spec["disabledCI"] = json!(true)), None);
        assert_eq!(
            built(|spec| spec["disabledCI"] = json!(false)).as_deref(),
            Some("https://github.com/acme/api")
        );
        assert_eq!(built(|spec| spec["buildConfiguration"] = json!({"branchRestrictions": []})), None);
        assert!(built(|spec| spec["buildConfiguration"] = json!({"prRestrictions": ["*"]})).is_some());
        assert_eq!(built(|spec| spec["buildConfiguration"] = Value::Null), None);
        assert_eq!(repository(&resource(ResourceKind::DeploymentService, |_| ())), None);
    }

    #[test]
    fn its_rules_are_a_trigger() {
        assert_eq!(
            trigger(&resource(ResourceKind::BuildService, |_| ())),
            json!({
                "type": "git", "ref": "ci", "repoUrl": "https://github.com/acme/api", "vcsService": "github",
                "branchRestrictions": ["main", "release/*"], "prRestrictions": [],
                "pathIgnoreRules": ["docs/**"], "isAllowList": false, "ciIgnoreFlagsEnabled": true,
            })
        );
    }
}
