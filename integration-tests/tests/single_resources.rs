//! Single resources on a real Shipway, which flows take the place of: a build service that builds the pushes of a plain
//! Git repository by itself, a service that takes the newest build until a flow releases something there, a job that runs
//! when what it runs was changed.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use serde_json::Value;
use shipway_integration_tests::{
    git::Repository,
    shipway::{Shipway, http, wait},
};

/// Two build services over one repository, one of them switched off; two services and two jobs over their builds, of
/// which one service waits for a flow and one job never runs by itself; a flow that releases.
fn project(repository: &str) -> String {
    let builder = |name: &str, more: &str| {
        format!(
            r#"---
kind: BuildService
spec:
  name: {name}
  projectId: lab
  vcsData: {{projectUrl: "file://{repository}", projectType: self-hosted}}
  buildConfiguration: {{branchRestrictions: [main], pathIgnoreRules: ["docs/**"]}}
  buildSettings: {{command: {{run: "mkdir -p bin && rustc -C opt-level=0 -o bin/app app.rs", include: [bin, Procfile]}}}}
{more}"#
        )
    };
    let service = |name: &str, more: &str| {
        format!(
            r#"---
kind: DeploymentService
spec:
  name: {name}
  projectId: lab
  deployment: {{instances: 1, internal: {{id: lab-build, branch: main}}{more}}}
  ports: [{{name: p01, internalPort: 8080, public: true, protocol: HTTP}}]
  healthChecks: [{{protocol: HTTP, path: /healthz, periodSeconds: 0.1}}]
"#
        )
    };
    let job = |name: &str, when: &str| {
        format!(
            r#"---
kind: ManualJob
spec:
  name: {name}
  projectId: lab
  backoffLimit: 0
  deployment: {{internal: {{id: lab-build, branch: main}}, docker: {{configType: customCommand, customCommand: "bin/app say hello"}}}}
  runOnSourceChange: {when}
"#
        )
    };
    [
        "kind: Project\nspec: {name: lab, region: local}\n".to_owned(),
        builder("lab-build", ""),
        builder("lab-build-off", "  disabledCI: true\n"),
        service("lab-web", ""),
        service("lab-held", ", releaseFlowControlled: true"),
        job("lab-migrate", "cd-promote"),
        job("lab-quiet", "never"),
        r#"---
kind: Pipeline
spec:
  name: lab
  projectId: lab
  stages:
    - name: Development
      nfObjects: [{id: lab-web, type: service}, {id: lab-held, type: service}]
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {TARGET: lab-web}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - kind: Release
                  ref: web
                  condition: running
                  spec:
                    type: build
                    origin: {id: lab-build, branch: main, build: latest}
                    target: {id: "${args.TARGET}", type: service}
    - name: Staging
    - name: Production
"#
        .to_owned(),
    ]
    .concat()
}

struct World {
    shipway: Shipway,
    repository: Repository,
}

impl World {
    /// Commits and pushes a program that says which release it is; the commit.
    fn push(&self, release: &str, file: Option<&str>) -> String {
        match file {
            Some(file) => self.repository.write(file, release).unwrap(),
            None => {
                let app = include_str!("../fixtures/app.rs").replace("@RELEASE@", release);
                self.repository.write("app.rs", &app).unwrap();
            }
        }
        let commit = self.repository.commit(release).unwrap();
        self.repository.push().unwrap();
        commit
    }

    fn runs(&self, flow: &str) -> Vec<Value> {
        self.shipway.json(&["runs", flow]).unwrap()["runs"].as_array().unwrap().clone()
    }

    /// Waits until so many runs of a flow have gone well; the newest.
    fn went_well(&self, flow: &str, count: usize) -> Value {
        wait(&format!("{count} good runs of {flow}"), || {
            let runs = self.runs(flow);
            assert!(runs.iter().all(|run| run["status"] != "failure"), "{runs:#?}");
            let ended = runs.len() == count && runs.iter().all(|run| run["status"] == "success");
            Ok(ended.then(|| runs[0].clone()))
        })
        .unwrap()
    }

