//! What each sender's deliveries become. `fixtures/<source>-<case>.json` is a body in the shape that the sender
//! documents; `golden/<source>.json` has what it becomes. `UPDATE_GOLDEN=1` writes that anew, to be read before it is
//! kept.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value, json};
use shipway_triggers::domain::{
    push::{Delivered, Push},
    sources::{Place, SOURCES, Source, named},
};

/// Source, event, and the bodies that have it.
const CASES: &[(&str, &str, &[&str])] = &[
    ("github", "ping", &["ping"]),
    (
        "github",
        "push",
        &[
            "push-normal",
            "push-two-commits",
            "push-new-branch",
            "push-forced",
            "push-deleted-branch",
            "push-zero-after",
            "push-tag",
            "push-annotated-tag",
            "push-tag-deleted",
        ],
    ),
    (
        "github",
        "pull_request",
        &[
            "pr-opened",
            "pr-opened-draft",
            "pr-reopened",
            "pr-synchronize",
            "pr-ready-for-review",
            "pr-converted-to-draft",
            "pr-labeled",
            "pr-unlabeled",
            "pr-edited-title",
            "pr-edited-base",
            "pr-closed",
            "pr-merged",
            "pr-assigned",
            "pr-fork-opened",
            "pr-fork-gone-closed",
        ],
    ),
    ("github", "release", &["release-published", "release-prerelease", "release-edited"]),
    (
        "github",
        "check_suite",
        &["check-suite-success", "check-suite-failure", "check-suite-fork", "check-suite-requested"],
    ),
    ("github", "create", &["create"]),
    ("github", "delete", &["delete"]),
    ("gitlab", "Push Hook", &["push", "push-new-branch", "push-deleted-branch", "push-21-commits"]),
    ("gitlab", "Tag Push Hook", &["tag-push", "tag-deleted"]),
    (
        "gitlab",
        "Merge Request Hook",
        &[
            "mr-open",
            "mr-open-draft",
            "mr-reopen",
            "mr-update-commits",
            "mr-update-title",
            "mr-update-ready",
            "mr-update-draft",
            "mr-update-target",
            "mr-update-labels",
            "mr-update-label-off",
            "mr-close",
            "mr-merge",
            "mr-approved",
            "mr-fork-open",
            "mr-fork-gone-close",
        ],
    ),
    ("gitlab", "Release Hook", &["release-create", "release-delete"]),
    ("gitlab", "Pipeline Hook", &["pipeline"]),
    (
        "gitea",
        "push",
        &[
            "push",
            "push-with-secret-in-body",
            "push-new-branch",
            "push-deleted-branch",
            "push-test-delivery",
            "push-tag",
        ],
    ),
    (
        "gitea",
        "pull_request",
        &[
            "pr-opened",
            "pr-synchronized",
            "pr-label-updated",
            "pr-edited-ready",
            "pr-edited-draft",
            "pr-edited-target",
            "pr-merged",
            "pr-closed",
            "pr-fork-opened",
            "pr-fork-gone-closed",
        ],
    ),
    ("gitea", "release", &["release-published"]),
    ("forgejo", "push", &["push"]),
    ("forgejo", "pull_request", &["pr-fork-opened"]),
    ("forgejo", "release", &["release-updated"]),
    (
        "bitbucket",
        "repo:push",
        &["push", "push-three-changes", "push-no-changes", "push-tag", "push-tag-deleted"],
    ),
    ("bitbucket", "pullrequest:created", &["pr-created", "pr-created-draft", "pr-fork-created"]),
    ("bitbucket", "pullrequest:updated", &["pr-updated"]),
    ("bitbucket", "pullrequest:fulfilled", &["pr-fulfilled"]),
    ("bitbucket", "pullrequest:rejected", &["pr-rejected", "pr-fork-gone-rejected"]),
    ("bitbucket-dc", "diagnostics:ping", &["ping"]),
    ("bitbucket-dc", "repo:refs_changed", &["push", "push-two-changes", "push-no-changes", "push-tag"]),
    ("bitbucket-dc", "pr:opened", &["pr-opened", "pr-fork-opened"]),
    ("bitbucket-dc", "pr:from_ref_updated", &["pr-from-ref-updated"]),
    ("bitbucket-dc", "pr:modified", &["pr-modified-title", "pr-modified-target", "pr-modified-ready"]),
    ("bitbucket-dc", "pr:merged", &["pr-merged"]),
    ("bitbucket-dc", "pr:declined", &["pr-declined"]),
    ("azure", "git.push", &["push", "push-new-branch", "push-deleted-branch", "push-two-refs"]),
    ("azure", "git.pullrequest.created", &["pr-created", "pr-created-draft", "pr-fork-created"]),
    ("azure", "git.pullrequest.updated", &["pr-updated", "pr-completed", "pr-abandoned"]),
    ("azure", "git.pullrequest.merged", &["pr-merge-tried"]),
    ("azure", "build.complete", &["build"]),
];

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name)
}

