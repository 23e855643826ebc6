//! What the rules make of pull requests, labels, releases and checks, and how each rule's word is kept.

use serde_json::{Value, json};
use shipway_events::{
    FlowId, ProjectId,
    delivery::{RuleOutcome, Verdict},
};
use shipway_triggers::domain::{
    happened::{Facts, Happened, Needs},
    push::{CheckSuite, Commit, Delivered, PullRequest, PullRequestAction, Push, Release},
    repository::RepositoryKey,
    rules::{FlowTrigger, Judgement, judge},
    trigger::Trigger,
};
use uuid::Uuid;

const URL: &str = "https://github.com/acme/shop";

fn head() -> String {
    "b".repeat(40)
}

fn trigger(json: Value) -> FlowTrigger {
    FlowTrigger {
        project: ProjectId::new(Uuid::from_u128(1)),
        flow: FlowId::new(Uuid::from_u128(2)),
        path: "shop/development".to_owned(),
        paused: false,
        secret_arguments: Vec::new(),
        trigger: Trigger::parse("shop/development", &json.to_string()).unwrap(),
    }
}

fn typed(kind: &str, mut spec: Value) -> FlowTrigger {
    spec["vcs"] = json!({ "repoUrl": URL });
    trigger(json!({"kind": kind, "ref": "t", "spec": spec}))
}

fn legacy(mut fields: Value) -> FlowTrigger {
    (fields["ref"], fields["repoUrl"]) = (json!("t"), json!(URL));
    trigger(fields)
}

fn pull(change: impl FnOnce(&mut PullRequest)) -> Happened {
    let mut pull = PullRequest {
        repositories: vec![format!("{URL}.git")],
        number: 7,
        title: "Add a cart".to_owned(),
        source: "feature/cart".to_owned(),
        target: "main".to_owned(),
        head: head(),
        source_repositories: vec!["git@github.com:acme/shop.git".to_owned()],
        head_commit: Some(Commit { id: head(), message: "Keep it".to_owned() }),
        ..PullRequest::default()
    };
    change(&mut pull);
    Happened::PullRequest(Box::new(pull))
}

fn push(change: impl FnOnce(&mut Push)) -> Happened {
    let mut push = Push {
        repositories: vec![URL.to_owned()],
        reference: "refs/heads/feature/cart".to_owned(),
        before: Some("a".repeat(40)),
        after: Some(head()),
        commits: vec![Commit { id: head(), message: "Keep it".to_owned() }],
        ..Push::default()
    };
    change(&mut push);
    Happened::Push(push)
}

fn judged(happened: &Happened, trigger: &FlowTrigger, facts: &Facts) -> Judgement {
    judge(happened, &RepositoryKey::of(URL), [trigger], facts, 5)
}

fn verdict(happened: &Happened, trigger: &FlowTrigger) -> Verdict {
    judged(happened, trigger, &Facts::default()).verdicts.remove(0)
}

fn said(verdict: &Verdict) -> (bool, &str) {
    (verdict.matched, &verdict.reason)
}

/// A host that has tags alone, like plain Git, tells of a release by a new one.
#[test]
fn a_new_tag_is_a_release_where_there_is_nothing_else() {
    let releases = typed("vcs-release", json!({}));
    let told = |without_releases: bool, created: bool, deleted: bool| {
        let tag = Push {
            repositories: vec![URL.to_owned()],
            reference: "refs/tags/v1.2.0".to_owned(),
            before: (!created).then(|| "a".repeat(40)),
            // Of an annotated tag it may be the tag's own id.
            after: (!deleted).then(head),
            created,
            deleted,
            without_releases,
            ..Push::default()
        };
        Happened::all(Delivered::Pushes(vec![tag])).remove(0)
    };
    let tag = told(true, true, false);
    let open = judged(&tag, &releases, &Facts::default());
    assert!(open.needs.head && !open.verdicts[0].matched, "which commit it is on, the repository says");
    let facts = Facts { head: Some("c".repeat(40)), ..Facts::default() };
    let verdict = judged(&tag, &releases, &facts).verdicts.remove(0);
    assert!(verdict.matched, "{}", verdict.reason);
    assert_eq!((&verdict.values["tag"], &verdict.values["sha"]), (&json!("v1.2.0"), &json!("c".repeat(40))));
    for (without_releases, created, deleted, why) in [
        (false, true, false, "a host with releases tells of them"),
        (true, false, false, "a tag that was moved"),
        (true, false, true, "a tag that is gone"),
    ] {
        let verdict = judged(&told(without_releases, created, deleted), &releases, &facts).verdicts.remove(0);
        assert!(!verdict.matched, "{why}");
    }
    // Nor is it a push of commits to anybody.
    let pushes = legacy(json!({"branchRestrictions": ["*"], "prRestrictions": ["*"]}));
    assert!(!judged(&tag, &pushes, &facts).verdicts[0].matched);
}

