//! A project with a pipeline: Development, Staging, Production.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value, json};
use shipway_documents::{Code, Problem, Problems, flow::Flow};
use shipway_events::{
    ProjectId, ResourceId, RunId,
    plan::{Artifact, BackupPin, Fork, PinnedResource},
    project::ResourceKind::{self, Addon, BuildService, CombinedService, DeploymentService, ManualJob},
    run::NodeError,
};
use shipway_nodes::{
    Step, StepContext, Workload, find,
    validate::{Resource, StageContext, validate_flow},
};

/// What a node of a run sees.
pub(crate) struct World {
    pub(crate) resources: BTreeMap<String, PinnedResource>,
    pub(crate) deployed: BTreeMap<String, Artifact>,
    pub(crate) released: BTreeMap<String, Artifact>,
    pub(crate) builds: BTreeMap<String, Artifact>,
    pub(crate) backups: BTreeMap<String, BackupPin>,
    pub(crate) condition: Option<&'static str>,
    pub(crate) timeout_seconds: Option<u32>,
    pub(crate) iteration: Option<Value>,
    pub(crate) fork: Option<Fork>,
    pub(crate) own_pull_request: Option<u64>,
}

pub(crate) const RUN: &str = "0190aaaa-bbbb-7000-8000-0000000000fe";

pub(crate) fn artifact(build: &str) -> Artifact {
    Artifact {
        digest: format!("sha256:{build}"),
        build: build.to_owned(),
        service: "builder".into(),
        commit: "0123456789abcdef0123456789abcdef01234567".into(),
        branch: "main".into(),
    }
}

fn id(n: u8) -> ResourceId {
    ResourceId::new(
        format!("00000000-0000-7000-8000-0000000000{n:02x}").parse::<ResourceId>().unwrap().uuid(),
    )
}

fn project() -> ProjectId {
    "00000000-0000-7000-8000-000000000099".parse().unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            resources: BTreeMap::new(),
            deployed: BTreeMap::new(),
            released: BTreeMap::new(),
            builds: BTreeMap::new(),
            backups: BTreeMap::new(),
            condition: None,
            timeout_seconds: None,
            iteration: None,
            fork: None,
            own_pull_request: None,
        };
        world.add("builder", BuildService, json!({
            "name": "builder",
            "vcsData": {"projectUrl": "file:///srv/app.git"},
            "buildSettings": {"command": {"run": "cargo build", "include": ["target/web"], "workDir": "/app"}},
            "buildArguments": {"PROFILE": "dev", "LEVEL": 3},
        }));
        world.add("web-dev", DeploymentService, json!({
            "name": "web-dev",
            "deployment": {"instances": "2", "gracePeriodSeconds": 5},
            "ports": [
                {"name": "http", "internalPort": 8080, "public": true, "protocol": "HTTP"},
                {"name": "admin", "internalPort": 9090, "protocol": "TCP"},
            ],
            "healthChecks": [
                {"protocol": "HTTP", "path": "healthz", "port": 8080, "periodSeconds": 0.5, "timeoutSeconds": 2,
                 "initialDelaySeconds": 10, "successThreshold": 2},
                {"protocol": "TCP", "port": "admin"},
            ],
        }));
        world.add("web-stage", DeploymentService, json!({"name": "web-stage"}));
        world.add("migrate", ManualJob, json!({
            "name": "migrate",
            "deployment": {"docker": {"configType": "customCommand", "customCommand": "bin/migrate --to 'v 2'"}},
            "activeDeadlineSeconds": 900,
        }));
        world.add("bare", ManualJob, json!({"name": "bare"}));
        world.add(
            "db",
            Addon,
            json!({
                "name": "db", "type": "postgresql", "version": 16,
                "credentials": {"password": {"$secret": "addon/db/password@1"}},
            }),
        );
        for port in [("web-dev", "http", 20_001), ("web-dev", "admin", 20_002), ("db", "db", 20_003)] {
            let resource = world.resources.get_mut(port.0).unwrap();
            resource.ports.insert(port.1.to_owned(), port.2);
        }
        let env =
            json!({"A": 1, "DATABASE_URL": {"$text": ["postgresql://", {"$secret": "addon/db/password@1"}]}});
        for slug in ["web-dev", "migrate"] {
            world.resources.get_mut(slug).unwrap().environment = env.as_object().unwrap().clone();
        }
        let told = json!({"USERNAME": "shipway", "PASSWORD": {"$secret": "addon/db/password@1"}, "HOST": "127.0.0.1", "PORT": "20003", "DATABASE": "db", "POSTGRES_URI": {"$text": []}});
        world.resources.get_mut("db").unwrap().environment = told.as_object().unwrap().clone();
        world
    }

    pub(crate) fn add(&mut self, slug: &str, kind: ResourceKind, spec: Value) {
        let id = id(u8::try_from(self.resources.len()).unwrap());
        let resource = PinnedResource {
            project: project(),
            id,
            kind,
            spec,
            ports: BTreeMap::new(),
            environment: serde_json::Map::new(),
            login: None,
        };
        self.resources.insert(slug.to_owned(), resource);
    }

    pub(crate) fn step(&self, kind: &str, spec: Value) -> Result<Step, NodeError> {
        find(kind).unwrap().step(
            &spec,
            &StepContext {
                run: RUN.parse::<RunId>().unwrap(),
                node: 3,
                reference: "node",
                project: project(),
                condition: self.condition,
                timeout_seconds: self.timeout_seconds,
                resources: &self.resources,
                deployed: &self.deployed,
                released: &self.released,
                builds: &self.builds,
                backups: &self.backups,
                iteration: self.iteration.as_ref(),
                fork: self.fork.as_ref(),
                own_pull_request: self.own_pull_request,
            },
        )
    }

    pub(crate) fn work(&self, kind: &str, spec: Value) -> Workload {
        match self.step(kind, spec) {
            Ok(Step::Work(work)) => work,
            other => panic!("{other:?}"),
        }
    }

    /// `code: message` of a node that cannot start.
    pub(crate) fn refused(&self, kind: &str, spec: Value) -> String {
        let error = self.step(kind, spec.clone()).expect_err(&spec.to_string());
        assert!(!error.transient);
        format!("{}: {}", error.code, error.message)
    }
}

