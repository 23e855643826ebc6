//! Webhooks: made once, their secrets told once, and handed to the service that receives deliveries.

use serde_json::{Value, json};
use shipway_contracts::v1::{ListHooksRequest, PauseFlowRequest};
use uuid::Uuid;

use crate::support::{Lab, SHOP};

#[tokio::test]
async fn each_repository_and_each_flow_with_an_address_gets_a_hook_whose_secret_is_told_once() {
    let lab = Lab::new().await;
    let reply = lab.applied(SHOP).await;
    let [git, flow] = reply.hooks.as_slice() else { panic!("{:?}", reply.hooks) };
    let (git, flow) = if git.kind == "git" { (git, flow) } else { (flow, git) };
    assert_eq!(
        (git.of.as_str(), git.path.clone()),
        ("file:///srv/shop.git", format!("/hooks/github/{}", git.id))
    );
    assert_eq!((flow.of.as_str(), flow.path.clone()), ("shop/staging", format!("/hooks/flow/{}", flow.id)));
    assert_eq!(git.secret.len(), 43);

    // Another flow with the same repository, and another spelling of it.
    let more = SHOP.replace(
        "triggers: [{ kind: webhook",
        "triggers: [{ ref: same, vcsService: github, repoUrl: \"file:///srv/shop\", branchRestrictions: [main] }, \
         { ref: by-hand, vcsService: github, repoUrl: \"https://other\", manualOnly: true }, { kind: webhook",
    );
    assert_eq!(lab.applied(&more).await.hooks.len(), 0);

    let listed =
        lab.projects().list_hooks(ListHooksRequest { project: "shop".into() }).await.unwrap().into_inner();
    assert_eq!(listed.hooks.len(), 2);
    assert!(listed.hooks.iter().all(|hook| hook.secret.is_empty()));
}

#[tokio::test]
async fn the_receiver_gets_all_hooks_with_their_secrets_and_all_triggers() {
    let lab = Lab::new().await;
    let made = lab.applied(SHOP).await.hooks;
    lab.set("shop/development", "GREETING", "a-secret-greeting", false).await.unwrap();
    let lab = lab.restarted().await;
    let reply = lab.hooks().await;
    let git = reply.hooks.iter().find(|hook| hook.kind == "git").unwrap();
    let told = made.iter().find(|hook| hook.kind == "git").unwrap();
    assert_eq!((&git.id, git.secrets.as_slice()), (&told.id, [told.secret.clone()].as_slice()));
    assert_eq!((git.repo_url.as_str(), git.project_slug.as_str()), ("file:///srv/shop.git", "shop"));

    let triggers: Vec<(&str, Value)> = reply
        .triggers
        .iter()
        .map(|trigger| (trigger.path.as_str(), serde_json::from_str(&trigger.trigger_json).unwrap()))
        .collect();
    assert_eq!(triggers.len(), 2);
    let push = &triggers.iter().find(|(path, _)| *path == "shop/development").unwrap().1;
    assert_eq!((&push["kind"], &push["ref"]), (&json!("vcs-push"), &json!("app")));
    assert_eq!(push["spec"]["vcs"]["repoUrl"], "file:///srv/shop.git");
    assert_eq!(push["spec"]["branchNamePatterns"], json!(["main"]));
    let webhook = &triggers.iter().find(|(path, _)| *path == "shop/staging").unwrap().1;
    assert_eq!(webhook["spec"]["token"], "canary-token-canary-token-canary-token");

    let development = reply.triggers.iter().find(|trigger| trigger.path == "shop/development").unwrap();
    assert_eq!(development.secret_arguments, ["GREETING"]);
    assert!(!development.paused);
}

#[tokio::test]
async fn a_paused_flow_says_so() {
    let lab = Lab::new().await;
    lab.applied(&SHOP.replacen("apiVersion: v1.2", "options: { paused: true }", 1)).await;
    let reply = lab.hooks().await;
    let paused: Vec<_> =
        reply.triggers.iter().map(|trigger| (trigger.path.as_str(), trigger.paused)).collect();
    assert!(
        paused.contains(&("shop/development", true)) && paused.contains(&("shop/staging", false)),
        "{paused:?}"
    );
    assert!(lab.flow("shop/development").await.unwrap().paused);
}

#[tokio::test]
async fn a_person_pauses_a_flow_over_new_versions_and_resumes_it() {
    let lab = Lab::new().await;
    lab.applied(SHOP).await;
    let pause = async |lab: &Lab, flow: &str, paused: bool| {
        let request = PauseFlowRequest {
            command: Uuid::now_v7().to_string(),
            project: "shop".to_owned(),
            flow: flow.to_owned(),
            paused,
            reason: "the database moves".to_owned(),
        };
        lab.pipelines().pause_flow(request).await.map(tonic::Response::into_inner)
    };
    let paused = async |lab: &Lab| {
        let triggers = lab.hooks().await.triggers;
        let paused = triggers.iter().filter(|trigger| trigger.paused).map(|trigger| trigger.path.clone());
        paused.collect::<Vec<_>>()
    };
    let reply = pause(&lab, "shop/development", true).await.unwrap();
    assert_eq!(reply.path, "shop/development");
    assert!(reply.position > 0);
    pause(&lab, "shop/development", true).await.unwrap();
    assert_eq!(paused(&lab).await, ["shop/development"]);
    // A new version, and a new start, change nothing of it.
    lab.applied(&SHOP.replacen("branchRestrictions: [main]", "branchRestrictions: [main, next]", 1)).await;
    let lab = lab.restarted().await;
    assert_eq!(paused(&lab).await, ["shop/development"]);
    assert!(lab.flow("shop/development").await.unwrap().paused);
    pause(&lab, "shop/development", false).await.unwrap();
    assert_eq!(paused(&lab).await, Vec::<String>::new());
    assert!(!lab.flow("shop/development").await.unwrap().paused);

    let nowhere = pause(&lab, "shop/nowhere", true).await.unwrap_err();
    assert_eq!(nowhere.code(), tonic::Code::NotFound, "{nowhere}");
    // What the document says is the document's to change.
    lab.applied(&SHOP.replacen("apiVersion: v1.2", "options: { paused: true }", 1)).await;
    let refused = pause(&lab, "shop/development", false).await.unwrap_err();
    assert!(refused.message().contains("options.paused"), "{refused}");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
}
