//! Build, deploy, promote, run a job and execute a command: real Git, real builds, real processes.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use shipway_integration_tests::{
    lab::Lab,
    shipway::{Shipway, http, wait},
};

#[tokio::test]
async fn what_was_built_once_is_what_runs_everywhere() {
    let shipway = Shipway::up("promote").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    run(&shipway, &["lab/development"]);
    let dev = digest(&shipway, "lab-web-dev");
    let why = || shipway.json(&["why", &dev]).unwrap()["blockers"].clone();
    let told = &why()[0];
    assert_eq!(
        (&told["kind"], &told["action"]),
        (&"not_started".into(), &"shipway run lab/staging".into()),
        "{told}"
    );
    run(&shipway, &["lab/staging"]);
    let told = &why()[0];
    assert_eq!(told["path"], "lab/production", "what was told was done: {told}");
    assert_eq!(digest(&shipway, "lab-web-staging"), dev);
    assert_eq!(digest(&shipway, "lab-migrate"), dev);
    let address = lab.address(&shipway, "lab-web-staging").unwrap();
    let version: serde_json::Value =
        http().get(format!("{address}/version")).send().await.unwrap().json().await.unwrap();
    assert_eq!(version["release"], "one");
    assert_eq!(version["digest"], dev.as_str());
    let logs = shipway.shipway(&["logs", "@latest"]).unwrap();
    assert!(logs.contains("hello from staging") && logs.contains("migrated to one"), "{logs}");
}

#[tokio::test]
async fn a_promotion_takes_what_ran_when_its_run_started() {
    let shipway = Shipway::up("pinned").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    run(&shipway, &["lab/development"]);
    let first = digest(&shipway, "lab-web-dev");
    let staging = shipway.json(&["run", "lab/staging", "-p", "HOLD=600000"]).unwrap();
    let staging = staging["id"].as_str().or(staging["run"].as_str()).unwrap().to_owned();
    lab.release("two").unwrap();
    run(&shipway, &["lab/development"]);
    let second = digest(&shipway, "lab-web-dev");
    assert_ne!(first, second);
    // The run is held far longer than the test takes: what its plan pinned is read while it waits.
    let plan = shipway.shipway(&["events", "--stream", &format!("run-{staging}")]).unwrap();
    assert!(plan.contains(&first) && !plan.contains(&second), "the plan pins what ran at the start");
    shipway.shipway(&["abort", &staging]).unwrap();
    assert_eq!(shipway.ended(&staging).unwrap()["status"], "aborted");
}

#[tokio::test]
async fn a_release_that_does_not_get_healthy_changes_nothing() {
    let shipway = Shipway::up("unhealthy").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    run(&shipway, &["lab/development"]);
    let before = digest(&shipway, "lab-web-dev");
    lab.repository()
        .write("app.rs", "fn main() { eprintln!(\"no config file\"); std::process::exit(4) }")
        .unwrap();
    lab.repository().commit("broken").unwrap();
    lab.repository().push().unwrap();
    let failed = shipway.attempt(&["run", "lab/development", "-w"]).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let ended = shipway.json(&["show", "@latest"]).unwrap();
    let deploy = ended["nodes"].as_array().unwrap().iter().find(|node| node["ref"] == "deploy").unwrap();
    let said = deploy["errorMessage"].as_str().unwrap();
    assert!(
        said.contains("no config file") && said.contains('4'),
        "the last lines and the exit code: {said}"
    );
    assert_eq!(digest(&shipway, "lab-web-dev"), before, "the recorded state is as before");
    let address = lab.address(&shipway, "lab-web-dev").unwrap();
    let version: serde_json::Value =
        http().get(format!("{address}/version")).send().await.unwrap().json().await.unwrap();
    assert_eq!(version["digest"], before.as_str(), "the old set serves");
}

