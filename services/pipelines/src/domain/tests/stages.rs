//! Stages, their order and their flows' versions.

use serde_json::json;
use shipway_events::project::{PipelineApplied, Stage};

use super::{fixtures::*, given};
use crate::domain::{Command, StageWish, Why};

fn names(names: &[&str]) -> Vec<StageWish> {
    names.iter().enumerate().map(|(n, name)| stage(n, name, &[])).collect()
}

#[test]
fn a_pipeline_that_names_some_of_the_usual_stages_has_all_three() {
    for some in [&["Staging"][..], &["Development", "Production"], &[]] {
        given([]).when(declare("shop", names(some))).then(&[pipeline("shop").into()]);
    }
}

#[test]
fn own_stages_are_two_to_twenty() {
    let own = PipelineApplied {
        stages: vec![
            Stage { name: "Test".into(), flow: flow_id(0) },
            Stage { name: "Live".into(), flow: flow_id(1) },
        ],
        ..pipeline("shop")
    };
    given([]).when(declare("shop", names(&["Test", "Live"]))).then(&[own.into()]);
    given([])
        .when(declare("shop", names(&["Test"])))
        .refused(&[("/spec/stages", Why::StageCount { count: 1 })]);
    let many: Vec<String> = (0..21).map(|n| format!("stage-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    given([]).when(declare("shop", names(&many))).refused(&[("/spec/stages", Why::StageCount { count: 21 })]);
}

#[test]
fn stage_names_are_unique() {
    given([])
        .when(declare("shop", names(&["Test", "Live", "test"])))
        .refused(&[("/spec/stages/2/name", Why::StageTwice { name: "test".into() })]);
    for bad in ["", "ab", "a/b", "a--b", "-abc", &"x".repeat(21)] {
        given([])
            .when(declare("shop", names(&["Live", bad])))
            .refused(&[("/spec/stages/1/name", Why::StageName { name: bad.into() })]);
    }
}

#[test]
fn a_stage_can_be_added_anywhere_and_the_others_keep_their_flows() {
    let mut stages = usual_stages();
    stages.insert(1, Stage { name: "Test".into(), flow: flow_id(30) });
    let mut wish = declare("shop", names(&["Development", "Test", "Staging", "Production"]));
    if let Command::ApplyPipeline(wish) = &mut wish {
        wish.new_flows = vec![flow_id(30)];
    }
    given(shop()).when(wish).then(&[PipelineApplied { stages, ..pipeline("shop") }.into()]);
}

#[test]
fn stages_are_neither_left_out_nor_reordered() {
    let own = |order: &[&str]| declare("shop", names(order));
    let history = || given([]).when(own(&["Test", "Live"])).result.unwrap();
    given(history())
        .when(own(&["Test", "Hot"]))
        .refused(&[("/spec/stages", Why::StageLeftOut { name: "Live".into() })]);
    let order = |wanted: &str, now: &str| Why::StageOrder { wanted: wanted.into(), now: now.into() };
    given(history()).when(own(&["Live", "Test"])).refused(&[("/spec/stages", order("Live, Test", "Test, Live"))]);
    given([])
        .when(own(&["Staging", "Development"]))
        .refused(&[("/spec/stages", order("Staging, Development", "Development, Staging, Production"))]);
}

#[test]
fn a_flow_has_a_new_version_only_when_its_document_changes() {
    let with = |document: serde_json::Value| {
        let mut stages = names(&["Development"]);
        stages[0].flow = Some(document);
        declare("shop", stages)
    };
    let (one, two) = (document(json!([])), document(json!([{"kind": "Noop", "spec": {}}])));
    given(shop())
        .when(with(one.clone()))
        .then(&[published("Development", 0, 1, one.clone())])
        .when(with(two.clone()))
        .then(&[published("Development", 0, 2, two)])
        .when(with(one.clone()))
        .then(&[published("Development", 0, 3, one)]);
}

#[test]
fn a_pipelines_name_has_3_to_100_characters() {
    let why = Why::NameLength { name: "ab".into(), kind: "Pipeline".into(), most: 100 };
    given([]).when(declare("ab", names(&[]))).refused(&[("/spec/name", why)]);
}
