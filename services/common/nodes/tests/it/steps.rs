//! What building, releasing and running ask an executor for.

use serde_json::{Map, Value, json};
use shipway_nodes::{Step, Workload, outputs_at_start};

use crate::world::{World, artifact, shown};

#[test]
fn workflow_and_noop() {
    let world = World::new();
    assert_eq!(world.step("Workflow", json!({"type": "parallel"})), Ok(Step::Done { outputs: Map::new() }));
    let noop = world.work("Noop", json!({"fib": "20", "sleepMs": 5, "fail": "no", "outputs": {"a": [1]}}));
    assert_eq!(
        shown(&noop),
        json!({"work": "noop", "fib": 20, "sleep_ms": 5, "fail": "no", "outputs": {"a": [1]}})
    );
    assert_eq!(shown(&world.work("Noop", json!({}))), json!({"work": "noop"}));
    assert!(
        world
            .refused("Noop", json!({"fib": 1000}))
            .contains("`spec.fib`: `fib` is 1000; give a number from 0 to 50")
    );
}

#[test]
fn build() {
    let mut world = World::new();
    let work = world.work("Build", json!({
        "id": "builder", "type": "service", "branch": "main", "sha": "0123456789ABCDEF0123456789abcdef01234567",
        "reuseExistingBuilds": "false",
        "buildOverrides": {"buildArguments": {"LEVEL": 4, "TOKEN": {"$secret": "override/f/TOKEN@1"}}},
    }));
    assert_eq!(
        shown(&work),
        json!({
            "work": "build", "service": "builder", "build": "b-0190aaaabbbb000000fe-3",
            "repository": "file:///srv/app.git", "branch": "main", "sha": "0123456789abcdef0123456789abcdef01234567",
            "reuse": false, "command": "cargo build", "include": ["target/web"], "workDir": "app",
            "arguments": {"PROFILE": "dev", "LEVEL": "4", "TOKEN": {"$secret": "override/f/TOKEN@1"}},
        })
    );
    assert_eq!(
        Value::Object(outputs_at_start(&work)),
        json!({"id": "b-0190aaaabbbb000000fe-3", "branch": "main", "nfObjectId": "builder", "sha": "0123456789abcdef0123456789abcdef01234567"})
    );
    let Workload::Build(latest) = world.work("Build", json!({"id": "builder", "branch": "main", "sha": ""}))
    else {
        panic!()
    };
    assert_eq!((latest.sha, latest.reuse), (None, true));

    // As an expression gives it, which is a text.
    let of_pull_request = world.work("Build", json!({"id": "builder", "pullRequestId": "7"}));
    let Workload::Build(build) = &of_pull_request else { panic!() };
    assert_eq!((build.pull_request, build.branch.as_str(), &build.sha), (Some(7), "refs/pull/7/head", &None));
    assert_eq!(outputs_at_start(&of_pull_request)["pullRequestId"], 7);

    for (spec, expected) in [
        (
            json!({"id": "bulder", "branch": "main"}),
            "unknown_resource: this flow knows no BuildService or CombinedService `bulder`; did you mean `builder`?",
        ),
        (
            json!({"id": "web-dev", "branch": "main"}),
            "wrong_kind: `web-dev` is a DeploymentService, not a BuildService or CombinedService",
        ),
        (json!({"id": "builder", "branch": ""}), "bad_spec: `spec.branch` is empty"),
        (json!({"id": "builder", "branch": "main", "sha": "abc"}), "bad_spec: `spec.sha` is `abc`"),
        (
            json!({"id": "builder", "branch": {"$secret": "x@1"}}),
            "secret_in_spec: `spec.branch` of the Build depends on a secret",
        ),
        (
            json!({"branch": "main"}),
            "bad_spec: the values of this Build do not fit: `spec`: `id` is missing; `id`: the build service, by its id",
        ),
        (json!({"id": "builder", "pullRequestId": ""}), "bad_spec: "),
        (
            json!({"id": "builder", "branch": "main", "pullRequestId": 3}),
            "bad_spec: `spec.branch` and `spec.pullRequestId` are both there",
        ),
    ] {
        let found = world.refused("Build", spec);
        assert!(found.starts_with(expected), "{found}");
    }
    world.resources.get_mut("builder").unwrap().spec["buildSettings"] =
        json!({"dockerfile": {"dockerFilePath": "/Dockerfile"}});
    let found = world.refused("Build", json!({"id": "builder", "branch": "main"}));
    assert!(
        found.starts_with("unsupported: `builder` builds with a Dockerfile, which needs a container runtime"),
        "{found}"
    );
}