#[test]
fn each_kind_listens_to_its_own() {
    let all = json!(["*"]);
    let triggers = [
        typed("vcs-push", json!({ "branchNamePatterns": all })),
        typed("vcs-pr", json!({ "branchNamePatterns": all })),
        typed("vcs-pr-label", json!({ "labelNamePatterns": all })),
        typed("vcs-release", json!({})),
        typed("vcs-check-suite", json!({ "branchNamePatterns": all })),
    ];
    let suite = CheckSuite {
        repositories: vec![URL.to_owned()],
        head: head(),
        branch: Some("feature/cart".to_owned()),
        succeeded: true,
        pull_requests: vec![(7, "main".to_owned())],
        ..CheckSuite::default()
    };
    let release = Release {
        repositories: vec![URL.to_owned()],
        tag: "v1".to_owned(),
        commit: Some(head()),
        name: Some("One".to_owned()),
        ..Release::default()
    };
    let happened = [
        push(|_| {}),
        pull(|_| {}),
        pull(|pull| pull.action = PullRequestAction::Labelled("preview".to_owned())),
        Happened::Release(release),
        Happened::CheckSuite(suite),
    ];
    let values = [
        json!({"branch": "feature/cart", "sha": head(), "repoUrl": URL}),
        json!({"branch": "feature/cart", "sha": head(), "repoUrl": URL, "pullRequestId": 7, "title": "Add a cart",
            "targetBranch": "main"}),
        json!({"branch": "feature/cart", "sha": head(), "repoUrl": URL, "pullRequestId": 7, "title": "Add a cart",
            "targetBranch": "main", "label": "preview"}),
        json!({"tag": "v1", "sha": head(), "repoUrl": URL, "title": "One"}),
        json!({"branch": "feature/cart", "sha": head(), "repoUrl": URL, "pullRequestId": 7, "targetBranch": "main"}),
    ];
    for (n, one) in happened.iter().enumerate() {
        for (m, trigger) in triggers.iter().enumerate() {
            let verdict = verdict(one, trigger);
            assert_eq!(verdict.matched, n == m, "{one:?} {}", verdict.reason);
            assert!(verdict.matched || verdict.rules.iter().any(|rule| rule.outcome == RuleOutcome::Failed));
            if n == m {
                assert_eq!(Value::Object(verdict.values), values[n]);
            }
        }
    }
}

#[test]
fn a_trigger_of_release_flows_has_two_lists() {
    let both = legacy(json!({"branchRestrictions": ["main"], "prRestrictions": ["feature/*"]}));
    assert_eq!(
        said(&verdict(&pull(|_| {}), &both)),
        (true, "branch feature/cart matches the rule feature/*")
    );
    let of_push = verdict(&push(|_| {}), &both);
    assert_eq!(said(&of_push), (false, "branch feature/cart matches none of the rules `main`"));
    let pushes_only = legacy(json!({"branchRestrictions": ["*"], "prRestrictions": []}));
    assert!(!verdict(&pull(|_| {}), &pushes_only).matched);
    // The rules are about the branch that it comes from, not about its title or its target.
    let main = legacy(json!({"prRestrictions": ["main", "Add a cart"]}));
    assert!(!verdict(&pull(|_| {}), &main).matched);
}

