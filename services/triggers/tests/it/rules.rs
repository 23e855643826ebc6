//! What the rules make of pushes and requests, as tables; and real payloads where they are at hand.

use std::{fs, path::Path};

use serde_json::{Value, json};
use shipway_events::{DeliveryId, FlowId, ProjectId, delivery::Verdict, run::Origin};
use shipway_triggers::domain::{
    answer::answer,
    generic::{self, Refused},
    push::{Delivered, Push},
    repository::RepositoryKey,
    rules::{FlowTrigger, judge_push},
    sources,
    trigger::Trigger,
};
use uuid::Uuid;

fn read(event: &str, body: &[u8]) -> Delivered {
    (sources::named("github").unwrap().read)(event, body).unwrap()
}

fn push_of(body: &[u8]) -> Push {
    match read("push", body) {
        Delivered::Pushes(mut pushes) if pushes.len() == 1 => pushes.remove(0),
        other => panic!("not one push: {other:?}"),
    }
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(format!("{name}.json")))
        .unwrap()
}

fn flow(path: &str, trigger: Value) -> FlowTrigger {
    FlowTrigger {
        project: ProjectId::new(Uuid::from_u128(1)),
        flow: FlowId::new(Uuid::from_u128(2)),
        path: path.to_owned(),
        paused: false,
        secret_arguments: vec!["token".to_owned()],
        trigger: Trigger::parse(path, &trigger.to_string()).unwrap(),
    }
}

fn on_push(patterns: Value) -> FlowTrigger {
    flow(
        "shop/development",
        json!({"kind": "vcs-push", "ref": "main-push", "spec": {
            "vcs": {"vcsService": "github", "repoUrl": "https://github.com/acme/shop"},
            "branchNamePatterns": patterns,
        }}),
    )
}