#[test]
fn release_of_a_build() {
    let mut world = World::new();
    let spec = json!({
        "type": "build", "origin": {"id": "builder", "branch": "main", "build": "b-1"},
        "target": {"id": "web-dev", "type": "service"},
    });
    let found = world.refused("Release", spec.clone());
    assert_eq!(
        found,
        "no_build: there is no artifact of the build `b-1`: name a finished build, `latest`, or `${refs.<build node>.id}`"
    );
    world.builds.insert("b-1".into(), artifact("b-1"));
    world.condition = Some("running");
    let work = world.work("Release", spec.clone());
    assert_eq!(
        shown(&work),
        json!({
            "work": "release", "target": "web-dev",
            "artifact": {"digest": "sha256:b-1", "build": "b-1", "service": "builder", "commit": "0123456789abcdef0123456789abcdef01234567", "branch": "main"},
            "service": {
                "instances": 2, "command": {"process": "web"},
                "environment": {"A": "1", "DATABASE_URL": {"$text": ["postgresql://", {"$secret": "addon/db/password@1"}]}},
                "ports": [{"name": "http", "public": 20001, "http": true}, {"name": "admin", "public": 20002, "http": false}],
                "health": [
                    {"path": "/healthz", "port": "http", "periodMs": 500, "timeoutMs": 2000, "successes": 2, "failures": 3},
                    {"port": "admin", "periodMs": 200, "timeoutMs": 1000, "successes": 3, "failures": 3},
                ],
                "graceSeconds": 5,
            },
            "wait": true, "timeoutSeconds": 600,
        })
    );
    let mut other = spec.clone();
    other["origin"]["branch"] = json!("dev");
    assert_eq!(
        world.refused("Release", other),
        "no_build: the build `b-1` is of the branch `main`, not `dev`"
    );
    let mut other = spec.clone();
    other["origin"]["id"] = json!("other");
    assert_eq!(
        world.refused("Release", other),
        "no_build: the build `b-1` is one of `builder`, not of `other`"
    );
    let mut own = spec;
    own["origin"]["build"] = json!("b-0190aaaabbbb000000fe-1");
    assert!(
        world
            .refused("Release", own)
            .contains("it has not finished: give its `Build` node `condition: success`")
    );
}

#[test]
fn the_latest_build_is_this_runs_or_the_newest() {
    let mut world = World::new();
    let spec = json!({
        "type": "build", "origin": {"id": "builder", "branch": "main", "build": "latest"},
        "target": {"id": "migrate", "type": "job"},
    });
    assert!(
        world
            .refused("Release", spec.clone())
            .starts_with("no_build: `builder` has no finished build of the branch `main`")
    );
    let mut latest = |id: &str| {
        world.builds.insert(id.into(), artifact(id));
        let Workload::Release(release) = world.work("Release", spec.clone()) else { panic!() };
        assert!(release.service.is_none() && !release.wait);
        release.artifact.build
    };
    assert_eq!(latest("b-0190aaaabbbb00000001-9"), "b-0190aaaabbbb00000001-9");
    assert_eq!(latest("b-0190aaaabbbb00000001-10"), "b-0190aaaabbbb00000001-10");
    assert_eq!(latest("b-0190000000000000000f-11"), "b-0190aaaabbbb00000001-10");
    assert_eq!(latest("b-0190aaaabbbb000000fe-1"), "b-0190aaaabbbb000000fe-1");
    assert_eq!(latest("b-0199999999990000000f-1"), "b-0190aaaabbbb000000fe-1");
    let other =
        shipway_events::plan::Artifact { branch: "dev".into(), ..artifact("b-0190aaaabbbb000000fe-2") };
    world.builds.insert("b-0190aaaabbbb000000fe-2".into(), other);
    let Workload::Release(release) = world.work("Release", spec) else { panic!() };
    assert_eq!(release.artifact.build, "b-0190aaaabbbb000000fe-1");
}

