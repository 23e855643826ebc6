//! Webhooks: made once, their secrets told once, and handed to the service that receives deliveries.

use serde_json::{Value, json};
use shipway_contracts::v1::ListHooksRequest;

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
