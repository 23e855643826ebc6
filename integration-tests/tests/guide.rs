//! The examples of the guide to flows, run as they stand there: on a real Shipway whose project has the resources that
//! they name.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

use std::fmt::Write as _;

use axum::{Router, routing::post};
use serde_json::{Value, json};
use shipway_integration_tests::{
    git::Repository,
    shipway::{Shipway, wait},
};
use tokio::sync::mpsc;

const GUIDE: &str = include_str!("../../services/common/documents/README.md");

/// What the examples take for a repository.
const REPOSITORY: &str = "https://github.com/acme/api";

const JOBS: [&str; 5] = ["api-migrate", "warm-cache", "migrate", "undo-migration", "report"];
const SERVICES: [&str; 2] = ["api", "api-dev"];

/// The examples, in the order of the page.
fn examples() -> Vec<Value> {
    let blocks = GUIDE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|text| serde_norway::from_str(text).unwrap()).collect()
}

struct World {
    shipway: Shipway,
    repository: Repository,
}

impl World {
    fn create() -> Self {
        let shipway = Shipway::up("guide").unwrap();
        let repository = Repository::create(&shipway.data().join("lab"), "app").unwrap();
        let app = include_str!("../fixtures/app.rs").replace("@RELEASE@", "one");
        repository.write("app.rs", &app).unwrap();
        repository.write("Procfile", "web: bin/app web\n").unwrap();
        repository.commit("one").unwrap();
        repository.push().unwrap();
        Self { shipway, repository }
    }

    fn address(&self) -> String {
        format!("file://{}", self.repository.bare().display())
    }