#[test]
fn promotion_takes_what_ran_at_the_start() {
    let mut world = World::new();
    let spec = json!({
        "type": "deployment", "origin": {"id": "web-dev", "type": "service"},
        "target": {"id": "web-stage", "type": "service"},
    });
    assert_eq!(
        world.refused("Release", spec.clone()),
        "nothing_deployed: nothing ran at `web-dev` when this run started, so there is nothing to promote to `web-stage`: run the flow of `web-dev`'s stage, then this one again"
    );
    world.deployed.insert("web-dev".into(), artifact("b-start"));
    world.released.insert("web-dev".into(), artifact("b-later"));
    world.timeout_seconds = Some(30);
    let Workload::Release(release) = world.work("Release", spec) else { panic!() };
    assert_eq!((release.artifact.build.as_str(), release.timeout_seconds), ("b-start", 30));
    assert_eq!(release.service.unwrap().grace_seconds, 30);
    let registry = json!({"type": "registry", "origin": {"imagePath": "ghcr.io/acme/api:1"}, "target": {"id": "web-stage", "type": "service"}});
    assert_eq!(
        world.refused("Release", registry),
        "unsupported: the image `ghcr.io/acme/api:1` needs a container runtime; the process runtime releases builds: `type: build`"
    );
}

#[test]
fn a_service_says_what_it_runs() {
    let mut world = World::new();
    world.deployed.insert("web-dev".into(), artifact("b-1"));
    let mut command = |deployment: Value| {
        world.resources.get_mut("web-stage").unwrap().spec =
            json!({"name": "web-stage", "deployment": deployment});
        let spec = json!({"type": "deployment", "origin": {"id": "web-dev", "type": "service"}, "target": {"id": "web-stage", "type": "service"}});
        match world.step("Release", spec) {
            Ok(Step::Work(Workload::Release(release))) => {
                serde_json::to_value(release.service.unwrap().command).unwrap()
            }
            Err(error) => Value::from(format!("{}: {}", error.code, error.message)),
            other => panic!("{other:?}"),
        }
    };
    for (deployment, expected) in [
        (json!({}), json!({"process": "web"})),
        (json!({"docker": {"configType": "default"}}), json!({"process": "web"})),
        (
            json!({"docker": {"configType": "customCommand", "customCommand": "a 'b c'"}}),
            json!({"words": ["a", "b c"]}),
        ),
        (
            json!({"docker": {"configType": "customEntrypoint", "customEntrypoint": "a b"}}),
            json!({"words": ["a", "b"]}),
        ),
        (
            json!({"docker": {"configType": "customEntrypointCustomCommand", "customEntrypoint": "a b", "customCommand": "c"}}),
            json!({"words": ["a", "b", "c"]}),
        ),
        (
            json!({"buildpack": {"configType": "customProcess", "customProcess": "worker"}}),
            json!({"process": "worker"}),
        ),
        (
            json!({"docker": {"configType": "default"}, "buildpack": {"configType": "customProcess", "customProcess": "worker"}}),
            json!({"process": "worker"}),
        ),
        (
            json!({"docker": {"configType": "customCommand"}}),
            json!(
                "no_command: `web-stage` has `configType: customCommand` and no `customCommand`; set `deployment.docker.customCommand`"
            ),
        ),
        (
            json!({"docker": {"configType": "customCommand", "customCommand": "a 'b"}}),
            json!(
                "no_command: `deployment.docker.customCommand` of `web-stage`: a `'` in the command is never closed"
            ),
        ),
    ] {
        assert_eq!(command(deployment.clone()), expected, "{deployment}");
    }
}

#[test]
fn a_services_ports_must_be_known() {
    let mut world = World::new();
    world.deployed.insert("web-dev".into(), artifact("b-1"));
    let release = json!({"type": "deployment", "origin": {"id": "web-dev", "type": "service"}, "target": {"id": "web-dev", "type": "service"}});
    let spec = &mut world.resources.get_mut("web-dev").unwrap().spec;
    spec["healthChecks"][0]["port"] = json!(1234);
    assert_eq!(
        world.refused("Release", release.clone()),
        "no_port: a health check of `web-dev` is for port `1234`; its ports are `http` and `admin`"
    );
    world.resources.get_mut("web-dev").unwrap().ports.clear();
    assert_eq!(
        world.refused("Release", release),
        "no_port: the port `http` of `web-dev` has no number on this host; apply the service again"
    );
}