/// Staging as its flow sees the project.
pub(crate) fn staging() -> StageContext<'static> {
    let mut resources = BTreeMap::new();
    let mut add = |slug: &'static str, kind, stage: Option<&'static str>, unusable: Option<&'static str>| {
        let resource =
            Resource { kind, stage: stage.map(Cow::Borrowed), unusable: unusable.map(Cow::Borrowed) };
        resources.insert(Cow::Borrowed(slug), resource);
    };
    add("builder", BuildService, None, None);
    add("site", CombinedService, None, None);
    add("web-dev", DeploymentService, Some("Development"), None);
    add("web-stage", DeploymentService, Some("Staging"), None);
    add("web-prod", DeploymentService, Some("Production"), Some("it is a member of shop/Production"));
    add("migrate", ManualJob, Some("Staging"), None);
    add("db", Addon, Some("Staging"), None);
    add("loose", DeploymentService, None, Some("it is in no stage"));
    add("tls", ResourceKind::SecretGroup, None, None);
    StageContext { stage: "Staging".into(), previous: Some("Development".into()), resources }
}

pub(crate) fn document(steps: Value) -> Value {
    json!({
        "apiVersion": "v1.2",
        "arguments": {"BRANCH": "main", "TOKEN": {"type": "string", "secret": true}},
        "triggers": [
            {"ref": "app", "repoUrl": "https://x", "branchRestrictions": ["main"]},
            {"kind": "webhook", "ref": "hook", "spec": {"token": "t"}},
        ],
        "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}},
    })
}

/// What is wrong with these steps; that they do not use all that the document declares is left out.
pub(crate) fn check(steps: Value) -> Problems {
    let flow = Flow::parse(&document(steps)).unwrap_or_else(|problems| panic!("{problems}"));
    without_unused(validate_flow(&flow, &staging()))
}

pub(crate) fn without_unused(problems: Problems) -> Problems {
    let counts = |problem: &Problem| !matches!(problem.code, Code::ArgUnused | Code::RefUnused);
    problems.into_iter().filter(counts).collect::<Vec<_>>().into()
}

/// What is said about one node, without its place.
pub(crate) fn said(node: Value) -> Vec<String> {
    let lines = check(json!([node]));
    lines.iter().map(|problem| problem.to_string().replace("/spec/spec/steps/0", "")).collect()
}

/// The work as JSON, targets as their slugs.
pub(crate) fn shown(work: &Workload) -> Value {
    let mut value = serde_json::to_value(work).unwrap();
    strip(&mut value);
    value
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) if members.contains_key("slug") => *value = members["slug"].clone(),
        Value::Object(members) => members.values_mut().for_each(strip),
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
