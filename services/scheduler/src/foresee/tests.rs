//! What each kind of node would do, of a flow as it stands in its plan.

use serde_json::json;
use shipway_events::{
    ConcurrencyPolicy, FlowId, ProjectId, ResourceId, RunId,
    plan::{PinnedResource, Plan},
    project::ResourceKind,
    run::Origin,
};

use super::*;

fn artifact(commit: &str) -> Artifact {
    Artifact {
        digest: format!("sha256:{commit}"),
        build: format!("build-{commit}"),
        service: "builder".to_owned(),
        commit: commit.to_owned(),
        branch: "main".to_owned(),
    }
}

/// A run of these steps in sequence, over a shop: staging has commit `2222222…`, production `1111111…`.
fn started(steps: &[Value]) -> Started {
    let root = json!({"ref": "all", "kind": "Workflow", "pointer": "/spec", "spec": {"type": "sequential"}});
    let nodes = std::iter::once(root).chain(steps.iter().map(|step| {
        let mut step = step.clone();
        step["parent"] = step.get("parent").cloned().unwrap_or(json!(0));
        step["pointer"] = json!(format!("/spec/{}", step["ref"].as_str().unwrap()));
        step
    }));
    let nodes = nodes.map(|node| serde_json::from_value(node).unwrap()).collect();
    let resource = |kind, spec| PinnedResource {
        project: ProjectId::new(Uuid::nil()),
        id: ResourceId::new(Uuid::nil()),
        kind,
        spec,
        ports: [("http".to_owned(), 7500)].into(),
        environment: [("KEY".to_owned(), json!({"$secret": "group/team/KEY@2"}))].into_iter().collect(),
        login: None,
    };
    let service = || {
        resource(
            ResourceKind::DeploymentService,
            json!({"deployment": {"instances": 1}, "ports": [{"name": "http", "internalPort": 80, "protocol": "HTTP", "public": true}]}),
        )
    };
    let plan = Plan {
        nodes,
        resources: [
            ("web-staging".to_owned(), service()),
            ("web".to_owned(), service()),
            (
                "migrate".to_owned(),
                resource(
                    ResourceKind::ManualJob,
                    json!({"deployment": {"docker": {
                        "configType": "customCommand", "customCommand": "migrate",
                    }}}),
                ),
            ),
        ]
        .into(),
        deployed: [
            ("web-staging".to_owned(), artifact("2222222222")),
            ("web".to_owned(), artifact("1111111111")),
            ("migrate".to_owned(), artifact("1111111111")),
        ]
        .into(),
        ..Plan::default()
    };
    Started {
        run: RunId::new(Uuid::nil()),
        project: ProjectId::new(Uuid::nil()),
        pipeline: None,
        flow: FlowId::new(Uuid::nil()),
        path: "shop/production".to_owned(),
        flow_version: 3,
        name: String::new(),
        description: String::new(),
        origin: Origin::Manual,
        author: None,
        parent: None,
        policy: ConcurrencyPolicy::Queue,
        rollback: None,
        plan,
    }
}