#[tokio::test]
async fn a_failing_build_says_why() {
    let shipway = Shipway::up("build-fails").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    lab.repository().write("app.rs", "fn main() { let x: u32 = \"no\"; }").unwrap();
    lab.repository().commit("does not compile").unwrap();
    lab.repository().push().unwrap();
    assert_eq!(shipway.attempt(&["run", "lab/development", "-w"]).unwrap().status.code(), Some(1));
    let ended = shipway.json(&["show", "@latest"]).unwrap();
    let build = ended["nodes"].as_array().unwrap().iter().find(|node| node["ref"] == "build").unwrap();
    assert_eq!(build["errorCode"], "build_failed");
    assert!(build["errorMessage"].as_str().unwrap().contains("mismatched types"), "{build}");
}

#[tokio::test]
async fn the_state_at_a_time_is_what_a_naive_replay_says() {
    let shipway = Shipway::up("state-at").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    for release in ["one", "two", "three"] {
        lab.release(release).unwrap();
        run(&shipway, &["lab/development"]);
        if release != "two" {
            run(&shipway, &["lab/staging"]);
        }
    }
    let events = shipway.shipway(&["events", "-o", "json"]).unwrap();
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut times: Vec<String> =
        events.iter().map(|event| event["at"].as_str().unwrap().to_owned()).collect();
    times.dedup();
    let mut checked = 0;
    for at in times.iter().step_by(3).chain(times.last()) {
        let expected = replay(&events, at);
        let state = shipway.json(&["state", "--at", at]).unwrap();
        let shown: std::collections::BTreeMap<String, String> = state["deployed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    row["resource"].as_str().unwrap().to_owned(),
                    row["artifact"]["digest"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        assert_eq!(shown, expected, "at {at}");
        checked += 1;
    }
    assert!(checked > 5, "only {checked} instants");
}

/// What ran where at a time, read off the events without any table.
fn replay(events: &[serde_json::Value], at: &str) -> std::collections::BTreeMap<String, String> {
    let mut deployed = std::collections::BTreeMap::new();
    for event in events.iter().filter(|event| event["at"].as_str().unwrap() <= at) {
        for effect in event["data"]["effects"].as_array().into_iter().flatten() {
            if effect["effect"] == "released" {
                let artifact = effect["artifact"]["digest"].as_str().unwrap();
                deployed.insert(effect["slug"].as_str().unwrap().to_owned(), artifact.to_owned());
            }
        }
    }
    deployed
}

#[tokio::test]
async fn a_digest_is_traced_from_the_push_to_where_it_runs() {
    let shipway = Shipway::up("trace").unwrap();
    let lab = Lab::create(&shipway).unwrap();
    lab.tell_pushes(&shipway).unwrap();
    let gate = "- {kind: Approval, ref: gate, spec: {amount: 1}}\n                ";
    let promote = "- {kind: Release, ref: promote, condition: running, spec: {type: deployment, origin: {id: lab-web-staging";
    let gated = lab.project().replacen(promote, &format!("{gate}{promote}"), 1);
    let file = shipway.data().join("gated.yaml");
    std::fs::write(&file, gated).unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();

    let commit = lab.release("two").unwrap();
    let first = pushed(&shipway, &commit);
    let digest = digest(&shipway, "lab-web-dev");
    let before = shipway.json(&["show", &first]).unwrap()["endedAt"].as_str().unwrap().to_owned();
    run(&shipway, &["lab/staging"]);
    let token = shipway.data().join("token");
    let token = token.to_str().unwrap();
    shipway.shipway(&["token", "create", "--name", "grace", "--role", "admin", "--to", token]).unwrap();
    let production = shipway.json(&["run", "lab/production", "--token-file", token]).unwrap();
    let production = production["run"].as_str().unwrap().to_owned();
    wait("the gate", || {
        let shown = shipway.json(&["show", &production])?;
        Ok((shown["status"] == "approval_wait").then_some(()))
    })
    .unwrap();
    // A list says so too, though no table does.
    let waiting = shipway.json(&["runs", "--status", "approval_wait"]).unwrap();
    assert_eq!(waiting["runs"][0]["id"], production.as_str(), "{waiting:#}");
    shipway.shipway(&["approve", &production, "--reason", "fine", "--token-file", token]).unwrap();
    wait("production", || {
        let state = shipway.json(&["state"])?;
        let rows = state["deployed"].as_array().into_iter().flatten();
        Ok(rows.into_iter().any(|row| row["resource"] == "lab-web").then_some(()))
    })
    .unwrap();

    // The short digest that people see is enough.
    let trace = shipway.json(&["trace", &digest["sha256:".len()..][..12]]).unwrap();
    assert_eq!(trace["digest"], digest.as_str());
    let build = &trace["builds"][0];
    assert_eq!((build["commit"].as_str(), build["branch"].as_str()), (Some(commit.as_str()), Some("main")));
    assert_eq!(build["run"]["id"], first.as_str());
    let delivery = &build["run"]["delivery"];
    assert!(delivery["summary"].as_str().unwrap().contains("main"), "{delivery}");
    let deliveries = shipway.json(&["deliveries", "-n", "1"]).unwrap();
    assert_eq!(deliveries["deliveries"][0]["id"], delivery["id"], "{deliveries:#}");
    let places: Vec<_> = trace["releases"].as_array().unwrap().iter().map(|it| &it["resource"]).collect();
    assert_eq!(places, ["lab-web-dev", "lab-migrate", "lab-web-staging", "lab-web"]);
    let last = &trace["releases"][3];
    assert_eq!((&last["until"], &last["stage"]), (&"".into(), &"lab/Production".into()));
    assert_eq!(last["run"]["id"], production.as_str());
    let approval = &last["run"]["approvals"][0];
    assert_eq!((&approval["by"], &approval["node"]), (&"grace".into(), &"gate".into()));
    assert_eq!(approval["reason"], "fine");
    let told = shipway.shipway(&["trace", &digest]).unwrap();
    assert!(told.contains("approved by grace at gate") && told.contains("runs there now"), "{told}");

    let diff = shipway.json(&["state", "--diff", &before, "now"]).unwrap();
    let changed: Vec<_> = diff["changes"].as_array().unwrap().iter().map(|it| &it["resource"]).collect();
    assert_eq!(changed, ["lab-web", "lab-migrate", "lab-web-staging"], "{diff:#}");

    // What takes its place is in the trace, and in the comparison of the two runs.
    let next = lab.release("three").unwrap();
    let second = pushed(&shipway, &next);
    let trace = shipway.json(&["trace", &digest]).unwrap();
    assert_ne!(trace["releases"][0]["until"], "");
    assert_eq!(trace["releases"][0]["replacedBy"], self::digest(&shipway, "lab-web-dev").as_str());
    let compared = shipway.json(&["compare", &first, &second]).unwrap();
    let nodes = compared["nodes"].as_array().unwrap();
    let deploy = nodes.iter().find(|node| node["ref"] == "deploy").unwrap();
    let differs = |what: &str| {
        let all = deploy["differences"].as_array().unwrap();
        all.iter().find(|it| it["what"] == what).unwrap_or_else(|| panic!("no {what} in {deploy:#}")).clone()
    };
    assert_eq!(differs("commit")["left"], commit.as_str());
    assert_eq!(differs("image")["left"], digest.as_str());
    let began = shipway.json(&["show", &first, "--at", "1"]).unwrap();
    assert_eq!((&began["event"], &began["last"]), (&1.into(), &false.into()));
    assert_eq!(began["status"], "running");
}

/// The run that a push has started, once it has ended well: found by its commit.
fn pushed(shipway: &Shipway, commit: &str) -> String {
    wait("the run of a push", || {
        let found =
            shipway.json(&["runs", "lab/development", "--commit", &commit[..12], "--origin", "git"])?;
        let run = &found["runs"][0];
        assert_ne!(run["status"], "failure", "{run:#}");
        Ok((run["status"] == "success").then(|| run["id"].as_str().unwrap_or_default().to_owned()))
    })
    .unwrap()
}

fn run(shipway: &Shipway, arguments: &[&str]) {
    shipway.shipway(&[&["run", "-w"], arguments].concat()).unwrap();
}

fn digest(shipway: &Shipway, resource: &str) -> String {
    wait(&format!("{resource} in the state"), || {
        let state = shipway.json(&["state"])?;
        let row = state["deployed"].as_array().into_iter().flatten().find(|row| row["resource"] == resource);
        Ok(row.and_then(|row| row["artifact"]["digest"].as_str()).map(str::to_owned))
    })
    .unwrap()
}
