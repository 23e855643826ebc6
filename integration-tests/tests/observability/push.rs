//! A signed push that starts a flow of three nodes.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use shipway_integration_tests::{
    cluster::Cluster,
    shipway::{Shipway, http},
};

const PIPELINE: &str = r#"
kind: Project
spec: {name: lab, region: local}
---
kind: Pipeline
spec:
  name: lab
  projectId: lab
  stages:
    - name: Development
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          triggers:
            - ref: app
              vcsService: github
              repoUrl: https://github.com/example/lab
              branchRestrictions: [main]
              prRestrictions: []
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {kind: Noop, ref: first, spec: {}}
                - kind: Workflow
                  ref: both
                  spec:
                    type: parallel
                    steps:
                      - {kind: Noop, ref: left, spec: {}}
                      - {kind: Noop, ref: right, spec: {}}
    - name: Staging
    - name: Production
"#;

/// Declares the flow and pushes once, within a trace if one is given; the run's id.
pub(crate) async fn push(shipway: &Shipway, traceparent: Option<&str>) -> String {
    let file = shipway.data().join("lab.yaml");
    std::fs::write(&file, PIPELINE).unwrap();
    let applied = shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    deliver(&applied["hooks"][0], traceparent).await
}

/// The same on a cluster.
pub(crate) async fn push_to_cluster(cluster: &Cluster, traceparent: &str) -> String {
    let applied = cluster.apply(PIPELINE).unwrap();
    deliver(&applied["hooks"][0], Some(traceparent)).await
}

async fn deliver(hook: &serde_json::Value, traceparent: Option<&str>) -> String {
    let sha = "3f2a91c03f2a91c03f2a91c03f2a91c03f2a91c0";
    let body = json!({
        "ref": "refs/heads/main", "before": "0".repeat(40), "after": sha, "created": true, "deleted": false,
        "forced": false, "commits": [], "head_commit": {"id": sha, "message": "a change"},
        "repository": {"clone_url": "https://github.com/example/lab.git", "html_url": "https://github.com/example/lab"},
        "sender": {"login": "somebody"}
    })
    .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(hook["secret"].as_str().unwrap().as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let mut request = http()
        .post(hook["url"].as_str().unwrap())
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", "d-1")
        .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())));
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: serde_json::Value = answer.json().await.unwrap();
    answer["runs"][0]["id"].as_str().unwrap().to_owned()
}
