//! Plans end to end: looked at, run as they were looked at, and refused once the world has moved.

use serde_json::json;

use crate::{PIPELINE, shipway};

#[tokio::test]
async fn a_plan_is_run_as_it_was_looked_at_or_not_at_all() {
    let shipway = shipway("plans");
    let events = || shipway.shipway(&["events"]).unwrap().lines().count();
    let before = events();
    let plan = shipway.json(&["plan", "lab/staging", "-p", "ENV=eu"]).unwrap();
    assert_eq!(plan["nodes"][0]["would"], "nothing", "{plan:#}");
    let hash = plan["plan"].as_str().unwrap();
    let again = shipway.json(&["plan", "lab/staging", "-p", "ENV=eu"]).unwrap();
    assert_eq!(again["plan"], hash, "nothing has moved");
    let other = shipway.json(&["plan", "lab/staging", "-p", "ENV=us"]).unwrap();
    assert_ne!(other["plan"], hash);
    assert_eq!(events(), before, "a plan changes nothing");

    let run = shipway.json(&["run", "lab/staging", "-p", "ENV=eu", "--plan", hash]).unwrap();
    let ended = shipway.ended(run["run"].as_str().unwrap()).unwrap();
    assert_eq!((&ended["status"], &ended["plan"]), (&json!("success"), &json!(hash)));

    // Other arguments than those that were planned; then another document.
    let refused = shipway.attempt(&["run", "lab/staging", "-p", "ENV=us", "--plan", hash]).unwrap();
    let said = String::from_utf8(refused.stdout).unwrap();
    assert_eq!(
        (refused.status.code(), said.contains("the argument `ENV` has another value")),
        (Some(6), true),
        "{said}"
    );
    let file = shipway.data().join("lab.yaml");
    std::fs::write(
        &file,
        PIPELINE
            .replace("kind: Noop, ref: tell,", "kind: Noop, ref: told,")
            .replace("refs.inner.refs.tell.env", "refs.inner.refs.told.env"),
    )
    .unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let refused = shipway.attempt(&["run", "lab/staging", "-p", "ENV=eu", "--plan", hash]).unwrap();
    let said = String::from_utf8(refused.stdout).unwrap();
    assert_eq!(refused.status.code(), Some(6), "{said}");
    assert!(
        said.contains("the node `tell` was taken away") && said.contains("the node `told` was added"),
        "{said}"
    );
    let runs = shipway.json(&["runs", "lab/staging"]).unwrap();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "what was refused is no run");
}
