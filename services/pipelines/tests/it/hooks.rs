//! Webhooks: made once, their secrets told once, and handed to the service that receives deliveries.

use serde_json::{Value, json};
use shipway_contracts::v1::{
    ListHooksRequest, PauseFlowRequest, RetireHookReply, RetireHookRequest, RotateHookReply,
    RotateHookRequest,
};
use tonic::{Code, Status};

use crate::support::{Lab, SHOP, command};

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
    assert_eq!((git.secret.len(), &git.secret[..6]), (50, "whsec_"));
    assert_eq!((git.secrets, flow.secrets), (1, 0));

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
    assert_eq!((&push["kind"], &push["ref"]), (&json!("git"), &json!("app")));
    assert_eq!(push["repoUrl"], "file:///srv/shop.git");
    assert_eq!(push["branchRestrictions"], json!(["main"]));
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
            command: command(),
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
    assert_eq!(nowhere.code(), Code::NotFound, "{nowhere}");
    // What the document says is the document's to change.
    lab.applied(&SHOP.replacen("apiVersion: v1.2", "options: { paused: true }", 1)).await;
    let refused = pause(&lab, "shop/development", false).await.unwrap_err();
    assert!(refused.message().contains("options.paused"), "{refused}");
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

async fn rotate(lab: &Lab, command: &str, hook: &str, secret: &str) -> Result<RotateHookReply, Status> {
    let (command, hook, secret) = (command.to_owned(), hook.to_owned(), secret.to_owned());
    let request = RotateHookRequest { command, hook, secret };
    Ok(lab.projects().rotate_hook(request).await?.into_inner())
}

async fn retire(lab: &Lab, command: &str, hook: &str, all: bool) -> Result<RetireHookReply, Status> {
    let request = RetireHookRequest { command: command.to_owned(), hook: hook.to_owned(), all };
    Ok(lab.projects().retire_hook(request).await?.into_inner())
}

/// The secrets that deliveries to a hook may be signed with, newest first, and whether they must be.
async fn secrets(lab: &Lab, hook: &str) -> (Vec<String>, bool) {
    let record = lab.hooks().await.hooks.into_iter().find(|record| record.id == hook).unwrap();
    (record.secrets, record.signed)
}