#[test]
fn actions_of_pull_requests() {
    use PullRequestAction::{
        Closed, Drafted, Labelled, Merged, Opened, Ready, Reopened, Retargeted, Synchronized, Unlabelled,
        Updated,
    };
    let trigger = typed("vcs-pr", json!({"branchNamePatterns": ["*"]}));
    for action in [Opened, Reopened, Synchronized, Updated, Ready] {
        assert!(verdict(&pull(|pull| pull.action = action), &trigger).matched);
    }
    for action in [
        Closed,
        Merged,
        Drafted,
        Retargeted,
        Labelled("x".to_owned()),
        Unlabelled("x".to_owned()),
        PullRequestAction::Other("assigned".to_owned()),
    ] {
        let verdict = verdict(&pull(|pull| pull.action = action), &trigger);
        assert!(
            !verdict.matched && verdict.reason.contains("there is nothing new to run"),
            "{}",
            verdict.reason
        );
    }
}

#[test]
fn drafts_labels_and_switched_lists() {
    let drafts = typed("vcs-pr", json!({"branchNamePatterns": ["*"], "ignoreDrafts": true}));
    let draft = pull(|pull| pull.draft = true);
    assert_eq!(
        said(&verdict(&draft, &drafts)),
        (false, "pull request #7 is a draft, which the trigger ignores")
    );
    assert!(verdict(&pull(|_| {}), &drafts).matched);
    assert!(verdict(&draft, &typed("vcs-pr", json!({"branchNamePatterns": ["*"]}))).matched);
    let labelled = pull(|pull| pull.action = PullRequestAction::Labelled("preview/eu".to_owned()));
    for (spec, expected) in [
        (json!({"labelNamePatterns": ["preview*"]}), (true, "label preview/eu matches the rule preview*")),
        (
            json!({"labelNamePatterns": ["ready"]}),
            (false, "label preview/eu matches none of the rules `ready`"),
        ),
        (
            json!({}),
            (false, "the trigger has no label rule, and none never matches; give `*` for every label"),
        ),
        (
            json!({"labelNamePatterns": ["*"], "branchNamePatterns": {"enabled": true, "names": ["main"]}}),
            (false, "branch feature/cart matches none of the rules `main`"),
        ),
        (
            json!({"labelNamePatterns": ["*"], "branchNamePatterns": {"enabled": false, "names": ["main"]}}),
            (true, "label preview/eu matches the rule *"),
        ),
    ] {
        assert_eq!(said(&verdict(&labelled, &typed("vcs-pr-label", spec.clone()))), expected, "{spec}");
    }
    // GitLab tells of several at once, also beside commits or the end of a draft.
    let preview = typed("vcs-pr-label", json!({"labelNamePatterns": ["preview*"]}));
    for action in [
        PullRequestAction::Labelled("size/s".to_owned()),
        PullRequestAction::Synchronized,
        PullRequestAction::Ready,
    ] {
        let several = pull(|pull| {
            pull.action = action.clone();
            pull.also_labelled = vec!["urgent".to_owned(), "preview/eu".to_owned()];
        });
        let verdict = verdict(&several, &preview);
        assert_eq!(said(&verdict), (true, "label preview/eu matches the rule preview*"), "{action:?}");
        assert_eq!(verdict.values["label"], "preview/eu");
    }
}

