//! Differences of a flow's versions.

use serde_json::{Value, json};
use shipway_contracts::v1::{
    DiffFlowReply, DiffFlowRequest, GetFlowRequest, RemoveMemberRequest, SourceFile,
};
use tonic::Code;

use crate::support::{Lab, SHOP, command};

async fn diff(lab: &Lab, request: DiffFlowRequest) -> Result<(DiffFlowReply, Value), tonic::Status> {
    let reply = lab.pipelines().diff_flow(request).await?.into_inner();
    let difference = serde_json::from_str(&reply.difference_json).unwrap();
    Ok((reply, difference))
}

#[tokio::test]
async fn versions_and_texts_are_compared_by_their_nodes() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let asked = DiffFlowRequest { flow: "shop/staging".into(), ..DiffFlowRequest::default() };

    let (reply, first) = diff(&lab, asked.clone()).await.unwrap();
    assert_eq!((reply.from_version, reply.to_version), (0, 1));
    assert!(first["nodes"].as_array().unwrap().iter().all(|node| node["fate"] == "added"), "{first}");

    let gone = RemoveMemberRequest {
        command: command(),
        project: "shop".into(),
        resource: "web-dev".into(),
        dry_run: false,
    };
    lab.pipelines().remove_member(gone).await.unwrap();
    let (reply, second) = diff(&lab, asked.clone()).await.unwrap();
    assert_eq!((reply.from_version, reply.to_version), (1, 2));
    let told = |difference: &Value| -> Vec<String> {
        let nodes = difference["nodes"].as_array().unwrap().iter();
        nodes
            .map(|node| format!("{} {}", node["fate"].as_str().unwrap(), node["name"].as_str().unwrap()))
            .collect()
    };
    assert_eq!(told(&second), ["removed promote"]);

    let back = DiffFlowRequest { from_version: 2, to_version: 1, ..asked.clone() };
    assert_eq!(told(&diff(&lab, back).await.unwrap().1), ["added promote"]);

    let newest = GetFlowRequest { flow: "shop/staging".into(), ..GetFlowRequest::default() };
    let newest = lab.pipelines().get_flow(newest).await.unwrap().into_inner().document_json;
    let same = SourceFile { name: "flow.json".into(), text: newest };
    let draft = DiffFlowRequest { to_file: Some(same.clone()), ..asked.clone() };
    assert_eq!(diff(&lab, draft).await.unwrap().1, json!({}));

    let broken = SourceFile { name: "flow.yaml".into(), text: "a: [".into() };
    let refused = diff(&lab, DiffFlowRequest { to_file: Some(broken), ..asked.clone() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("flow.yaml:2:1"), "{}", refused.message());
    let none = diff(&lab, DiffFlowRequest { from_version: 9, ..asked }).await.unwrap_err();
    assert_eq!(none.message(), "shop/staging has no version 9; its newest is 2");
}
