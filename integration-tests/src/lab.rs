//! A project of a test's own: a repository with a program that builds in a second, and a pipeline over it.

use std::net::TcpListener;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    cluster::Cluster,
    git::Repository,
    shipway::{Shipway, wait},
};

const APP: &str = include_str!("../fixtures/app.rs");
const PROCFILE: &str = "web: bin/app web\nmigrate: bin/app migrate\n";

/// The project: its repository, and where its pieces are.
#[derive(Debug)]
pub struct Lab {
    repository: Repository,
    /// What `apply` answered.
    pub applied: Value,
}

impl Lab {
    /// Makes the repository with a first commit, and applies the project.
    ///
    /// # Errors
    /// If Git or Shipway refuse.
    pub fn create(shipway: &Shipway) -> Result<Self> {
        let repository = Repository::create(&shipway.data().join("lab"), "app")?;
        let mut lab = Self { repository, applied: Value::Null };
        lab.release("one")?;
        let file = shipway.data().join("lab.yaml");
        std::fs::write(&file, lab.project())?;
        lab.applied = shipway.json(&["apply", "-f", file.to_str().context("a path in UTF-8")?])?;
        wait("the addon's start", || {
            Ok(shipway.shipway(&["runs", "addon/lab/lab-db"])?.contains("success").then_some(()))
        })?;
        Ok(lab)
    }

    /// The same on a cluster.
    ///
    /// # Errors
    /// If Git or Shipway refuse.
    pub fn create_on(cluster: &Cluster) -> Result<Self> {
        let repository = Repository::create(&cluster.folder().join("lab"), "app")?;
        let mut lab = Self { repository, applied: Value::Null };
        lab.release("one")?;
        lab.applied = cluster.apply(&lab.project())?;
        wait("the addon's start", || {
            Ok(cluster.shipway(&["runs", "addon/lab/lab-db"])?.contains("success").then_some(()))
        })?;
        Ok(lab)
    }

    /// Commits and pushes a program that says it is `release`; the commit's id.
    ///
    /// # Errors
    /// If Git fails.
    pub fn release(&self, release: &str) -> Result<String> {
        self.repository.write("app.rs", &APP.replace("@RELEASE@", release))?;
        self.repository.write("Procfile", PROCFILE)?;
        let commit = self.repository.commit(release)?;
        self.repository.push()?;
        Ok(commit)
    }

    /// Makes the repository tell its pushes.
    ///
    /// # Errors
    /// If the project has no hook or the helper cannot be installed.
    pub fn tell_pushes(&self, shipway: &Shipway) -> Result<()> {
        let hooks = self.applied["hooks"].as_array().context("apply answered no hooks")?;
        let hook = hooks.iter().find(|hook| hook["kind"] == "git").context("there is no hook for pushes")?;
        let text = |field: &str| hook[field].as_str().context("a hook's field");
        let repository = self.repository.bare().to_string_lossy().into_owned();
        shipway.feed(
            &["hook", "install", &repository, "--url", text("url")?, "--known-as", text("of")?],
            text("secret")?,
        )
    }

    /// The repository.
    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The address of a service.
    ///
    /// # Errors
    /// If Shipway does not know one.
    pub fn address(&self, shipway: &Shipway, service: &str) -> Result<String> {
        let state = shipway.json(&["state"])?;
        state["deployed"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["resource"] == service)
            .and_then(|row| row["addresses"][0].as_str())
            .map(str::to_owned)
            .with_context(|| format!("{service} has no address in {state:#}"))
    }