fn body(source: &str, case: &str) -> Vec<u8> {
    let path = here("fixtures").join(format!("{source}-{case}.json"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn cases() -> impl Iterator<Item = (&'static Source, &'static str, &'static str)> {
    CASES.iter().flat_map(|(source, event, cases)| {
        let source = named(source).unwrap();
        cases.iter().map(move |case| (source, *event, *case))
    })
}

#[test]
fn row_w_1_every_case_of_every_source_becomes_what_it_should() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for source in SOURCES {
        let mut all = Map::new();
        for (_, event, case) in cases().filter(|(of, ..)| of.name == source.name) {
            let delivered = (source.read)(event, &body(source.name, case));
            let delivered = delivered.unwrap_or_else(|error| panic!("{} {case}: {error}", source.name));
            let said = json!({"event": event, "summary": delivered.summary(), "delivered": delivered});
            all.insert(case.to_owned(), said);
            count += 1;
        }
        let path = here("golden").join(format!("{}.json", source.name));
        let text = format!("{}\n", serde_json::to_string_pretty(&all).unwrap());
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
            continue;
        }
        let golden: Map<String, Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert!(golden.keys().eq(all.keys()), "{}: {:?}", source.name, golden.keys());
        for (case, said) in &all {
            if golden[case] != *said {
                wrong.push(format!("{} {case}: {said:#}\ninstead of {:#}", source.name, golden[case]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("ROW W-1 {count} cases of {} sources read exactly", SOURCES.len());
}

/// Pushes of a source's case.
fn pushes(source: &str, case: &str) -> Vec<Push> {
    let (source, event, case) = cases().find(|(of, _, other)| of.name == source && *other == case).unwrap();
    match (source.read)(event, &body(source.name, case)).unwrap() {
        Delivered::Pushes(pushes) => pushes,
        other => panic!("not pushes: {other:?}"),
    }
}

/// Whether a host says that it left commits out of its list.
#[test]
fn a_cut_list_is_told_by_its_sender() {
    let cut = |source: &str, case: &str, change: &[(&str, Value)]| {
        let (source, event, case) =
            cases().find(|(of, _, other)| of.name == source && *other == case).unwrap();
        let mut changed: Value = serde_json::from_slice(&body(source.name, case)).unwrap();
        for (at, value) in change {
            let (parent, name) = at.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[name] = value.clone();
        }
        match (source.read)(event, changed.to_string().as_bytes()).unwrap() {
            Delivered::Pushes(pushes) => pushes[0].cut,
            other => panic!("not pushes: {other:?}"),
        }
    };
    for (source, at, all, more) in [
        ("gitea", "/total_commits", json!(2), json!(3)),
        ("forgejo", "/total_commits", json!(2), json!(3)),
        ("gitlab", "/total_commits_count", json!(2), json!(3)),
        ("bitbucket", "/push/changes/0/truncated", json!(false), json!(true)),
    ] {
        assert_eq!(cut(source, "push", &[(at, all)]), Some(false), "{source}");
        assert_eq!(cut(source, "push", &[(at, more)]), Some(true), "{source}");
        assert_eq!(cut(source, "push", &[(at, Value::Null)]), None, "{source}");
    }
    for (source, case) in [("github", "push-normal"), ("bitbucket-dc", "push"), ("azure", "push")] {
        assert_eq!(cut(source, case, &[]), None, "{source} does not say");
    }
}

#[test]
fn row_w_1_what_is_gone_or_empty_has_nothing_to_build() {
    for (source, case) in [
        ("github", "push-deleted-branch"),
        ("github", "push-zero-after"),
        ("github", "push-tag-deleted"),
        ("gitlab", "push-deleted-branch"),
        ("gitlab", "tag-deleted"),
        ("gitea", "push-deleted-branch"),
        ("bitbucket", "push-tag-deleted"),
        ("azure", "push-deleted-branch"),
    ] {
        let pushes = pushes(source, case);
        assert_eq!(pushes.len(), 1, "{source} {case}");
        assert!(pushes[0].deleted && pushes[0].target().is_none(), "{source} {case}");
        assert!(pushes[0].summary().ends_with("was deleted"), "{source} {case}");
    }
    for (source, case) in [("bitbucket", "push-no-changes"), ("bitbucket-dc", "push-no-changes")] {
        assert_eq!(pushes(source, case), [], "{source} {case}");
    }
    let three = pushes("bitbucket", "push-three-changes");
    let built: Vec<_> = three.iter().map(|push| (push.reference.as_str(), push.target().is_some())).collect();
    assert_eq!(
        built,
        [("refs/heads/feature/cart", true), ("refs/heads/release/1", true), ("refs/heads/gone", false)]
    );
}

/// Who sees secrets follows from a fork, so that what is not known is one.
#[test]
fn a_fork_is_told_by_the_hosts_own_ids() {
    let fork = |source: &str, case: &str, change: &dyn Fn(&mut Value)| {
        let (source, event, case) =
            cases().find(|(of, _, other)| of.name == source && *other == case).unwrap();
        let mut changed: Value = serde_json::from_slice(&body(source.name, case)).unwrap();
        change(&mut changed);
        match (source.read)(event, changed.to_string().as_bytes()).unwrap() {
            Delivered::PullRequest(pull) => (pull.fork, pull.source_repositories.len()),
            other => panic!("no pull request: {other:?}"),
        }
    };
    let same = |_: &mut Value| {};
    for (source, own, forked, gone) in [
        ("github", "pr-opened", "pr-fork-opened", Some("pr-fork-gone-closed")),
        ("gitlab", "mr-open", "mr-fork-open", Some("mr-fork-gone-close")),
        ("gitea", "pr-opened", "pr-fork-opened", Some("pr-fork-gone-closed")),
        ("bitbucket", "pr-created", "pr-fork-created", Some("pr-fork-gone-rejected")),
        ("bitbucket-dc", "pr-opened", "pr-fork-opened", None),
        ("azure", "pr-created", "pr-fork-created", None),
    ] {
        assert!(!fork(source, own, &same).0, "{source}");
        assert!(fork(source, forked, &same).0 && fork(source, forked, &same).1 > 0, "{source}");
        if let Some(gone) = gone {
            assert_eq!(fork(source, gone, &same), (true, 0), "{source}");
        }
    }
    // What people can choose does not count: names, addresses, the flag of the repository itself.
    let disguised = |body: &mut Value| {
        let base = body["pull_request"]["base"]["repo"].clone();
        let id = body["pull_request"]["head"]["repo"]["id"].clone();
        body["pull_request"]["head"]["repo"] = base;
        body["pull_request"]["head"]["repo"]["id"] = id;
        body["pull_request"]["head"]["label"] = json!("Acme:feature/cart");
        body["pull_request"]["author_association"] = json!("OWNER");
    };
    assert!(fork("github", "pr-fork-opened", &disguised).0);
    let unknown = |body: &mut Value| {
        body["pull_request"]["head"]["repo"].as_object_mut().unwrap().remove("id");
    };
    assert!(fork("github", "pr-opened", &unknown).0);
}

/// Every field that a reader looks at, with a value that it cannot have: the field is named.
#[test]
fn a_body_that_is_not_what_its_event_promises_names_the_field() {
    for (source, case, pointer, value, says) in [
        ("github", "push-normal", "/after", json!("--upload-pack=x"), "field `after`"),
        ("github", "push-normal", "/ref", json!(7), "field `ref`: invalid type: integer `7`"),
        ("github", "push-normal", "/commits/0/id", json!(null), "field `commits[0].id`: invalid type: null"),
        ("github", "pr-opened", "/pull_request/number", json!("7"), "field `pull_request.number`"),
        ("github", "pr-opened", "/pull_request/head/sha", json!("b"), "field `pull_request.head.sha`"),
        ("github", "pr-opened", "/pull_request/head/ref", json!("-x"), "field `pull_request.head.ref`"),
        (
            "github",
            "pr-opened",
            "/repository",
            json!({}),
            "field `repository` of the body is not a repository",
        ),
        ("github", "pr-labeled", "/label", json!(null), "field `label` of the body is not the label"),
        ("github", "check-suite-success", "/check_suite/head_sha", json!("0".repeat(40)), "head_sha"),
        ("gitlab", "push", "/object_kind", json!("tag_push"), "field `object_kind`"),
        ("gitlab", "push", "/project", json!([]), "field `project`"),
        ("gitlab", "push", "/checkout_sha", json!(1), "field `checkout_sha`"),
        ("gitlab", "tag-push", "/checkout_sha", json!("x"), "field `checkout_sha`"),
        ("gitlab", "mr-open", "/object_attributes/iid", json!(-1), "field `object_attributes.iid`"),
        (
            "gitlab",
            "mr-open",
            "/object_attributes/last_commit/id",
            json!("zz"),
            "field `object_attributes.last_commit.id`",
        ),
        ("gitea", "push", "/before", json!("HEAD"), "field `before`"),
        ("bitbucket", "push", "/push/changes/0/new/target/hash", json!("b"), "push.changes.new.target.hash"),
        ("bitbucket", "push", "/push/changes/0/new/name", json!(""), "push.changes.new.name"),
        ("bitbucket", "push", "/push/changes", json!(null), "field `push.changes`"),
        ("bitbucket", "push", "/push/changes/0", json!({}), "field `push.changes`"),
        ("bitbucket", "pr-created", "/pullrequest/source/commit/hash", json!("b"), "source.commit.hash"),
        ("bitbucket-dc", "push", "/changes/0/toHash", json!("b"), "field `changes.toHash`"),
        ("bitbucket-dc", "push", "/repository/links", json!({}), "field `repository.links`"),
        ("bitbucket-dc", "pr-opened", "/pullRequest/fromRef/latestCommit", json!(""), "latestCommit"),
        ("azure", "push", "/resource/refUpdates/0/name", json!("main"), "resource.refUpdates.name"),
        ("azure", "push", "/resource/refUpdates", json!({}), "field `resource.refUpdates`"),
        ("azure", "pr-created", "/resource/lastMergeSourceCommit", json!(null), "lastMergeSourceCommit"),
    ] {
        let (source, event, case) =
            cases().find(|(of, _, other)| of.name == source && *other == case).unwrap();
        let mut bad: Value = serde_json::from_slice(&body(source.name, case)).unwrap();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{} {case} {pointer}", source.name)) = value;
        let Err(error) = (source.read)(event, bad.to_string().as_bytes()) else {
            panic!("{} {case} {pointer} is read", source.name)
        };
        let error = error.to_string();
        assert!(error.contains(says), "{} {case} {pointer}: {error}", source.name);
    }
    let deep = "[".repeat(100_000);
    for (source, event, case) in cases() {
        let nothing = [&b""[..], b"null", b"[]", b"{", b"\xff", deep.as_bytes()];
        let is_read = !matches!(
            (source.read)(event, &body(source.name, case)),
            Ok(Delivered::Other(_) | Delivered::Ping)
        );
        for bad in nothing.into_iter().filter(|_| is_read) {
            assert!((source.read)(event, bad).is_err(), "{} {case}", source.name);
        }
    }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

#[test]
fn the_event_and_the_deliverys_id_stand_where_the_source_says() {
    let azure = named("azure").unwrap();
    let push = body("azure", "push");
    assert_eq!(azure.event(|_| Some("build.complete"), &push).as_deref(), Some("git.push"));
    let id = "00000000-0000-4000-8000-0000000000bb";
    assert_eq!(azure.key(&HeaderMap::new(), &push), Ok(Some(id.to_owned())));
    assert_eq!(azure.key(&HeaderMap::new(), b"no JSON"), Ok(None));
    assert_eq!(azure.key(&HeaderMap::new(), br#"{"id": 7}"#), Err("id"));
    assert_eq!(azure.event(|_| None, br#"{"eventType": ["git.push"]}"#), None);

    let gitlab = named("gitlab").unwrap();
    let key = |pairs: &[(&'static str, &'static str)], body: &[u8]| gitlab.key(&headers(pairs), body);
    let retried = [("idempotency-key", "k"), ("x-gitlab-event-uuid", "u")];
    assert_eq!(key(&retried, b"{}"), Ok(Some("k".to_owned())));
    let (one, other) = (key(&retried[1..], b"{}").unwrap(), key(&retried[1..], b"{ }").unwrap());
    assert!(one.as_ref().unwrap().starts_with("u/"));
    assert_ne!(one, other, "two branches of one push share the event's id");
    assert_eq!(one, key(&retried[1..], b"{}").unwrap());
    assert_eq!(key(&[], b"{}"), Ok(None));

    let github = named("github").unwrap();
    for wrong in [&[("x-github-delivery", "")][..], &[("x-github-delivery", "a"), ("x-github-delivery", "a")]]
    {
        assert_eq!(github.key(&headers(wrong), b"{}"), Err("x-github-delivery"));
    }
    let long = "x".repeat(Place::LONGEST + 1);
    let mut too_long = HeaderMap::new();
    too_long.insert("x-github-delivery", long.parse().unwrap());
    assert_eq!(github.key(&too_long, b"{}"), Err("x-github-delivery"));
    // Gitea's look-alikes say nothing here.
    let gitea = named("gitea").unwrap();
    let look_alikes = |name: &str| (name != "x-gitea-event").then_some("push");
    assert_eq!(gitea.event(look_alikes, b"{}"), None);
    assert_eq!(gitea.event(|_| Some("push"), b"{}").as_deref(), Some("push"));
    assert_eq!(gitea.event(|_| Some(""), b"{}"), None);
}
