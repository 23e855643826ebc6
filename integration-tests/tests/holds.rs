//! A hold in the whole product: pushes as a Git host signs and delivers them, and what automation makes of them.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use shipway_integration_tests::{
    lab::Lab,
    shipway::{Shipway, http},
};

/// How many pushes come during the hold.
const PUSHES: usize = 5;

#[tokio::test]
async fn row_h_1_pushes_of_a_git_host_during_a_hold_are_held_and_promote_nothing() {
    let shipway = Shipway::up_with("holds", &["--reconcile", "0"]).unwrap();
    let lab = Lab::create(&shipway).unwrap();
    // The very commit that was pushed is built and released.
    let pushed = r#"branch: "${args.BRANCH}", sha: "${triggers.app.sha}""#;
    let project = lab.project().replacen(r#"branch: "${args.BRANCH}""#, pushed, 1);
    let file = shipway.data().join("pushed.yaml");
    std::fs::write(&file, project).unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let push = async |release: &str| {
        let commit = lab.release(release).unwrap();
        let run = deliver(&lab, &commit).await;
        (shipway.ended(&run).unwrap(), commit)
    };
    let (first, broken) = push("broken").await;
    assert_eq!(first["status"], "success", "{first:#}");
    let hold = ["hold", "lab/development", "--commit", &broken, "--name", "after-it", "-m", "loses orders"];
    let held = shipway.json(&hold).unwrap()["position"].as_u64().unwrap();

    let mut skipped = Vec::new();
    for n in 0..PUSHES {
        let (run, commit) = push(&format!("during-{n}")).await;
        assert_eq!(run["status"], "skipped", "{run:#}");
        assert!(run["reason"].as_str().unwrap().contains("held by after-it"), "{run:#}");
        skipped.push((run["id"].as_str().unwrap().to_owned(), commit));
    }
    let events = events_after(&shipway, held);
    let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
    let told: Vec<_> = of("run.held")
        .map(|event| {
            let run = event["stream"].as_str().unwrap().strip_prefix("run-").unwrap().to_owned();
            (run, event["data"]["artifact"]["commit"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(told, skipped, "every push that was held back has its event");
    let promoted = of("run.node_succeeded").count();
    assert_eq!((promoted, of("run.attempt_requested").count()), (0, 0), "nothing was built or released");
    assert_eq!(commit_of(&shipway), broken);
    println!("ROW H-1 program pushes={PUSHES} held={} promoted={promoted}", told.len());

    // What is told is done. What was skipped stays so; the next push is released.
    let why = shipway.json(&["why", &skipped[0].0]).unwrap();
    let told = &why["blockers"][0];
    assert_eq!((&told["kind"], &told["action"]), (&json!("held_back"), &json!("shipway unhold after-it")));
    shipway.shipway(&["unhold", "after-it", "-m", "found"]).unwrap();
    assert_eq!(commit_of(&shipway), broken);
    let (next, commit) = push("mended").await;
    assert_eq!(next["status"], "success", "{next:#}");
    assert_eq!(commit_of(&shipway), commit);
    for (run, _) in &skipped {
        assert_eq!(shipway.json(&["show", run]).unwrap()["status"], "skipped");
    }
    assert_eq!(shipway.json(&["holds"]).unwrap()["holds"], json!([]));
}

/// Delivers a push to `main` as GitHub signs it; the run that it starts.
async fn deliver(lab: &Lab, commit: &str) -> String {
    let hooks = lab.applied["hooks"].as_array().unwrap();
    let hook = hooks.iter().find(|hook| hook["kind"] == "git").unwrap();
    let address = hook["addresses"].as_array().unwrap().iter().find(|one| one["sender"] == "github").unwrap();
    let repository = format!("file://{}", lab.repository().bare().display());
    let body = json!({
        "ref": "refs/heads/main", "before": "1".repeat(40), "after": commit, "created": false, "deleted": false,
        "forced": false, "commits": [{"id": commit, "message": "a change"}],
        "head_commit": {"id": commit, "message": "a change"},
        "repository": {"clone_url": repository, "html_url": repository}, "sender": {"login": "ada"},
    })
    .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(hook["secret"].as_str().unwrap().as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let answer = http()
        .post(address["url"].as_str().unwrap())
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", commit)
        .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.unwrap();
    let runs = answer["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1, "{answer:#}");
    runs[0]["id"].as_str().unwrap().to_owned()
}

/// What is in the log after a position.
fn events_after(shipway: &Shipway, position: u64) -> Vec<Value> {
    let text = shipway.shipway(&["events", "--after", &position.to_string(), "-o", "json"]).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The commit that the stage's service runs.
fn commit_of(shipway: &Shipway) -> String {
    let state = shipway.json(&["state"]).unwrap();
    let rows = state["deployed"].as_array().unwrap();
    let row = rows.iter().find(|row| row["resource"] == "lab-web-dev").unwrap();
    row["artifact"]["commit"].as_str().unwrap().to_owned()
}
