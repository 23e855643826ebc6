//! What holds are about.

use serde_json::{Map, json};
use shipway_events::{ConcurrencyPolicy, FlowId, ProjectId, RunId, plan::Plan, policy::Line};
use uuid::Uuid;

use super::*;

fn run_called(name: &str, tag: Option<&str>) -> Started {
    let triggers = tag.map(|tag| Map::from_iter([("release".to_owned(), json!({ "tag": tag }))]));
    Started {
        rollback: None,
        run: RunId::new(Uuid::nil()),
        project: ProjectId::new(Uuid::nil()),
        pipeline: None,
        flow: FlowId::new(Uuid::nil()),
        path: "shop/production".to_owned(),
        flow_version: 1,
        name: name.to_owned(),
        description: String::new(),
        origin: Origin::Git,
        author: None,
        parent: None,
        policy: ConcurrencyPolicy::Allow,
        plan: Plan { triggers: triggers.unwrap_or_default(), ..Plan::default() },
    }
}

fn built(digest: &str, service: &str, commit: &str, branch: &str) -> Artifact {
    let text = str::to_owned;
    Artifact {
        digest: text(digest),
        build: text("b"),
        service: text(service),
        commit: text(commit),
        branch: text(branch),
    }
}

#[test]
fn a_lineage_is_the_artifact_its_commit_and_what_came_before() {
    let subject = |digest: &str, service: &str, commit: &str| Subject {
        digest: digest.to_owned(),
        service: service.to_owned(),
        commit: commit.to_owned(),
    };
    let what = Predicate::Lineage {
        artifacts: vec![subject("d2", "web", "c2"), subject("d9", "api", "")],
        earlier: vec![Before { service: "web".to_owned(), commits: vec!["c1".to_owned()] }],
    };
    for (artifact, expected) in [
        (built("d2", "web", "c2", "main"), true),
        (built("other", "web", "c2", "main"), true),
        (built("", "web", "c2", "main"), true),
        (built("d1", "web", "c1", "main"), true),
        (built("d3", "web", "c3", "main"), false),
        (built("x", "api", "c2", "main"), false),
        (built("x", "api", "", "main"), false),
        (built("d9", "api", "", "main"), true),
        (built("", "api", "", "main"), false),
    ] {
        assert_eq!(matches(&what, Some(&run_called("x", None)), &artifact), expected, "{artifact:?}");
    }
}

#[test]
fn a_version_is_a_tag_a_name_or_a_branch_and_what_has_none_is_held() {
    let below = |inclusive| Predicate::Version { below: "1.9.0".to_owned(), inclusive };
    for (name, tag, branch, expected) in [
        ("push-1", Some("v1.8.3"), "main", true),
        ("push-1", Some("v1.9.0"), "main", false),
        ("2.0", Some("v1.8.3"), "main", true),
        ("1.8", None, "main", true),
        ("1.10", None, "main", false),
        ("1.9.0-rc.1", None, "main", true),
        ("push-1", None, "release/1.9.1", false),
        ("push-1", None, "main", true),
        ("run 7", Some("nightly"), "main", true),
    ] {
        let (run, artifact) = (run_called(name, tag), built("d", "web", "c", branch));
        assert_eq!(matches(&below(false), Some(&run), &artifact), expected, "{name} {tag:?} {branch}");
    }
    let exactly = (run_called("v1.9", None), built("d", "web", "c", "main"));
    assert!(
        !matches(&below(false), Some(&exactly.0), &exactly.1)
            && matches(&below(true), Some(&exactly.0), &exactly.1)
    );
}

#[test]
fn what_contains_a_commit_was_built_after_it_where_it_was_built() {
    let line = Line { service: "web".to_owned(), branch: "main".to_owned(), before: vec!["c1".to_owned()] };
    let what = |lines: &[Line]| Predicate::Commit { commit: "c2".to_owned(), lines: lines.to_vec() };
    for (artifact, with, without) in [
        (built("d", "web", "c2ffff", "main"), true, true),
        (built("d", "web", "c3", "main"), true, false),
        (built("d", "web", "c1", "main"), false, false),
        (built("d", "web", "c3", "other"), false, false),
        (built("d", "api", "c3", "main"), false, false),
        (built("d", "web", "", "main"), false, false),
    ] {
        let run = run_called("x", None);
        assert_eq!(matches(&what(std::slice::from_ref(&line)), Some(&run), &artifact), with, "{artifact:?}");
        assert_eq!(matches(&what(&[]), Some(&run), &artifact), without, "{artifact:?}, without builds");
    }
}