    /// The project's document.
    #[must_use]
    pub fn project(&self) -> String {
        let repository = self.repository.bare().display();
        format!(
            r#"
kind: Project
spec: {{name: lab, region: local}}
---
kind: BuildService
ref: builder
spec:
  name: lab-build
  projectId: lab
  vcsData: {{projectUrl: "file://{repository}", projectType: self-hosted}}
  buildSettings: {{command: {{run: "mkdir -p bin && rustc -C opt-level=0 -o bin/app app.rs", include: [bin, Procfile]}}}}
---
kind: DeploymentService
spec:
  name: lab-web-dev
  projectId: lab
  deployment: {{instances: 2}}
  ports: [{{name: p01, internalPort: 8080, public: true, protocol: HTTP}}]
  healthChecks: [{{protocol: HTTP, path: /healthz, periodSeconds: 0.1, successThreshold: 2}}]
---
kind: DeploymentService
spec:
  name: lab-web-staging
  projectId: lab
  deployment: {{instances: 1}}
  ports: [{{name: p01, internalPort: 8080, public: true, protocol: HTTP}}]
  healthChecks: [{{protocol: HTTP, path: /healthz, periodSeconds: 0.1, successThreshold: 2}}]
---
kind: DeploymentService
spec:
  name: lab-web
  projectId: lab
  deployment: {{instances: 1}}
  ports: [{{name: p01, internalPort: 8080, public: true, protocol: HTTP}}]
  healthChecks: [{{protocol: HTTP, path: /healthz, periodSeconds: 0.1, successThreshold: 2}}]
---
kind: Addon
spec: {{name: lab-db, projectId: lab, type: postgresql, version: latest}}
---
kind: SecretGroup
spec:
  name: lab-secrets
  projectId: lab
  type: secret
  secretType: environment
  addonDependencies: [{{addonId: lab-db, keys: [{{keyName: POSTGRES_URI, aliases: [DATABASE_URL]}}]}}]
---
kind: ManualJob
spec: {{name: lab-migrate, projectId: lab, backoffLimit: 0}}
---
kind: Pipeline
spec:
  name: lab
  projectId: lab
  stages:
    - name: Development
      nfObjects: [{{id: lab-web-dev, type: service}}]
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {{BRANCH: main}}
          triggers: [{{ref: app, vcsService: self-hosted, repoUrl: "file://{repository}", branchRestrictions: [main], prRestrictions: []}}]
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {{kind: Build, ref: build, condition: success, spec: {{id: lab-build, type: service, branch: "${{args.BRANCH}}"}}}}
                - kind: Release
                  ref: deploy
                  condition: running
                  timeoutDuration: 60
                  spec:
                    type: build
                    origin: {{id: lab-build, branch: "${{refs.build.branch}}", build: "${{refs.build.id}}"}}
                    target: {{id: lab-web-dev, type: service}}
    - name: Staging
      nfObjects: [{{id: lab-web-staging, type: service}}, {{id: lab-migrate, type: job}}, {{id: lab-db, type: addon}}]
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {{HOLD: "0", BACKUP: "", SQL: "SELECT 1"}}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - kind: Action
                  ref: restore
                  skipNodeExecution: "${{fn.eq(args.BACKUP, '')}}"
                  spec: {{kind: AddonBackup, spec: {{type: restore, condition: success, data: {{addonId: lab-db, backupId: "${{args.BACKUP}}"}}}}}}
                - {{kind: AddonBackup, ref: backup, condition: success, spec: {{addonId: lab-db, backupType: dump}}}}
                - {{kind: Noop, ref: hold, spec: {{sleepMs: "${{args.HOLD}}"}}}}
                - {{kind: Release, ref: job, condition: running, spec: {{type: deployment, origin: {{id: lab-web-dev, type: service}}, target: {{id: lab-migrate, type: job}}}}}}
                - kind: JobRun
                  ref: migrate
                  condition: success
                  spec:
                    jobId: lab-migrate
                    deployment: {{docker: {{configType: customCommand, customCommand: "bin/app migrate /tmp/ledger"}}}}
                - kind: JobRun
                  ref: sql
                  condition: success
                  spec:
                    jobId: lab-migrate
                    runtimeEnvironment: {{SQL: "${{args.SQL}}"}}
                    deployment: {{docker: {{configType: customCommand, customCommand: "sh -c 'psql \"$DATABASE_URL\" -Atc \"$SQL\"'"}}}}
                - {{kind: Release, ref: promote, condition: running, spec: {{type: deployment, origin: {{id: lab-web-dev, type: service}}, target: {{id: lab-web-staging, type: service}}}}}}
                - {{kind: Action, ref: exec, spec: {{kind: Service, spec: {{type: execute, data: {{serviceId: lab-web-staging, command: "bin/app say hello from staging"}}}}}}}}
    - name: Production
      nfObjects: [{{id: lab-web, type: service}}]
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {{NOTIFY: ""}}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {{kind: Release, ref: promote, condition: running, spec: {{type: deployment, origin: {{id: lab-web-staging, type: service}}, target: {{id: lab-web, type: service}}}}}}
                - {{kind: Message, ref: tell, spec: {{kind: RAW_WEBHOOK, spec: {{webhookUrl: "${{args.NOTIFY}}", message: "released"}}}}}}
"#
        )
    }
}

/// A port that was free a moment ago.
///
/// # Errors
/// If the machine has none.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
