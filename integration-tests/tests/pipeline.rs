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
    run(&shipway, &["lab/staging"]);
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
