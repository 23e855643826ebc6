//! What must never happen, whatever order people do things in.

use proptest::prelude::*;
use serde_json::json;

use super::{fixtures::*, given};
use crate::domain::{Command, decide, evolve};

fn anything() -> impl Strategy<Value = Command> {
    let slugs = || {
        prop::sample::select(vec![
            "shop-builder",
            "web-dev",
            "web-staging",
            "migrate",
            "shop-db",
            "site",
            "nightly",
            "shop-env",
        ])
    };
    let stages = || prop::sample::select(vec!["Development", "Staging", "Production"]);
    let pipelines = || prop::sample::select(vec!["shop", "other"]);
    prop_oneof![
        4 => (pipelines(), stages(), slugs(), slugs()).prop_map(|(pipeline, name, first, second)| {
            let mut wish = stage(0, name, &[(first, ""), (second, "")]);
            wish.flow = Some(document(json!([
                {"kind": "Release", "ref": "r", "spec": {
                    "type": "deployment", "target": {"id": first, "type": "service"},
                    "origin": {"id": second, "type": "service"}}},
                {"kind": "Workflow", "spec": {"type": "parallel", "steps": [
                    {"kind": "JobRun", "spec": {"jobId": second}},
                    {"kind": "AddonBackup", "spec": {"addonId": first}},
                ]}},
            ])));
            let Command::ApplyPipeline(mut apply) = declare(pipeline, vec![wish]) else { unreachable!() };
            let offset = if pipeline == "shop" { 0 } else { 100 };
            apply.new_flows = (offset..offset + 20).map(flow_id).collect();
            Command::ApplyPipeline(apply)
        }),
        2 => slugs().prop_map(|slug| Command::RemoveMember { resource: slug.into() }),
        1 => pipelines().prop_map(|slug| Command::DeletePipeline { pipeline: slug.into() }),
    ]
}

proptest! {
    #[test]
    fn members_are_of_a_stage_that_exists_and_may_be_members(
        commands in prop::collection::vec(anything(), 1..40)
    ) {
        let mut state = given(resources()).0;
        for command in commands {
            let Ok(events) = decide(&state, &command) else { continue };
            state = events.iter().fold(state, evolve);
            for (id, membership) in &state.members {
                let resource = state.resource(*id).expect("a member is a resource");
                prop_assert!(!resource.builds_from_git());
                prop_assert!(!matches!(resource.slug.as_str(), "shop-builder" | "shop-env"));
                let pipeline = state.pipeline(membership.pipeline).expect("its pipeline exists");
                prop_assert!(pipeline.stages.iter().any(|stage| stage.name == membership.stage));
            }
            for flow in state.flows.values() {
                for (version, n) in flow.versions.iter().zip(1..) {
                    prop_assert_eq!(version.version, n);
                }
            }
            if let Command::RemoveMember { resource } = &command {
                let named = serde_json::to_string(resource).unwrap();
                for newest in state.flows.values().filter_map(|flow| flow.newest()) {
                    prop_assert!(!newest.document.to_string().contains(&named));
                }
            }
            prop_assert_eq!(state.resources.len(), resources().len());
        }
    }
}