#[test]
fn job_run() {
    let mut world = World::new();
    let spec =
        json!({"jobId": "migrate", "runtimeEnvironment": {"A": true, "B": {"$secret": "override/f/B@1"}}});
    assert!(
        world.refused("JobRun", spec.clone()).starts_with(
            "nothing_deployed: the job `migrate` has nothing to run: release a build to it first"
        )
    );
    world.deployed.insert("migrate".into(), artifact("b-old"));
    world.released.insert("migrate".into(), artifact("b-new"));
    let work = world.work("JobRun", spec.clone());
    let mut expected = json!({
        "work": "job", "job": "migrate", "jobRun": "jr-0190aaaabbbb000000fe-3",
        "command": {"words": ["bin/migrate", "--to", "v 2"]},
        "environment": {"A": "true", "DATABASE_URL": {"$text": ["postgresql://", {"$secret": "addon/db/password@1"}]}, "B": {"$secret": "override/f/B@1"}},
        "deadlineSeconds": 900,
    });
    expected["artifact"] = serde_json::to_value(artifact("b-new")).unwrap();
    assert_eq!(shown(&work), expected);
    world.released.clear();
    world.timeout_seconds = Some(60);
    let mut over = spec;
    over["deployment"] = json!({"buildpack": {"configType": "customProcess", "customProcess": "migrate"}});
    let Workload::Job(job) = world.work("JobRun", over) else { panic!() };
    assert_eq!((job.artifact.build.as_str(), job.deadline_seconds), ("b-old", Some(60)));
    assert_eq!(serde_json::to_value(job.command).unwrap(), json!({"process": "migrate"}));

    world.builds.insert("b-7".into(), artifact("b-7"));
    let pinned = json!({"jobId": "migrate", "deployment": {"internal": {"id": "builder", "branch": "main", "buildSHA": "latest"}}});
    let Workload::Job(job) = world.work("JobRun", pinned) else { panic!() };
    assert_eq!(job.artifact.build, "b-7");

    world.deployed.insert("bare".into(), artifact("b-1"));
    for (spec, expected) in [
        (
            json!({"jobId": "bare"}),
            "no_command: the job `bare` does not say what it runs; set `deployment.docker",
        ),
        (
            json!({"jobId": "migrate", "deployment": {"external": {"imagePath": "x"}}}),
            "unsupported: running an image needs a container runtime",
        ),
        (
            json!({"jobId": "migrate", "runtimeEnvironment": {"X": [1]}}),
            "bad_spec: the variable `X` must be text, not a list",
        ),
        (json!({"jobId": "db"}), "wrong_kind: `db` is an Addon, not a ManualJob or CronJob"),
        (json!({}), "bad_spec: the values of this JobRun do not fit: `spec`: `jobId` is missing"),
    ] {
        let found = world.refused("JobRun", spec);
        assert!(found.starts_with(expected), "{found}");
    }
    assert!(world.step("RunJob", json!({"jobId": "migrate"})).is_ok(), "the other name works");
}

#[test]
fn what_is_known_at_the_start_is_what_the_kind_declares() {
    let mut world = World::new();
    for slug in ["web-dev", "migrate"] {
        world.deployed.insert(slug.into(), artifact("b-1"));
    }
    for (kind, spec) in [
        (
            "Build",
            json!({"id": "builder", "branch": "main", "sha": "0123456789abcdef0123456789abcdef01234567"}),
        ),
        (
            "Release",
            json!({"type": "deployment", "origin": {"id": "web-dev", "type": "service"}, "target": {"id": "web-dev", "type": "service"}}),
        ),
        ("JobRun", json!({"jobId": "migrate"})),
        ("AddonBackup", json!({"addonId": "db"})),
        ("Addon", json!({"addonId": "db"})),
        (
            "Action",
            json!({"kind": "Job", "spec": {"type": "execute", "data": {"jobId": "migrate", "command": "x"}}}),
        ),
        ("Action", json!({"kind": "Service", "spec": {"type": "restart", "data": {"serviceId": "web-dev"}}})),
        ("Noop", json!({"outputs": {"a": 1}})),
    ] {
        let known = outputs_at_start(&world.work(kind, spec.clone()));
        let mut known: Vec<_> = known.keys().cloned().collect();
        let outputs = shipway_nodes::find(kind).unwrap().outputs(&spec);
        let mut declared: Vec<_> = outputs.always.iter().map(|path| path.replace(".*", "")).collect();
        known.sort();
        declared.sort();
        assert_eq!(known, declared, "{kind}");
    }
}