#[test]
fn one_flagged_commit_of_a_push_and_the_newest_of_a_pull_request() {
    let flags = json!({"branchNamePatterns": ["*"], "commitMessageFlags": {"enabled": true}});
    let (pushes, pulls) = (typed("vcs-push", flags.clone()), typed("vcs-pr", flags));
    let commit = |id: &str, message: &str| Commit { id: id.repeat(40), message: message.to_owned() };
    let first_flagged = push(|push| {
        push.commits = vec![commit("c", "Try it [skip ci]"), commit("b", "Keep it")];
    });
    assert_eq!(said(&verdict(&first_flagged, &pushes)), (false, "commit ccccccc says `[skip ci]`"));
    let plain = verdict(&push(|_| {}), &pushes);
    assert_eq!(plain.rules[1].words, "the commit's message has no ignore flag");
    assert!(verdict(&pull(|_| {}), &pulls).matched);
    let newest = pull(|pull| pull.head_commit = Some(commit("b", "x [ci skip]")));
    assert_eq!(said(&verdict(&newest, &pulls)), (false, "commit bbbbbbb says `[ci skip]`"));

    // A list that may be cut, or that lacks the newest commit, cannot tell that no commit is flagged; but that one is.
    let cut = push(|push| push.commits = vec![commit("b", "x"); 5]);
    let without_newest = push(|push| push.commits = vec![commit("c", "x")]);
    let unsaid = pull(|pull| pull.head_commit = None);
    for (happened, trigger) in [(&cut, &pushes), (&without_newest, &pushes), (&unsaid, &pulls)] {
        let judgement = judged(happened, trigger, &Facts::default());
        assert_eq!(judgement.needs, Needs { commits: true, ..Needs::default() });
        assert!(judgement.verdicts[0].is_open() && !judgement.verdicts[0].matched);
        let told = |message| Facts {
            commits: Some(vec![commit("d", message), commit("b", "x")]),
            ..Facts::default()
        };
        let plain = judged(happened, trigger, &told("y"));
        assert!(plain.verdicts[0].matched && plain.needs.none());
        // Of a pull request only the newest counts.
        let flagged = judged(happened, trigger, &told("y [no ci]"));
        assert_eq!(flagged.verdicts[0].matched, std::ptr::eq(trigger, &pulls));
    }
    // Who says whether the list is cut is believed, whatever its length.
    for (count, cut, needed) in [(2, true, true), (5, false, false), (50, false, false)] {
        let told = push(|push| {
            push.commits = vec![commit("b", "x"); count];
            push.cut = Some(cut);
        });
        let needs = judged(&told, &pushes, &Facts::default()).needs;
        assert_eq!(needs.commits, needed, "{count} commits, cut: {cut}");
    }
    let cut_and_flagged = push(|push| push.commits = vec![commit("b", "[skip ci]"); 5]);
    assert!(judged(&cut_and_flagged, &pushes, &Facts::default()).needs.none());
}

#[test]
fn every_rule_says_its_word_and_git_is_asked_only_if_it_matters() {
    let paths = json!({"branchNamePatterns": ["feature/*"], "ignoreDrafts": true,
        "commitMessageFlags": {"enabled": true, "flags": ["[wip]"]}, "filePaths": {"paths": ["docs/**"]}});
    let trigger = typed("vcs-pr", paths);
    let open = judged(&pull(|_| {}), &trigger, &Facts::default());
    assert_eq!(open.needs, Needs { files: true, ..Needs::default() });
    assert!(open.verdicts[0].is_open() && open.verdicts[0].values.is_empty());
    let with = |files: &[&str]| Facts {
        files: Some(files.iter().map(|file| (*file).to_owned()).collect()),
        ..Facts::default()
    };
    let excluded = judged(&pull(|_| {}), &trigger, &with(&["docs/a", "docs/b", "docs/c"])).verdicts.remove(0);
    assert_eq!(said(&excluded), (false, "path rule `docs/**` excluded all 3 files"));
    let words: Vec<_> = excluded
        .rules
        .iter()
        .map(|rule| (rule.rule.as_str(), rule.outcome.as_str(), rule.words.as_str()))
        .collect();
    assert_eq!(
        words,
        [
            ("branch", "passed", "branch feature/cart matches the rule feature/*"),
            ("drafts", "passed", "pull request #7 is no draft"),
            ("flags", "passed", "the commit's message has no ignore flag"),
            ("paths", "failed", "path rule `docs/**` excluded all 3 files"),
        ]
    );
    assert!(judged(&pull(|_| {}), &trigger, &with(&["docs/a", "src/a"])).verdicts[0].matched);
    // Whatever Git would say, it does not match.
    let other = judged(&pull(|pull| pull.source = "main".to_owned()), &trigger, &Facts::default());
    assert!(other.needs.none() && !other.verdicts[0].is_open());
}

#[test]
fn paused_and_manual_are_the_reason_whatever_else_fits() {
    let mut paused = typed("vcs-pr", json!({"branchNamePatterns": ["*"], "filePaths": {"paths": ["a"]}}));
    paused.paused = true;
    let judgement = judged(&pull(|_| {}), &paused, &Facts::default());
    assert_eq!(
        (judgement.verdicts[0].reason.as_str(), judgement.needs.none()),
        ("the flow shop/development is paused: its Git triggers are off", true)
    );
    let manual = legacy(json!({"prRestrictions": ["*"], "manualOnly": true}));
    assert!(verdict(&pull(|_| {}), &manual).reason.contains("by hand only"));
}