/// What the only step would do.
fn one(step: Value) -> Foreseen {
    let mut all = foresee(&started(&[step]));
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn release(origin: &str, target: &str) -> Value {
    json!({"ref": "deploy", "kind": "Release", "spec": {
        "type": "deployment", "origin": {"id": origin, "type": "service"}, "target": {"id": target, "type": "service"},
    }})
}

#[test]
fn a_release_says_what_runs_and_what_would() {
    let moved = one(release("web-staging", "web"));
    assert_eq!(
        (moved.would, moved.words.as_str()),
        (Would::Change, "`web`: commit 2222222 of main instead of commit 1111111 of main")
    );
    assert_eq!((moved.from, moved.to), (Some(artifact("1111111111")), Some(artifact("2222222222"))));
    let same = one(release("web", "web"));
    assert_eq!(
        (same.would, same.words.as_str()),
        (Would::Change, "`web` has commit 1111111 of main already, and is released anew")
    );
    let job = one(json!({"ref": "give", "kind": "Release", "spec": {
        "type": "deployment", "origin": {"id": "web", "type": "service"}, "target": {"id": "migrate", "type": "job"},
    }}));
    assert_eq!(job.would, Would::Nothing, "{}", job.words);
    let nothing = one(release("api", "web"));
    assert_eq!(nothing.would, Would::Fail);
    assert!(nothing.words.contains("nothing_deployed"), "{}", nothing.words);
}

#[test]
fn somebodys_own_program_is_unknown_and_never_nothing() {
    let job = one(json!({"ref": "run", "kind": "JobRun", "spec": {"jobId": "migrate"}}));
    assert_eq!(job.would, Would::Unknown, "{}", job.words);
    let later = one(json!({"ref": "run", "kind": "JobRun", "spec": {"jobId": "${refs.other.id}"}}));
    assert_eq!(later.would, Would::Unknown);
    assert!(later.words.ends_with("the rest is known when `other` has run"), "{}", later.words);
    for kind in ["Action", "RunTemplate"] {
        let said = one(json!({"ref": "do", "kind": kind, "spec": {"x": "${refs.other.id}"}}));
        assert_eq!(said.would, Would::Unknown, "{kind}");
    }
}

#[test]
fn what_an_earlier_step_makes_is_not_taken_from_before() {
    let build = json!({"ref": "make", "kind": "Build", "spec": {"id": "builder", "branch": "main"}});
    let deploy = json!({"ref": "deploy", "kind": "Release", "spec": {
        "type": "build", "origin": {"id": "builder", "branch": "main", "build": "latest"},
        "target": {"id": "web", "type": "service"},
    }});
    let all = foresee(&started(&[build, deploy]));
    assert_eq!(all[1].words, "`web` gets a build, which `make` makes");
    assert_eq!(
        (all[1].would, all[1].from.as_ref(), all[1].to.as_ref()),
        (Would::Change, Some(&artifact("1111111111")), None)
    );
}

#[test]
fn steps_say_when_they_are_not_taken() {
    let noop = |extra: Value| {
        let mut node = json!({"ref": "look", "kind": "Noop", "spec": {}});
        node.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        one(node)
    };
    assert_eq!(noop(json!({"skip": true})).words, "it is skipped");
    assert_eq!(
        noop(json!({"skip": "${refs.look.x}"})).words,
        "it changes nothing; it may be skipped (`skipNodeExecution`)"
    );
    assert_eq!(noop(json!({"when": "failure"})).words, "if something before it fails: it changes nothing");
    let inside = [
        json!({"ref": "group", "kind": "Workflow", "spec": {"type": "sequential"}, "skip": true}),
        json!({"ref": "deploy", "kind": "Noop", "spec": {}, "parent": 1}),
    ];
    assert_eq!(foresee(&started(&inside))[0].words, "it is skipped");
    let body = json!({"ref": "tell", "kind": "Message", "pointer": "/spec", "spec": {}});
    let each =
        one(json!({"ref": "each", "kind": "LoopWorkflow", "spec": {"iterations": [{}, {}]}, "body": [body]}));
    assert_eq!(
        (each.reference.as_str(), each.words.as_str()),
        ("tell", "in each of 2 iterations of `each`: sends a message")
    );
}

#[test]
fn gates_and_secrets_are_named() {
    let gate = json!({"ref": "gate", "kind": "Approval", "spec": {"amount": 2, "approvers": ["lead"], "excludeAuthor": true}});
    let locked = json!({"ref": "write", "kind": "Noop", "spec": {}, "locks": ["db"]});
    let started = started(&[gate, locked]);
    let all = foresee(&started);
    assert_eq!(
        (all[0].would, all[0].words.as_str()),
        (Would::Ask, "waits for 2 approval(s) by lead, not who starts the run")
    );
    assert_eq!(
        gates(&started),
        [
            "it waits for other runs of shop/production that came before it",
            "it waits for the lock `db` while another flow has it"
        ]
    );
    assert_eq!(secrets(&started), ["group/team/KEY@2"]);
}