    fn deployed(&self, service: &str) -> Option<Value> {
        let state = self.shipway.json(&["state"]).unwrap();
        state["deployed"].as_array().unwrap().iter().find(|row| row["resource"] == service).cloned()
    }

    /// What the service says of itself.
    async fn says(&self, service: &str) -> String {
        let row = self.deployed(service).unwrap();
        let address = row["addresses"][0].as_str().unwrap();
        http().get(format!("{address}/version")).send().await.unwrap().text().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_built_and_taken_until_a_flow_releases() {
    let shipway = Shipway::up("single-resources").unwrap();
    let repository = Repository::create(&shipway.data().join("lab"), "app").unwrap();
    repository.write("Procfile", "web: bin/app web\n").unwrap();
    let world = World { shipway, repository };
    let bare = world.repository.bare().to_string_lossy().into_owned();
    let file = world.shipway.data().join("lab.yaml");
    std::fs::write(&file, project(&bare)).unwrap();
    let applied = world.shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    let hook = &applied["hooks"][0];
    let text = |field: &str| hook[field].as_str().unwrap();
    // Plain Git tells of its pushes by the helper.
    let install = ["hook", "install", &bare, "--url", text("url"), "--known-as", text("of")];
    world.shipway.feed(&install, text("secret")).unwrap();

    let first = world.push("one", None);
    world.went_well("build/lab/lab-build", 1);
    world.went_well("cd/lab/lab-web", 1);
    world.went_well("job/lab/lab-migrate", 1);
    assert_eq!(world.deployed("lab-web").unwrap()["artifact"]["commit"], first.as_str());
    assert!(world.says("lab-web").await.contains("one"));
    // What was switched off, is held for a flow, or never runs by itself, has done nothing.
    assert_eq!(world.deployed("lab-held"), None);
    for flow in ["build/lab/lab-build-off", "cd/lab/lab-held", "job/lab/lab-quiet"] {
        let shown = world.shipway.attempt(&["runs", flow, "-o", "json"]).unwrap();
        let said = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            !shown.status.success() || said.contains("\"runs\": []") || said.contains("\"runs\":[]"),
            "{flow}: {said}"
        );
    }
    // Its own rules: a push of files that they leave out is not built, and the delivery says why.
    world.push("only words", Some("docs/words.md"));
    wait("the verdict on the second push", || {
        let listed = world.shipway.json(&["deliveries"])?;
        Ok((listed.to_string().contains("path rule")).then_some(()))
    })
    .unwrap();
    assert_eq!(world.runs("build/lab/lab-build").len(), 1);

    let second = world.push("two", None);
    world.went_well("build/lab/lab-build", 2);
    world.went_well("cd/lab/lab-web", 2);
    assert_eq!(world.deployed("lab-web").unwrap()["artifact"]["commit"], second.as_str());

    // A flow may release what is held for it, and its first release of the other one ends that it takes builds.
    let before = world.shipway.shipway(&["status"]).unwrap();
    assert!(before.contains("lab-web: takes the newest build of lab-build, branch main"), "{before}");
    world.shipway.shipway(&["run", "lab/development", "-p", "TARGET=lab-held", "-w"]).unwrap();
    assert_eq!(world.deployed("lab-held").unwrap()["artifact"]["commit"], second.as_str());
    world.shipway.shipway(&["run", "lab/development", "-w"]).unwrap();
    let after = wait("the word that it was switched off", || {
        let status = world.shipway.shipway(&["status"])?;
        Ok(status.contains("lab-web: takes no builds by itself since run").then_some(status))
    });
    after.unwrap();
    assert!(world.shipway.shipway(&["events"]).unwrap().contains("project.cd_switched_off"));
    world.push("three", None);
    world.went_well("build/lab/lab-build", 3);
    // The job takes the build still, which shows that the service was looked at as well.
    world.went_well("cd/lab/lab-migrate", 3);
    assert_eq!(world.runs("cd/lab/lab-web").len(), 2);
    assert!(world.says("lab-web").await.contains("two"));
}
