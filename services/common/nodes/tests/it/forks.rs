//! Builds in the run of a fork's pull request, and who gets them.

use serde_json::{Value, json};
use shipway_events::plan::{Artifact, Fork};
use shipway_nodes::{Workload, workload::Build};

use crate::world::{World, artifact, shown};

const HEAD: &str = "89abcdef0123456789abcdef0123456789abcdef";
const OTHER: &str = "0123456789abcdef0123456789abcdef01234567";

/// A run for pull request #7, of a fork's branch that is called as one of the repository's.
fn fork() -> World {
    let fork = Fork {
        pull_request: 7,
        head: HEAD.to_owned(),
        branch: "main".to_owned(),
        repository: "file:///srv/app".to_owned(),
    };
    World { fork: Some(fork), ..World::new() }
}

/// Pull request, branch and commit of a build, and whether it is apart.
fn built(world: &World, spec: Value) -> (Option<u64>, String, Option<String>, bool) {
    let Workload::Build(build) = world.work("Build", spec) else { panic!() };
    assert!(!(build.apart && build.reuse));
    (build.pull_request, build.branch, build.sha, build.apart)
}

#[test]
fn the_branch_and_the_commit_of_a_fork_are_its_pull_request_at_the_commit_that_was_looked_at() {
    let world = fork();
    let approved = (Some(7), Build::of_pull_request(7), Some(HEAD.to_owned()), true);
    for spec in [
        json!({"id": "builder", "branch": "main", "sha": HEAD}),
        json!({"id": "builder", "branch": "main"}),
        json!({"id": "builder", "branch": "main", "sha": "latest"}),
        json!({"id": "builder", "pullRequestId": 7}),
        json!({"id": "builder", "pullRequestId": "7", "sha": HEAD}),
    ] {
        assert_eq!(built(&world, spec.clone()), approved, "{spec}");
    }
    // Whatever other commit is named may be the fork's too.
    let named = built(&world, json!({"id": "builder", "branch": "dev", "sha": OTHER}));
    assert_eq!(named, (Some(7), Build::of_pull_request(7), Some(OTHER.to_owned()), true));
    // A branch of the repository is what it always is.
    assert_eq!(
        built(&world, json!({"id": "builder", "branch": "dev"})),
        (None, "dev".to_owned(), None, false)
    );
    // As is the branch of that name of another repository.
    let mut other = fork();
    other.fork.as_mut().unwrap().repository = "https://example.org/other.git".to_owned();
    assert!(!built(&other, json!({"id": "builder", "branch": "main"})).3);
    assert_eq!(shown(&world.work("Build", json!({"id": "builder", "pullRequestId": 7})))["apart"], true);
}

#[test]
fn a_pull_request_is_apart_unless_its_host_says_that_it_is_the_repositorys_own() {
    let mut world = World::new();
    let spec = json!({"id": "builder", "pullRequestId": 7});
    assert!(built(&world, spec.clone()).3, "by hand anybody's may be named");
    world.own_pull_request = Some(8);
    assert!(built(&world, spec.clone()).3);
    world.own_pull_request = Some(7);
    assert_eq!(built(&world, spec), (Some(7), Build::of_pull_request(7), None, false));
}

fn released(world: &World, branch: Option<&str>) -> Result<String, String> {
    let mut spec = json!({
        "type": "build", "origin": {"id": "builder", "build": "latest"},
        "target": {"id": "migrate", "type": "job"},
    });
    if let Some(branch) = branch {
        spec["origin"]["branch"] = json!(branch);
    }
    match world.step("Release", spec) {
        Ok(shipway_nodes::Step::Work(Workload::Release(release))) => Ok(release.artifact.build),
        Err(error) => Err(error.code),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_gets_the_build_of_a_pull_request_without_asking_for_it() {
    let own = "b-0190aaaabbbb000000fe-1";
    let of_pull_request = |build: &str| Artifact {
        branch: Build::of_pull_request(7),
        commit: HEAD.to_owned(),
        ..artifact(build)
    };
    let mut world = World::new();
    world.builds.insert("b-2".into(), of_pull_request("b-2"));
    assert_eq!(released(&world, None), Err("no_build".to_owned()));
    assert_eq!(released(&world, Some("main")), Err("no_build".to_owned()));
    assert_eq!(released(&world, Some("refs/pull/7/head")), Ok("b-2".to_owned()));
    world.builds.insert("b-1".into(), artifact("b-1"));
    assert_eq!(released(&world, None), Ok("b-1".to_owned()));

    // The run that made it has it, by the name that the fork's branch has in its flow too.
    let mut world = fork();
    world.builds.insert("b-2".into(), artifact("b-2"));
    assert_eq!(released(&world, Some("main")), Ok("b-2".to_owned()), "nothing of the fork was built yet");
    world.builds.insert(own.into(), of_pull_request(own));
    for branch in [None, Some("main"), Some("refs/pull/7/head")] {
        assert_eq!(released(&world, branch), Ok(own.to_owned()), "{branch:?}");
    }
    let by_id = json!({
        "type": "build", "origin": {"id": "builder", "branch": "main", "build": own},
        "target": {"id": "migrate", "type": "job"},
    });
    let Workload::Release(release) = world.work("Release", by_id) else { panic!() };
    assert_eq!(release.artifact.build, own);
}
