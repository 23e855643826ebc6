//! One diagnostic flow through all services: a signed push comes in, is judged, starts a run, goes to the
//! executor and back, and is shown.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use shipway_eventing::nats::Names;
use shipway_integration_tests::{
    git::Repository,
    shipway::{Shipway, http, wait},
};

const PIPELINE: &str = r#"
kind: Project
spec: {name: lab, region: local}
---
kind: Pipeline
spec:
  name: lab
  projectId: lab
  stages:
    - name: Development
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          triggers:
            - ref: app
              vcsService: github
              repoUrl: https://github.com/example/lab
              branchRestrictions: [main]
              prRestrictions: []
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {kind: Noop, ref: first, spec: {fib: 20, outputs: {sha: "${triggers.app.sha}"}}}
                - kind: Workflow
                  ref: both
                  spec:
                    type: parallel
                    steps:
                      - {kind: Noop, ref: left, spec: {outputs: {of: "${refs.first.sha}"}}}
                      - {kind: Noop, ref: right, spec: {}}
    - name: Staging
    - name: Production
"#;

#[test]
fn the_log_says_what_programs_that_consume_it_want_to_know() {
    let shipway = Shipway::up("head").unwrap();
    let file = shipway.data().join("lab.yaml");
    std::fs::write(&file, PIPELINE).unwrap();
    shipway.shipway(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let head = shipway.json(&["events", "--head"]).unwrap();
    let last = shipway.shipway(&["events", "-o", "json"]).unwrap();
    let last: Value = serde_json::from_str(last.lines().last().unwrap()).unwrap();
    assert!(head["position"].as_u64() >= last["position"].as_u64(), "{head} {last}");
    assert_eq!((head["id"].as_str().unwrap().len(), &head["generation"]), (36, &json!(1)), "{head}");
    let names = Names::of(head["id"].as_str().unwrap());
    assert_eq!(
        (&head["stream"], &head["subjects"]),
        (&json!(names.events_stream()), &json!(names.all_events()))
    );
    let refused = shipway.attempt(&["events", "--head", "--follow"]).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[tokio::test]
async fn a_signed_push_runs_a_flow_through_all_services() {
    let shipway = Shipway::up("noop").unwrap();
    let file = shipway.data().join("lab.yaml");
    std::fs::write(&file, PIPELINE).unwrap();
    let applied = shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let hook = &applied["hooks"][0];
    assert_eq!(hook["kind"], "git", "{applied}");

    let sha = "3f2a91c03f2a91c03f2a91c03f2a91c03f2a91c0";
    let first = deliver(hook, sha, "d-1").await;
    let run = first["runs"][0]["id"].as_str().unwrap().to_owned();
    let again = deliver(hook, sha, "d-1").await;
    assert_eq!(again["runs"][0]["id"], run.as_str(), "a repeat is answered the same");

    let ended = shipway.ended(&run).unwrap();
    assert_eq!(ended["status"], "success", "{ended:#}");
    let nodes = ended["nodes"].as_array().unwrap();
    let left = nodes.iter().find(|node| node["ref"] == "left").unwrap();
    assert_eq!(left["outputs"]["of"], sha);
    let fib = nodes.iter().find(|node| node["ref"] == "first").unwrap();
    assert_eq!(fib["outputs"]["fib"], 6765);
    let runs = shipway.json(&["runs"]).unwrap();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "one run, however often it was delivered: {runs}");

    let unmatched = deliver_to(hook, "refs/heads/other", sha, "d-2").await;
    assert_eq!(unmatched["runs"].as_array().map(Vec::len), Some(0), "{unmatched}");
    wait("the verdict on the other branch", || {
        let deliveries = shipway.json(&["deliveries"])?;
        Ok(deliveries.to_string().contains("other").then_some(()))
    })
    .unwrap();
    let verdict = shipway.shipway(&["verify"]).unwrap();
    assert!(verdict.contains("as they were written"), "{verdict}");
}

/// A push in a freeze is a run that waits and says why; it goes on when the freeze is lifted, or by itself if somebody
/// lets it pass.
#[tokio::test]
async fn a_push_in_a_freeze_waits_and_goes_on() {
    let shipway = Shipway::up("freeze").unwrap();
    let file = shipway.data().join("lab.yaml");
    std::fs::write(&file, PIPELINE).unwrap();
    let applied = shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let refused = shipway.attempt(&["freeze", "lab/developmet"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("lab/development"), "{said}");
    let freeze = ["freeze", "lab/development", "--until", "in 3d", "-r", "holidays", "--name", "xmas"];
    let frozen = shipway.json(&freeze).unwrap();
    assert_eq!(
        (&frozen["freeze"]["scope"], &frozen["freeze"]["inForce"]),
        (&json!("lab/lab/development"), &json!(true))
    );

    let mut runs = Vec::new();
    for digit in ["1", "2"] {
        let delivered = deliver(&applied["hooks"][0], &digit.repeat(40), digit).await;
        runs.push(delivered["runs"][0]["id"].as_str().unwrap().to_owned());
    }
    for run in &runs {
        let shown = shipway.json(&["show", run]).unwrap();
        assert_eq!(shown["status"], "waiting", "{shown}");
        let reason = shown["reason"].as_str().unwrap();
        assert!(reason.contains("the freeze `xmas` (holidays) until 2"), "{reason}");
    }
    let why = shipway.shipway(&["why", &runs[0]]).unwrap();
    assert!(why.contains("shipway unfreeze xmas"), "{why}");
    shipway.shipway(&["unfreeze", "--run", &runs[1], "-r", "the fix"]).unwrap();
    assert_eq!(shipway.ended(&runs[1]).unwrap()["status"], "success");
    assert_eq!(shipway.json(&["show", &runs[0]]).unwrap()["status"], "waiting");

    let stopped = shipway.json(&["stop-the-line", "lab", "-r", "outage", "--name", "outage"]).unwrap();
    assert_eq!(stopped["inFlight"], json!([]), "nothing had begun");
    let listed = shipway.shipway(&["freezes"]).unwrap();
    assert!(listed.contains("xmas") && listed.contains("outage"), "{listed}");
    let refused = shipway.attempt(&["unfreeze", "--run", &runs[0], "-r", "the fix"]).unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stops all that begins"), "{refused:?}");
    for name in ["xmas", "outage"] {
        assert_eq!(shipway.json(&["show", &runs[0]]).unwrap()["status"], "waiting");
        shipway.shipway(&["unfreeze", name]).unwrap();
    }
    assert_eq!(shipway.ended(&runs[0]).unwrap()["status"], "success");
    assert_eq!(shipway.json(&["freezes"]).unwrap()["freezes"], json!([]));
}

/// Nobody ever calls the hook: Shipway finds the pushes by asking, those of the time when it was away too.
#[tokio::test]
async fn row_w_15_a_push_that_nobody_told_of_starts_its_flow_once() {
    let mut shipway = Shipway::prepare("untold").unwrap();
    shipway.arguments(&["--reconcile", "1"]);
    let repository = Repository::create(&shipway.data().join("lab"), "app").unwrap();
    let push = |words: &str| {
        let commit = repository.commit(words).unwrap();
        repository.push().unwrap();
        commit
    };
    push("before anybody listened");
    let file = shipway.data().join("lab.yaml");
    let address = format!("file://{}", repository.bare().display());
    let pipeline = PIPELINE.replace("https://github.com/example/lab", &address);
    std::fs::write(&file, pipeline.replace("vcsService: github", "vcsService: self-hosted")).unwrap();
    shipway.start().unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let found = |shipway: &Shipway| {
        let listed = shipway.json(&["runs"]).unwrap()["runs"].as_array().unwrap().clone();
        let built = |run: &Value| {
            let ended = shipway.ended(run["id"].as_str().unwrap()).unwrap();
            assert_eq!(ended["status"], "success", "{ended:#}");
            let first =
                ended["nodes"].as_array().unwrap().iter().find(|node| node["ref"] == "first").unwrap();
            first["outputs"]["sha"].as_str().unwrap().to_owned()
        };
        listed.iter().rev().map(built).collect::<Vec<String>>()
    };
    // What was there at the first look starts nothing, and nobody can see from outside when that was: a push is made until
    // one is found, and of those before it none is.
    let mut pushed = Vec::new();
    let mut asked = std::time::Instant::now();
    wait("the first push that is found", || {
        if pushed.is_empty() || asked.elapsed() > std::time::Duration::from_secs(5) {
            pushed.push(push(&format!("push {}", pushed.len())));
            asked = std::time::Instant::now();
        }
        Ok((!found(&shipway).is_empty()).then_some(()))
    })
    .unwrap();
    let mut expected = found(&shipway);
    assert!(expected.len() == 1 && pushed.contains(&expected[0]), "{expected:?} of {pushed:?}");
    // While it is away two come, one after the other: the newest is what there is to run.
    shipway.kill().unwrap();
    push("while it was away");
    expected.push(push("and another"));
    shipway.start().unwrap();
    for words in ["", "while it is here"] {
        if !words.is_empty() {
            expected.push(push(words));
        }
        wait("the push that was missed", || Ok((found(&shipway).len() >= expected.len()).then_some(())))
            .unwrap();
        assert_eq!(found(&shipway), expected);
    }
    let listed = shipway.json(&["deliveries", "--state", "matched"]).unwrap();
    let words: Vec<&str> =
        listed["deliveries"].as_array().unwrap().iter().map(|one| one["summary"].as_str().unwrap()).collect();
    println!("ROW W-15 untold={} runs={}", expected.len(), expected.len());
    assert!(
        words.len() == expected.len() && words.iter().all(|w| w.contains("found by asking")),
        "{words:?}"
    );
}

#[tokio::test]
async fn a_forged_push_changes_nothing() {
    let shipway = Shipway::up("forged").unwrap();
    let file = shipway.data().join("lab.yaml");
    std::fs::write(&file, PIPELINE).unwrap();
    let applied = shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let url = applied["hooks"][0]["url"].as_str().unwrap();
    let answer = http()
        .post(url)
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", "d-1")
        .header("x-hub-signature-256", format!("sha256={}", "0".repeat(64)))
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    let runs = shipway.json(&["runs"]).unwrap();
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(0));
}

async fn deliver(hook: &Value, sha: &str, id: &str) -> Value {
    deliver_to(hook, "refs/heads/main", sha, id).await
}

async fn deliver_to(hook: &Value, reference: &str, sha: &str, id: &str) -> Value {
    let body = json!({
        "ref": reference, "before": "0".repeat(40), "after": sha, "created": true, "deleted": false,
        "forced": false, "commits": [], "head_commit": {"id": sha, "message": "a change"},
        "repository": {"clone_url": "https://github.com/example/lab.git", "html_url": "https://github.com/example/lab"},
        "sender": {"login": "somebody"}
    })
    .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(hook["secret"].as_str().unwrap().as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let answer = http()
        .post(hook["url"].as_str().unwrap())
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    answer.json().await.unwrap()
}

const CHOICES: &str = r#"
kind: Project
spec: {name: lab, region: local}
---
kind: Pipeline
spec:
  name: lab
  projectId: lab
  stages:
    - name: Development
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {REGION: {type: string, default: north}}
          triggers:
            - ref: app
              vcsService: github
              repoUrl: https://github.com/example/lab
              branchRestrictions: [main]
              prRestrictions: []
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {kind: Noop, ref: say, spec: {outputs: {where: "${args.REGION}", of: "${triggers.app.branch}", words: as ever}}}
    - name: Staging
    - name: Production
"#;

/// What is chosen for one run is that run's alone; it can be repeated, and called something else.
#[tokio::test]
async fn a_run_has_choices_of_its_own_and_is_repeated_with_them() {
    let shipway = Shipway::up("choices").unwrap();
    let file = shipway.data().join("lab.yaml");
    std::fs::write(&file, CHOICES).unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let said = |run: &str| shipway.ended(run).unwrap()["nodes"][1]["outputs"].clone();
    let choices = ["-p", "REGION=south", "--set", "say.outputs.words=for once", "--set", "app.branch=hotfix"];
    let planned = shipway.json(&[&["plan", "lab/development"], &choices[..]].concat()).unwrap();
    let plan = planned["plan"].as_str().unwrap();
    let start =
        [&["run", "lab/development", "--plan", plan, "--idempotency-key", "job-7"], &choices[..]].concat();
    let run = shipway.json(&start).unwrap()["run"].as_str().unwrap().to_owned();
    let chosen = json!({"where": "south", "of": "hotfix", "words": "for once"});
    assert_eq!(said(&run), chosen, "and its plan is the one that was looked at");
    let repeated = shipway.json(&start).unwrap();
    assert_eq!(repeated["run"], run.as_str(), "the same key is the same run");
    let plain = shipway.json(&["run", "lab/development"]).unwrap()["run"].as_str().unwrap().to_owned();
    assert_eq!(said(&plain), json!({"where": "north", "of": "main", "words": "as ever"}));

    // Another version of the flow changes nothing for what is repeated.
    std::fs::write(&file, CHOICES.replace("as ever", "as from now on")).unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let again = shipway.json(&["rerun", &run]).unwrap()["run"].as_str().unwrap().to_owned();
    assert_eq!(said(&again), chosen);
    let other = ["rerun", &plain, "-p", "REGION=west"];
    let other = shipway.json(&other).unwrap()["run"].as_str().unwrap().to_owned();
    assert_eq!(said(&other), json!({"where": "west", "of": "main", "words": "as ever"}));
    let shown = shipway.shipway(&["show", &again]).unwrap();
    assert!(shown.contains(&format!("run {} again, version 1 of the flow", &run[..13])), "{shown}");
    assert!(shown.contains("set for this run: say.outputs.words = \"for once\""), "{shown}");

    let refused = shipway.attempt(&["run", "lab/development", "--set", "sya.outputs.words=x"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("did you mean `say`?"), "{said}");

    let gated = CHOICES.replace(
        "              steps:\n",
        "              steps:\n                - {kind: Approval, ref: gate, spec: {amount: 1}}\n",
    );
    std::fs::write(&file, gated).unwrap();
    shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let refused = shipway.attempt(&["rerun", &run]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("no approval as `gate`"), "{said}");

    shipway.json(&["describe", &run, "--name", "the fix", "-m", "checkout was down"]).unwrap();
    shipway.json(&["describe", &run, "-m", "checkout was down in the south"]).unwrap();
    let shown = shipway.json(&["show", &run]).unwrap();
    assert_eq!(
        (&shown["name"], &shown["description"], &shown["status"]),
        (&json!("the fix"), &json!("checkout was down in the south"), &json!("success"))
    );
    wait("the list to know it", || {
        let listed = shipway.json(&["runs", "--name", "THE FIX"])?;
        Ok((listed["runs"][0]["id"] == run.as_str()).then_some(()))
    })
    .unwrap();
    let verdict = shipway.shipway(&["verify"]).unwrap();
    assert!(verdict.contains("as they were written"), "{verdict}");
}
