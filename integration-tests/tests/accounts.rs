//! A linked account on a real Shipway: from the command line to the fetch of a private repository's commit.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

#[path = "../../services/common/repository/tests/it/host.rs"]
#[expect(dead_code, reason = "a host that leads elsewhere or says nothing is for other tests")]
mod host;

use std::{fs, path::Path};

use host::{Answer, Host};
use shipway_integration_tests::{git::Repository, shipway::Shipway};

const TOKEN: &str = "canary-of-the-account";
/// `bot:canary-of-the-account`.
const BASIC: &str = "Ym90OmNhbmFyeS1vZi10aGUtYWNjb3VudA==";

fn project(repository: &str, account: &str) -> String {
    format!(
        r#"
kind: Project
spec: {{name: lab, region: local}}
---
kind: BuildService
spec:
  name: lab-build
  projectId: lab
  vcsData: {{projectUrl: "{repository}", projectType: self-hosted, accountLogin: {account}}}
  buildSettings: {{command: {{run: "cat README", include: [README]}}}}
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
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {{kind: Build, ref: b, spec: {{id: lab-build, type: service, branch: main}}, condition: success}}
    - name: Staging
    - name: Production
"#
    )
}

#[test]
fn a_private_repository_is_looked_into_and_built_with_a_linked_account() {
    let shipway = Shipway::up("accounts").unwrap();
    let repository = Repository::create(&shipway.data().join("lab"), "app").unwrap();
    repository.write("README", "private").unwrap();
    let commit = repository.commit("first").unwrap();
    repository.push().unwrap();
    let bare = repository.bare();
    let updated = std::process::Command::new("git").arg("update-server-info").current_dir(bare).status();
    assert!(updated.unwrap().success());
    let host = Host::new(Answer::Files { folder: bare.to_owned(), login: BASIC.to_owned() });
    let place = format!("127.0.0.1:{}", host.port);

    let file = shipway.data().join("lab.yaml");
    fs::write(&file, project(&host.url(), "team")).unwrap();
    let file = file.to_str().unwrap();
    let refused = shipway.attempt(&["apply", "-f", file]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("no linked account is called `team`"), "{said}");

    let add = ["account", "add", "team", "--host", &place, "--login", "bot"];
    shipway.feed(&add, &format!("{TOKEN}\n")).unwrap();
    let listed = shipway.json(&["account", "list"]).unwrap();
    assert_eq!(listed["accounts"][0]["name"], "team");
    let tested = shipway.json(&["account", "test", "team", &host.url()]).unwrap();
    assert_eq!(tested["ok"], true, "{tested}");
    let branches = shipway.json(&["account", "branches", &host.url()]).unwrap();
    assert_eq!(branches["branches"][0]["commit"], commit.as_str());
    let commits = shipway.json(&["account", "commits", bare.to_str().unwrap()]).unwrap();
    assert_eq!(commits["commits"][0]["message"], "first");

    shipway.shipway(&["apply", "-f", file]).unwrap();
    shipway.shipway(&["run", "lab/development", "-w"]).unwrap();
    assert!(host.asked().iter().any(|asked| asked.contains("/objects/") && asked.contains(BASIC)));
    let shown = shipway.json(&["account", "show", "team"]).unwrap();
    assert_eq!(shown["namedBy"][0], "lab: lab-build");
    let removed = shipway.attempt(&["account", "remove", "team"]).unwrap();
    assert!(String::from_utf8_lossy(&removed.stderr).contains("lab: lab-build"), "{removed:?}");

    let mut leaks = Vec::new();
    search(shipway.data(), &mut leaks);
    assert_eq!(leaks, Vec::<String>::new());
}

/// Files in which the credential can be read.
fn search(folder: &Path, leaks: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(&path, leaks);
        } else if let Ok(bytes) = fs::read(&path) {
            let text = String::from_utf8_lossy(&bytes);
            if text.contains(TOKEN) || text.contains(BASIC) {
                leaks.push(path.display().to_string());
            }
        }
    }
}
