//! People end to end: tokens, and gates that only different people pass, on a real Shipway.

use std::path::PathBuf;

use serde_json::{Value, json};
use shipway_integration_tests::shipway::Shipway;

use crate::{node, until};

const GATED: &str = r#"
kind: Project
spec: {name: gated, region: local}
---
kind: Pipeline
spec:
  name: gated
  projectId: gated
  stages:
    - name: Development
      releaseFlow:
        kind: ReleaseFlow
        spec:
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {kind: Approval, ref: gate, spec: {amount: 2, approvers: [lead, dan], excludeAuthor: true, timeoutDuration: 3600}}
                - {kind: Noop, ref: after, spec: {outputs: {by: "${refs.gate.approvedBy.0}"}}}
    - name: Production
"#;

/// A Shipway with a gated flow and people who have tokens.
struct Given {
    shipway: Shipway,
    /// Where the people keep their tokens: not where Shipway keeps its data.
    folder: tempfile::TempDir,
}

impl Given {
    fn new(name: &str) -> Self {
        let shipway = Shipway::up(name).unwrap();
        let file = shipway.data().join("gated.yaml");
        std::fs::write(&file, GATED).unwrap();
        shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
        Self { shipway, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a token, by whoever has one already, or by nobody in particular.
    fn token(&self, by: Option<&str>, name: &str, roles: &[&str]) -> Value {
        let file = self.file(name);
        let mut line = vec!["token", "create", "--name", name, "--to", file.to_str().unwrap(), "-o", "json"];
        roles.iter().for_each(|role| line.extend(["--role", role]));
        let (said, code) = self.say(by, &line);
        assert_eq!(code, 0, "{said}");
        serde_json::from_str(&said).unwrap()
    }

    /// What a verb says to somebody, and how it ends.
    fn say(&self, by: Option<&str>, line: &[&str]) -> (String, i32) {
        let file = by.map(|name| self.file(name));
        let proof = file.as_ref().map(|file| ["--token-file", file.to_str().unwrap()]);
        let output =
            self.shipway.attempt(&[line, proof.as_ref().map_or(&[][..], |proof| proof)].concat()).unwrap();
        let all = [&output.stdout[..], if output.status.success() { b"" } else { &output.stderr }].concat();
        (String::from_utf8(all).unwrap(), output.status.code().unwrap())
    }

    /// Starts the gated flow and waits for its gate.
    fn gated(&self, by: Option<&str>) -> String {
        let (said, code) = self.say(by, &["run", "gated/development"]);
        assert_eq!(code, 0, "{said}");
        let run = said.trim().to_owned();
        until(&self.shipway, &run, "gate", "approval_wait");
        run
    }
}

#[tokio::test]
async fn two_people_who_are_meant_and_did_not_start_it_open_a_gate() {
    let given = Given::new("people");
    let made = given.token(None, "ana", &["admin", "lead"]);
    assert_eq!((&made["value"], &made["open"]), (&Value::Null, &json!(false)), "it is in the file alone");
    for (name, roles) in [("bo", &["lead"][..]), ("cy", &["lead"]), ("dan", &[]), ("eve", &["viewer"])] {
        given.token(Some("ana"), name, roles);
    }
    let (said, code) = given.say(None, &["token", "create", "--name", "mallory", "--role", "lead"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("nobody in particular may not make tokens"), "{said}");

    let run = given.gated(Some("ana"));
    let shown = given.shipway.json(&["show", &run]).unwrap();
    assert_eq!(shown["author"], "ana");
    let asked = &node(&shown, "gate")["approval"];
    assert_eq!(asked["may"], json!(["bo", "cy", "dan"]));
    let words = node(&shown, "gate")["waitingFor"].as_str().unwrap();
    for part in ["2 approvals", "except ana", "at most until", "with a token: bo, cy, dan"] {
        assert!(words.contains(part), "{words}");
    }
    for (by, expected) in [
        (Some("ana"), "ana started this run and may not approve it"),
        (Some("eve"), "eve may not approve or reject this: lead and dan may"),
        (None, "may not approve or reject this"),
    ] {
        let (said, code) = given.say(by, &["approve", &run]);
        assert!(said.contains(expected) && code != 0, "{by:?}: {said}");
    }
    for _ in 0..2 {
        let (said, code) = given.say(Some("bo"), &["approve", &run, "--reason", "looks right"]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("waits for 1 approval") && said.contains("with a token: cy, dan"), "{said}");
    }
    // A token that was revoked approves nothing, from that moment on.
    given.say(Some("ana"), &["token", "revoke", "cy"]);
    let (said, code) = given.say(Some("cy"), &["approve", &run]);
    assert!(said.contains("revoked") && code == 4, "{said}");
    let (said, code) = given.say(Some("dan"), &["approve", &run]);
    assert_eq!(code, 0, "{said}");
    let ended = given.shipway.ended(&run).unwrap();
    assert_eq!(ended["status"], "success", "{ended:#}");
    assert_eq!(node(&ended, "after")["outputs"]["by"], "bo");
    let asked = &node(&ended, "gate")["approval"];
    assert_eq!(
        (&asked["given"][0]["reason"], &asked["given"][0]["plan"]),
        (&json!("looks right"), &ended["plan"])
    );

    // No token is anywhere in what Shipway keeps.
    let tokens: Vec<_> = ["ana", "bo", "cy", "dan", "eve"]
        .into_iter()
        .map(|name| std::fs::read_to_string(given.file(name)).unwrap())
        .collect();
    let mut looked_at = 0;
    let mut folders = vec![given.shipway.data().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path()) {
                looked_at += 1;
                let has = |token: &String| bytes.windows(token.len()).any(|part| part == token.as_bytes());
                assert!(!tokens.iter().any(has), "{}", entry.path().display());
            }
        }
    }
    assert!(looked_at > 3, "the log is among what was looked at");
}

#[tokio::test]
async fn a_gate_is_rejected_with_a_reason_and_not_waited_for_in_vain() {
    let given = Given::new("unpassable");
    given.token(None, "bo", &["lead"]);
    let run = given.gated(Some("bo"));
    let (said, code) = given.say(Some("bo"), &["reject", &run, "--reason", "not on a Friday"]);
    assert_eq!(code, 0, "{said}");
    let ended = given.shipway.ended(&run).unwrap();
    assert_eq!(node(&ended, "gate")["errorMessage"], "bo rejected it: not on a Friday");

    // Who started it is not known, so nobody can be somebody else: that is said now, not after an hour.
    let (said, _) = given.say(None, &["run", "gated/development"]);
    let ended = given.shipway.ended(said.trim()).unwrap();
    assert_eq!((&ended["status"], &ended["author"]), (&json!("failure"), &json!("local")));
    let said = node(&ended, "gate")["errorMessage"].as_str().unwrap();
    assert!(said.contains("started without a token"), "{said}");
    let (said, code) = given.say(None, &["token", "whoami"]);
    assert!(said.contains("nobody in particular") && code == 0, "{said}");
}