    /// The resources of a project, and its pipeline with these flows.
    fn apply(&self, project: &str, services: &[&str], jobs: &[&str], pipeline: &Value) {
        let mut text = format!(
            "kind: Project\nspec: {{name: {project}, region: local}}\n---\nkind: BuildService\nspec:\n  \
             name: api-builder\n  projectId: {project}\n  \
             vcsData: {{projectUrl: \"{}\", projectType: self-hosted}}\n  \
             buildSettings: {{command: {{run: \"mkdir -p bin && rustc -C opt-level=0 -o bin/app app.rs\", \
             include: [bin, Procfile]}}}}\n---\nkind: Addon\n\
             spec: {{name: api-db, projectId: {project}, type: postgresql, version: latest}}\n---\n\
             kind: SecretGroup\nspec: {{name: tls, projectId: {project}, secrets: {{files: {{CA: {{data: aGVsbG8=}}}}}}}}\n---\n",
            self.address()
        );
        for service in services {
            let _ = write!(
                text,
                "kind: DeploymentService\nspec:\n  name: {service}\n  projectId: {project}\n  \
                 deployment: {{instances: 1}}\n  \
                 ports: [{{name: p01, internalPort: 8080, public: true, protocol: HTTP}}]\n  \
                 healthChecks: [{{protocol: HTTP, path: /healthz, periodSeconds: 0.1}}]\n---\n"
            );
        }
        for job in jobs {
            let _ = write!(
                text,
                "kind: ManualJob\nspec:\n  name: {job}\n  projectId: {project}\n  backoffLimit: 0\n  \
                 deployment: {{docker: {{configType: customCommand, customCommand: \"bin/app say {job}\"}}}}\n---\n"
            );
        }
        // JSON is YAML.
        text.push_str(&pipeline.to_string());
        let file = self.shipway.data().join("guide.yaml");
        std::fs::write(&file, text.replace(REPOSITORY, &self.address())).unwrap();
        self.shipway.json(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Value {
        let started = self.shipway.json(&[&["run"], arguments].concat()).unwrap();
        // An addon's own run may begin at the same time: the latest one is not always this one.
        let run = started["id"].as_str().or(started["run"].as_str()).unwrap();
        let ran = self.shipway.attempt(&["watch", run]).unwrap();
        let shown = self.shipway.json(&["show", run]).unwrap();
        assert!(ran.status.success(), "{}\n{shown:#}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(shown["status"], "success", "{shown:#}");
        shown
    }
}

fn members(ids: &[&str], kind: &str) -> Vec<Value> {
    ids.iter().map(|id| json!({"id": id, "type": kind})).collect()
}

/// The pipeline of the flows: what each stage does.
fn pipeline(flows: [&Value; 3]) -> Value {
    let flow = |spec: &Value| json!({"kind": "ReleaseFlow", "spec": spec});
    let mut development = [members(&SERVICES, "service"), members(&JOBS, "job")].concat();
    development.push(json!({"id": "api-db", "type": "addon"}));
    json!({"kind": "Pipeline", "spec": {"name": "guide", "projectId": "guide", "stages": [
        {"name": "Development", "nfObjects": development, "releaseFlow": flow(flows[0])},
        {"name": "Staging", "nfObjects": members(&["api-staging"], "service"), "releaseFlow": flow(flows[1])},
        {"name": "Production", "nfObjects": members(&["api-prod"], "service"), "releaseFlow": flow(flows[2])},
    ]}})
}

/// The build that the others take for granted.
fn build() -> Value {
    json!({
        "kind": "Build", "ref": "build", "condition": "success",
        "spec": {"id": "api-builder", "type": "service", "branch": "main"},
    })
}

fn sequence(steps: &[Value]) -> Value {
    json!({"spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}}})
}

/// Puts a build on everything that an example takes for granted.
fn first_releases() -> [Value; 2] {
    let mut steps = vec![build()];
    let targets = [members(&SERVICES, "service"), members(&JOBS, "job")].concat();
    steps.extend(targets.into_iter().map(|target| {
        let origin = json!({"id": "api-builder", "branch": "main", "build": "${refs.build.id}"});
        json!({"kind": "Release", "condition": "running",
            "spec": {"type": "build", "origin": origin, "target": target}})
    }));
    let promote = json!({"kind": "Release", "condition": "running", "spec": {
        "type": "deployment",
        "origin": {"id": "api", "type": "service"},
        "target": {"id": "api-staging", "type": "service"},
    }});
    [sequence(&steps), sequence(&[promote])]
}

/// An address that tells what is sent to it.
async fn listener() -> (String, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let hook = post(move |body: String| async move { drop(tell.send(body)) });
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/hook", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, Router::new().route("/hook", hook)).await });
    (address, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_guide_runs_to_its_end() {
    let world = World::create();
    let (address, mut told) = listener().await;
    let [development, staging] = first_releases();
    let services = [&SERVICES[..], &["api-staging", "api-prod"]].concat();
    let idle = sequence(&[json!({"kind": "Noop", "spec": {}})]);
    world.apply("guide", &services, &JOBS, &pipeline([&development, &staging, &idle]));
    wait("the addon's start", || {
        Ok(world.shipway.shipway(&["runs", "addon/guide/api-db"])?.contains("success").then_some(()))
    })
    .unwrap();
    world.run(&["guide/development"]);
    world.run(&["guide/staging"]);

    let mut ran = 0;
    for example in examples() {
        let text = example.to_string();
        if example["kind"] == "Pipeline" {
            let mut whole = example;
            whole["spec"]["projectId"] = json!("shop");
            let mut before = whole.clone();
            before["spec"]["stages"][0]["releaseFlow"]["spec"] = sequence(&[build()]);
            world.apply("shop", &["api-dev", "api-prod"], &[], &before);
            world.run(&["shop/development"]);
            world.apply("shop", &["api-dev", "api-prod"], &[], &whole);
            world.run(&["shop/development"]);
        } else if text.contains("api-prod") {
            world.apply("guide", &services, &JOBS, &pipeline([&idle, &idle, &example]));
            world.run(&["guide/production"]);
        } else {
            world.apply("guide", &services, &JOBS, &pipeline([&example, &idle, &idle]));
            let mut arguments = vec!["guide/development".to_owned()];
            if text.contains("TOKEN") {
                world
                    .shipway
                    .feed(&["override", "set", "guide/development", "TOKEN"], "t0ken-of-the-cache")
                    .unwrap();
            }
            if text.contains("NOTIFY") {
                arguments.extend(["-p".to_owned(), format!("NOTIFY={address}")]);
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            world.run(&arguments);
            if text.contains("NOTIFY") {
                let said = told.recv().await.unwrap();
                assert!(said.contains(" runs"), "{said}");
            }
        }
        ran += 1;
    }
    assert!(ran >= 6, "examples of the guide are missing");
}