#[test]
fn the_whole_id_of_a_commit_is_asked_for_where_it_is_not_told() {
    let trigger = typed("vcs-pr", json!({"branchNamePatterns": ["*"]}));
    let short = pull(|pull| pull.head.truncate(12));
    let judgement = judged(&short, &trigger, &Facts::default());
    assert_eq!(judgement.needs, Needs { head: true, ..Needs::default() });
    let told = Facts { head: Some(head()), ..Facts::default() };
    assert_eq!(judged(&short, &trigger, &told).verdicts[0].values["sha"], head());
    let release = Happened::Release(Release {
        repositories: vec![URL.to_owned()],
        tag: "v1".to_owned(),
        ..Release::default()
    });
    let releases = typed("vcs-release", json!({}));
    assert!(judged(&release, &releases, &Facts::default()).needs.head);
    assert_eq!(judged(&release, &releases, &told).verdicts[0].values["sha"], head());
}

#[test]
fn checks_that_did_not_pass_or_are_of_no_pull_request() {
    let trigger = typed("vcs-check-suite", json!({"branchNamePatterns": ["feature/*"]}));
    let suite = |change: &dyn Fn(&mut CheckSuite)| {
        let mut suite = CheckSuite {
            repositories: vec![URL.to_owned()],
            head: head(),
            branch: Some("feature/cart".to_owned()),
            succeeded: true,
            pull_requests: vec![(7, "main".to_owned())],
            ..CheckSuite::default()
        };
        change(&mut suite);
        verdict(&Happened::CheckSuite(suite), &trigger).reason
    };
    assert_eq!(suite(&|_| {}), "all checks of bbbbbbb passed");
    assert_eq!(suite(&|s| s.succeeded = false), "not all checks of bbbbbbb passed");
    assert!(suite(&|s| s.pull_requests.clear()).contains("no pull request"));
    assert!(suite(&|s| s.branch = Some("main".to_owned())).contains("none of the rules"));
}

/// Row W-10: names in a signed body decide nothing; what the host says of the two repositories does.
#[test]
fn row_w_10_nobody_is_believed_to_be_somebody() {
    let trigger = legacy(json!({"prRestrictions": ["*"]}));
    let mut changed = 0;
    let fork = |change: &dyn Fn(&mut PullRequest)| {
        pull(|pull| {
            pull.fork = true;
            pull.source_repositories = vec!["https://github.com/mallory/shop".to_owned()];
            change(pull);
        })
    };
    let names = ["acme", "ada", "an approver", "mallory", "", "github-actions[bot]"];
    for name in names {
        for held in [true, false] {
            let forge = |pull: &mut PullRequest| {
                pull.sender = Some(name.to_owned());
                pull.title = format!("by {name}");
                pull.head_commit =
                    Some(Commit { id: head(), message: format!("x\n\nSigned-off-by: {name}") });
                pull.labels = vec![name.to_owned()];
            };
            let happened = if held { fork(&forge) } else { pull(forge) };
            let verdict = verdict(&happened, &trigger);
            assert_eq!((verdict.matched, verdict.held.is_some()), (!held, held), "{name}");
            changed += 1;
        }
    }
    // One of the two, or none, is a fork as well.
    let doubtful: [&dyn Fn(&mut PullRequest); 4] = [
        &|pull| pull.fork = false,
        &|pull| pull.source_repositories = vec![URL.to_owned()],
        &|pull| (pull.fork, pull.source_repositories) = (false, Vec::new()),
        &|pull| (pull.fork, pull.source_repositories) = (false, vec![format!("{URL}2")]),
    ];
    for change in doubtful {
        let verdict = verdict(&fork(change), &trigger);
        let held = verdict.held.as_ref().unwrap();
        assert!(!verdict.matched && held.approval.is_none());
        assert_eq!((held.pull_request, &held.head), (7, &head()));
        assert!(
            verdict.reason.contains("commit bbbbbbb is held until somebody approves it"),
            "{}",
            verdict.reason
        );
        changed += 1;
    }
    println!("ROW W-10 {changed} bodies with other names and flags: no decision changed");
}
