//! Removing members, deleting pipelines.

use serde_json::Value;
use shipway_contracts::v1::{DeletePipelineRequest, GetFlowRequest, RemoveMemberReply, RemoveMemberRequest};
use tonic::Code;

use crate::support::{Lab, SHOP, command, lines};

async fn remove(lab: &Lab, resource: &str, dry_run: bool) -> Result<RemoveMemberReply, tonic::Status> {
    let asked = RemoveMemberRequest {
        command: command(),
        project: "shop".into(),
        resource: resource.into(),
        dry_run,
    };
    lab.pipelines().remove_member(asked).await.map(tonic::Response::into_inner)
}

const GOES: [&str; 5] = [
    "remove Member shop/Development web-dev: the resource goes on running",
    "remove FlowNode shop/development /spec/spec/steps/1 (ref deploy): Release: it names `web-dev`",
    "remove FlowNode shop/staging /spec/spec/steps/1/spec/steps/0 (ref promote): Release: it names `web-dev`",
    "update Flow shop/development: version 2",
    "update Flow shop/staging: version 2",
];

#[tokio::test]
async fn a_dry_run_lists_every_node_that_would_go_and_the_real_one_takes_them() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let head = lab.head().await;
    let dry = remove(&lab, "web-dev", true).await.unwrap();
    let mut told = lines(&dry.changes);
    told.sort();
    let mut expected = GOES.map(str::to_owned);
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!((dry.position, lab.head().await), (0, head));

    let real = remove(&lab, "web-dev", false).await.unwrap();
    assert_eq!(real.changes, dry.changes);
    assert_eq!(real.position, lab.head().await);

    let flow = lab.flow("shop/staging").await.unwrap();
    assert_eq!(flow.version, 2);
    assert!(!flow.document_json.contains("promote"));
    let web_dev = flow.resources.iter().find(|resource| resource.slug == "web-dev").unwrap();
    assert!(web_dev.unusable.contains("in no stage"), "{}", web_dev.unusable);

    let asked = GetFlowRequest { project: String::new(), flow: "shop/staging".into(), version: 0 };
    let newest = lab.pipelines().get_flow(asked.clone()).await.unwrap().into_inner();
    assert!(newest.reason.starts_with("web-dev left its stage; taken out: Release"), "{}", newest.reason);
    let first =
        lab.pipelines().get_flow(GetFlowRequest { version: 1, ..asked.clone() }).await.unwrap().into_inner();
    assert!(first.document_json.contains("promote"));
    let none = lab.pipelines().get_flow(GetFlowRequest { version: 9, ..asked }).await.unwrap_err();
    assert_eq!(
        (none.code(), none.message()),
        (Code::NotFound, "shop/staging has no version 9; its newest is 2")
    );
}

#[tokio::test]
async fn the_same_removal_again_is_answered_the_same_and_another_one_refused() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let asked = RemoveMemberRequest {
        command: command(),
        project: String::new(),
        resource: "smoke".into(),
        dry_run: false,
    };
    let first = lab.pipelines().remove_member(asked.clone()).await.unwrap().into_inner();
    let again = lab.pipelines().remove_member(asked).await.unwrap().into_inner();
    assert_eq!(again, first);
    let refused = remove(&lab, "smoke", false).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("`smoke` is not a member of any stage"), "{}", refused.message());
    let unknown = remove(&lab, "web-dve", false).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("Did you mean `web-dev`?"), "{}", unknown.message());
}

#[tokio::test]
async fn a_deleted_pipeline_takes_its_flows_and_leaves_its_resources() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let delete = |dry_run| DeletePipelineRequest {
        command: command(),
        project: "shop".into(),
        pipeline: "shop".into(),
        dry_run,
    };
    let dry = lab.pipelines().delete_pipeline(delete(true)).await.unwrap().into_inner();
    let mut told = lines(&dry.changes);
    told.sort();
    assert_eq!(
        told,
        [
            "remove Flow shop/development: queued runs end with this reason",
            "remove Flow shop/staging: queued runs end with this reason",
            "remove Member shop/Development smoke: the resource goes on running",
            "remove Member shop/Development web-dev: the resource goes on running",
            "remove Member shop/Staging shop-db: the resource goes on running",
            "remove Member shop/Staging web: the resource goes on running",
            "remove Pipeline shop",
        ]
    );
    let flow = lab.flow("shop/staging").await.unwrap().flow;
    let real = lab.pipelines().delete_pipeline(delete(false)).await.unwrap().into_inner();
    assert_eq!(real.changes, dry.changes);
    for name in ["shop/staging", flow.as_str()] {
        assert_eq!(lab.flow(name).await.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(lab.hooks().await.triggers.len(), 0);

    // The resources are there, and can be members of a new pipeline of the same name.
    let again = lab.applied(SHOP).await;
    let told = lines(&again.changes);
    assert!(told.contains(&"create Member shop/Staging web".to_owned()), "{told:#?}");
    assert!(told.contains(&"unchanged DeploymentService web".to_owned()), "{told:#?}");
    let document: Value =
        serde_json::from_str(&lab.flow("shop/staging").await.unwrap().document_json).unwrap();
    assert_eq!(document["triggers"][0]["spec"], serde_json::json!({}));
}