#[tokio::test]
async fn row_w_13_a_secret_takes_another_ones_place() {
    let lab = Lab::new().await;
    let made = lab.applied(SHOP).await.hooks;
    let git = made.iter().find(|hook| hook.kind == "git").unwrap();
    let first = git.secret.clone();
    let again = command();
    let rotated = rotate(&lab, &again, &git.id[..8], "").await.unwrap();
    let second = rotated.hook.as_ref().unwrap().secret.clone();
    assert_eq!((second.len(), &second[..6], rotated.hook.as_ref().unwrap().secrets), (50, "whsec_", 2));
    assert_ne!(first, second);
    assert_eq!(secrets(&lab, &git.id).await.0, [second.clone(), first.clone()], "both count, newest first");
    // The same command is answered the same, and does nothing more.
    assert_eq!(rotate(&lab, &again, &git.id, "").await.unwrap(), rotated);
    let lab = lab.restarted().await;
    assert_eq!(rotate(&lab, &again, &git.id, "").await.unwrap(), rotated);
    assert_eq!(secrets(&lab, &git.id).await.0, [second.clone(), first]);

    let ended = command();
    let retired = retire(&lab, &ended, &git.id, false).await.unwrap();
    assert_eq!((retired.retired, retired.hook.as_ref().unwrap().secrets), (1, 1));
    assert_eq!(secrets(&lab, &git.id).await.0, std::slice::from_ref(&second));
    assert_eq!(retire(&lab, &ended, &git.id, false).await.unwrap(), retired);
    assert_eq!(retire(&lab, &command(), &git.id, false).await.unwrap().retired, 0, "the newest stays");
    let none = retire(&lab, &command(), &git.id, true).await.unwrap_err();
    assert!(none.code() == Code::FailedPrecondition && none.message().contains("--all"), "{none:?}");

    // One that the sender chose is not told again.
    let chosen = rotate(&lab, &command(), &git.id, "a-token-that-gitlab-made").await.unwrap();
    assert_eq!(
        (chosen.hook.as_ref().unwrap().secret.as_str(), chosen.hook.as_ref().unwrap().secrets),
        ("", 2)
    );
    assert_eq!(secrets(&lab, &git.id).await.0, ["a-token-that-gitlab-made".to_owned(), second]);
    for bad in ["short", "with a space in the middle", "gr\u{fc}\u{df}e-from-somewhere-else"] {
        let refused = rotate(&lab, &command(), &git.id, bad).await.unwrap_err();
        assert!(refused.message().contains("16 to 200") && !refused.message().contains(bad), "{refused:?}");
    }
    for _ in 0..2 {
        rotate(&lab, &command(), &git.id, "").await.unwrap();
    }
    let full = rotate(&lab, &command(), &git.id, "").await.unwrap_err();
    assert!(full.message().contains("hook retire"), "{full:?}");
    assert_eq!(rotate(&lab, &command(), "0000", "").await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(rotate(&lab, &command(), "00000000", "").await.unwrap_err().code(), Code::NotFound);
    // No event holds a value.
    let log = format!("{:?}", lab.events().await);
    assert!(!log.contains("whsec_") && !log.contains("a-token-that-gitlab-made"));
}

#[tokio::test]
async fn a_flows_requests_are_signed_once_its_hook_has_a_secret() {
    let lab = Lab::new().await;
    let made = lab.applied(SHOP).await.hooks;
    let flow = made.iter().find(|hook| hook.kind == "flow").unwrap();
    let token = "canary-token-canary-token-canary-token";
    assert_eq!(secrets(&lab, &flow.id).await, (vec![token.to_owned()], false));
    let secret = rotate(&lab, &command(), &flow.id, "").await.unwrap().hook.unwrap().secret;
    assert_eq!(secrets(&lab, &flow.id).await, (vec![secret], true));
    let staging =
        lab.hooks().await.triggers.into_iter().find(|trigger| trigger.path == "shop/staging").unwrap();
    assert!(staging.trigger_json.contains(token), "the address is what it was");
    assert_eq!(retire(&lab, &command(), &flow.id, true).await.unwrap().retired, 1);
    assert_eq!(secrets(&lab, &flow.id).await, (vec![token.to_owned()], false));
}

#[tokio::test]
async fn a_hook_has_an_address_for_each_sender_that_there_can_be() {
    let lab = Lab::new().await;
    let self_hosted = SHOP.replace("file:///srv/shop.git", "https://git.example.com/acme/shop");
    let github = self_hosted
        .replace("vcsService: self-hosted", "vcsService: github")
        .replace("projectType: self-hosted", "projectType: github");
    for (document, expected) in [
        (&self_hosted, &["github", "gitlab", "gitea", "forgejo", "bitbucket-dc", "azure"][..]),
        (&github, &["github"]),
    ] {
        lab.applied(document).await;
        let request = ListHooksRequest { project: "shop".into() };
        let listed = lab.projects().list_hooks(request).await.unwrap().into_inner().hooks;
        let git = listed.iter().find(|hook| hook.kind == "git").unwrap();
        let senders: Vec<_> = git.addresses.iter().map(|address| address.sender.as_str()).collect();
        assert_eq!(senders, expected);
        assert!(git.addresses.iter().all(|a| a.path == format!("/hooks/{}/{}", a.sender, git.id)));
        assert_eq!(git.path, git.addresses[0].path);
        let record = lab.hooks().await.hooks.into_iter().find(|record| record.id == git.id).unwrap();
        assert_eq!(record.sources, expected);
    }
}