fn verdict(push: &Push, trigger: &FlowTrigger) -> Verdict {
    let key = RepositoryKey::of("git@github.com:acme/shop.git");
    let mut verdicts = judge_push(push, &key, [trigger]);
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

#[test]
fn a_push_is_read_whole() {
    let push = push_of(&fixture("github-push-two-commits"));
    assert_eq!(push.branch(), Some("feature/cart"));
    assert_eq!(push.before.as_deref(), Some("a".repeat(40).as_str()));
    assert_eq!(push.target(), Some("c".repeat(40).as_str()));
    assert_eq!(push.commits.len(), 2);
    assert_eq!(push.head.as_ref().unwrap().message, "Keep it");
    assert_eq!((push.created, push.deleted, push.forced), (false, false, false));
    assert_eq!((push.sender.as_deref(), push.pushed_at), (Some("ada"), Some(1_763_886_000)));
    assert_eq!(push.summary(), "push of ccccccc to feature/cart");
    assert_eq!(
        push.repositories,
        [
            "https://github.com/Acme/Shop.git",
            "https://github.com/Acme/Shop",
            "git@github.com:Acme/Shop.git",
            "git://github.com/Acme/Shop.git"
        ]
    );
    let new = push_of(&fixture("github-push-new-branch"));
    assert_eq!((new.before.as_ref(), new.created, new.commits.len()), (None, true, 0));
    assert_eq!(push_of(&fixture("github-push-forced")).summary(), "forced push of bbbbbbb to main");
    for gone in ["github-push-deleted-branch", "github-push-zero-after"] {
        let push = push_of(&fixture(gone));
        assert_eq!((push.target(), push.deleted), (None, true), "{gone}");
    }
    assert_eq!(push_of(&fixture("github-push-tag")).branch(), None);
    assert_eq!(read("ping", &fixture("github-ping")), Delivered::Ping);
    assert_eq!(read("issues", b"{}"), Delivered::Other("issues".to_owned()));
}

#[test]
fn a_push_that_makes_no_sense_is_said_to() {
    let source = sources::named("github").unwrap();
    let good: Value = serde_json::from_slice(&fixture("github-push-normal")).unwrap();
    for (pointer, value, says) in [
        ("/after", json!("--upload-pack=touch x"), "`after`"),
        ("/after", json!("B".repeat(40)), "`after`"),
        ("/before", json!("abc"), "`before`"),
        ("/ref", json!("main"), "`ref`"),
        ("/ref", json!(7), "invalid type"),
        ("/repository", json!({}), "`repository`"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let error = (source.read)("push", bad.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let deep = "[".repeat(100_000);
    for body in ["", "null", "[]", "{\"ref\":1", deep.as_str()] {
        assert!((source.read)("push", body.as_bytes()).is_err());
    }
}

#[test]
fn branch_rules() {
    let main = push_of(&fixture("github-push-normal"));
    let feature = push_of(&fixture("github-push-new-branch"));
    for (rules, push, reason) in [
        (json!(["main"]), &main, Ok("branch main matches the rule main")),
        (json!(["release/*", "ma*"]), &main, Ok("branch main matches the rule ma*")),
        (json!(["*"]), &feature, Ok("branch feature/cart matches the rule *")),
        (json!(["f*"]), &feature, Ok("branch feature/cart matches the rule f*")),
        (json!(["main"]), &feature, Err("branch feature/cart matches none of the rules `main`")),
        (json!(["Main", "a/*"]), &main, Err("branch main matches none of the rules `Main`, `a/*`")),
        (
            json!([]),
            &main,
            Err("the trigger has no branch rule, and none never matches; give `*` for every branch"),
        ),
        (
            Value::Null,
            &main,
            Err("the trigger has no branch rule, and none never matches; give `*` for every branch"),
        ),
    ] {
        let verdict = verdict(push, &on_push(rules.clone()));
        let expected = reason.map_or_else(|no| (false, no), |yes| (true, yes));
        assert_eq!((verdict.matched, verdict.reason.as_str()), expected, "{rules}");
    }
}

#[test]
fn a_match_carries_the_pushed_commit() {
    let verdict = verdict(&push_of(&fixture("github-push-new-branch")), &on_push(json!(["*"])));
    assert_eq!(verdict.origin, Origin::Git);
    assert_eq!(verdict.trigger, "main-push");
    assert_eq!(
        Value::Object(verdict.values),
        json!({"branch": "feature/cart", "sha": "b".repeat(40), "repoUrl": "https://github.com/acme/shop"})
    );
}

#[test]
fn what_keeps_a_matching_branch_from_running() {
    let every = |change: &dyn Fn(&mut Value)| {
        let mut trigger = json!({"kind": "vcs-push", "ref": "t", "spec": {
            "vcs": {"repoUrl": "https://github.com/acme/shop.git"}, "branchNamePatterns": ["*"],
            "commitMessageFlags": {"enabled": true}}});
        change(&mut trigger);
        flow("shop/development", trigger)
    };
    let plain = every(&|_| {});
    let cases = [
        ("github-push-deleted-branch", &plain, "branch feature/cart was deleted: there is nothing to run"),
        ("github-push-zero-after", &plain, "branch main was deleted: there is nothing to run"),
        ("github-push-tag", &plain, "refs/tags/v1.0.0 is not a branch"),
        ("github-push-two-commits", &plain, "commit bbbbbbb says `[skip ci]`"),
    ];
    for (name, trigger, reason) in cases {
        let verdict = verdict(&push_of(&fixture(name)), trigger);
        assert_eq!((verdict.matched, verdict.reason.as_str()), (false, reason), "{name}");
        assert!(verdict.values.is_empty());
    }
    let two = push_of(&fixture("github-push-two-commits"));
    for (flags, matches) in [
        (json!({"enabled": false, "flags": ["[skip ci]"]}), true),
        (json!({"enabled": true}), false),
        (json!({"enabled": true, "flags": ["Keep"]}), false),
        (json!({"enabled": true, "flags": ["[SKIP CI]"]}), true),
        (json!({"flags": ["Try some"]}), true),
        (json!({"enabled": true, "flags": []}), true),
        (json!({}), true),
    ] {
        let trigger = every(&|t| t["spec"]["commitMessageFlags"] = flags.clone());
        assert_eq!(verdict(&two, &trigger).matched, matches, "{flags}");
    }
    let legacy = |change: &dyn Fn(&mut Value)| {
        let mut trigger = json!({"ref": "t", "type": "git", "repoUrl": "https://github.com/acme/shop",
            "branchRestrictions": ["feature/*"]});
        change(&mut trigger);
        flow("shop/development", trigger)
    };
    assert!(verdict(&two, &legacy(&|_| {})).matched);
    let flagged = legacy(&|t| t["ciIgnoreFlagsEnabled"] = json!(true));
    assert_eq!(verdict(&two, &flagged).reason, "commit bbbbbbb says `[skip ci]`");
    assert!(!verdict(&two, &legacy(&|t| t["branchRestrictions"] = json!(["main"]))).matched);
    assert!(verdict(&two, &legacy(&|t| t["manualOnly"] = json!(true))).reason.contains("by hand"));
    let by_path = verdict(&two, &legacy(&|t| t["pathIgnoreRules"] = json!(["docs/**"])));
    assert!(!by_path.matched && by_path.is_open());
    assert_eq!(by_path.reason, "waits for the repository: which files were changed, only Git can tell");
    let head_only =
        every(&|t| t["spec"]["commitMessageFlags"] = json!({"enabled": true, "flags": ["visits"]}));
    assert!(
        !verdict(&push_of(&fixture("github-push-new-branch")), &head_only).matched,
        "the head says it too"
    );
    let main = push_of(&fixture("github-push-normal"));
    for by_hand in
        [every(&|t| t["manualOnly"] = json!(true)), every(&|t| t["spec"]["manualOnly"] = json!(true))]
    {
        assert!(verdict(&main, &by_hand).reason.contains("by hand"));
    }
    let paused = FlowTrigger { paused: true, ..plain.clone() };
    assert_eq!(
        verdict(&main, &paused).reason,
        "the flow shop/development is paused: its Git triggers are off"
    );
    let paths = every(&|t| t["spec"]["filePaths"] = json!({"enabled": true, "paths": ["src/**"]}));
    assert!(verdict(&main, &paths).is_open());
    let off = every(&|t| t["spec"]["filePaths"] = json!({"enabled": false, "paths": ["src/**"]}));
    assert!(verdict(&main, &off).matched);
}

#[test]
fn the_hooks_repository_decides_and_the_body_must_agree() {
    let main = push_of(&fixture("github-push-normal"));
    let here = on_push(json!(["*"]));
    let there = flow(
        "shop/other",
        json!({"kind": "vcs-push", "ref": "t", "spec": {"vcs": {"repoUrl": "https://github.com/acme/other"},
            "branchNamePatterns": ["*"]}}),
    );
    // A hook of `shop`: triggers of other repositories are not even asked.
    assert_eq!(
        judge_push(&main, &RepositoryKey::of("https://github.com/acme/shop"), [&here, &there]).len(),
        1
    );
    // A hook of `other` that gets a push of `shop`.
    let verdicts = judge_push(&main, &RepositoryKey::of("https://github.com/acme/other"), [&here, &there]);
    assert_eq!(verdicts.len(), 1);
    assert!(!verdicts[0].matched);
    assert_eq!(
        verdicts[0].reason,
        "the delivery is about https://github.com/Acme/Shop.git, the trigger names https://github.com/acme/other"
    );
}

fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_request_becomes_values_and_arguments() {
    let hook = flow("shop/staging", json!({"kind": "webhook", "ref": "hook", "spec": {}}));
    let git = on_push(json!(["main"]));
    let siblings = [&hook, &git];
    let pairs = [
        ("main-push.branch", "release/1"),
        ("main-push.sha", "abcdef0"),
        ("main-push/repoUrl", "https://github.com/acme/shop"),
        ("main-push.pullRequestId", "12"),
        ("main-push.title", "x"),
        ("other.branch", "y"),
        ("name", "Nightly"),
        ("description", "By the robot"),
        ("foo", "bar"),
    ];
    let verdict = generic::judge(&query(&pairs), Some(br#"{"a":[1]}"#), &hook, &siblings).unwrap();
    assert!(verdict.matched);
    assert_eq!(verdict.origin, Origin::Webhook);
    assert_eq!(
        (verdict.name.as_deref(), verdict.description.as_deref()),
        (Some("Nightly"), Some("By the robot"))
    );
    assert_eq!(Value::Object(verdict.values.clone()), json!({"body": {"a": [1]}}));
    assert_eq!(
        Value::Object(verdict.triggers.clone()),
        json!({"main-push": {"branch": "release/1", "sha": "abcdef0", "pullRequestId": "12",
            "repoUrl": "https://github.com/acme/shop"}})
    );
    assert_eq!(
        Value::Object(verdict.arguments.clone()),
        json!({"main-push.title": "x", "other.branch": "y", "foo": "bar"})
    );
    let delivery = DeliveryId::new(Uuid::from_u128(5));
    let said = answer(delivery, "request to shop/staging", std::slice::from_ref(&verdict));
    assert_eq!((said.runs.len(), said.runs[0].name.as_str()), (1, "Nightly"));
    assert_eq!(Some(said.runs[0].id), verdict.run(delivery));
}

#[test]
fn a_request_is_refused_or_answered_without_a_run() {
    let hook =
        flow("shop/staging", json!({"kind": "webhook", "ref": "hook", "spec": {"token": "t".repeat(32)}}));
    let git = on_push(json!(["main"]));
    let siblings = [&hook, &git];
    let judge = |pairs: &[(&str, &str)]| generic::judge(&query(pairs), None, &hook, &siblings);
    assert_eq!(judge(&[("token", "hunter2")]), Err(Refused::SecretInQuery("token".to_owned())));
    for (key, value) in [
        ("main-push.sha", "HEAD"),
        ("main-push.branch", "--upload-pack=x"),
        ("main-push.branch", ""),
        ("main-push.pullRequestId", "1;2"),
        ("main-push.repoUrl", "-x"),
        ("name", "x".repeat(201).as_str()),
    ] {
        assert!(
            matches!(judge(&[(key, value)]), Err(Refused::Value { name, .. }) if name == key),
            "{key}={value}"
        );
    }
    let paused = FlowTrigger { paused: true, ..hook.clone() };
    let verdict = generic::judge(&[], Some(b"{}"), &paused, &siblings).unwrap();
    let said = answer(DeliveryId::new(Uuid::from_u128(5)), "request", &[verdict]);
    assert_eq!(
        (said.runs.len(), said.message.as_str()),
        (0, "request: the flow shop/staging is paused: nothing runs")
    );
    for body in [&b"not json"[..], b"", &[b'1'; 70_000]] {
        assert!(!generic::judge(&[], Some(body), &hook, &siblings).unwrap().values.contains_key("body"));
    }
}
