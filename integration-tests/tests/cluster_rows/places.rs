//! Releases of many services on two executors: at no moment does one target run on both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shipway_contracts::v1::runs_client::RunsClient;
use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    git::Repository,
    workload,
};

use crate::given::sized;

const APP: &str = include_str!("../../fixtures/app.rs");

/// Pushes a program that says it is this release.
pub(crate) fn push(repository: &Repository, release: &str) {
    repository.write("Procfile", "web: bin/app web\n").unwrap();
    repository.write("app.rs", &APP.replace("@RELEASE@", release)).unwrap();
    repository.commit(release).unwrap();
    repository.push().unwrap();
}

pub(crate) fn service(name: &str) -> String {
    format!(
        r#"---
kind: DeploymentService
spec:
  name: {name}
  projectId: fleet
  deployment: {{instances: 1}}
  ports: [{{name: p01, internalPort: 8080, public: true, protocol: HTTP}}]
  healthChecks: [{{protocol: HTTP, path: /healthz, periodSeconds: 0.1, successThreshold: 2}}]
"#
    )
}

/// A build, and so many services that are released from it at once; the last stage, which has nothing in it, may go on.
pub(crate) fn project(repository: &Path, services: usize) -> String {
    let mut text = format!(
        r#"kind: Project
spec: {{name: fleet, region: local}}
---
kind: BuildService
spec:
  name: fleet-build
  projectId: fleet
  vcsData: {{projectUrl: "file://{}", projectType: self-hosted}}
  buildSettings: {{command: {{run: "mkdir -p bin && rustc -C opt-level=0 -o bin/app app.rs", include: [bin, Procfile]}}}}
"#,
        repository.display()
    );
    let (mut members, mut releases) = (String::new(), String::new());
    for number in 0..services {
        text += &service(&format!("fleet-{number}"));
        members += &format!("{{id: fleet-{number}, type: service}}, ");
        releases += &format!(
            r#"                      - kind: Release
                        ref: release-{number}
                        condition: running
                        timeoutDuration: 60
                        spec:
                          type: build
                          origin: {{id: fleet-build, branch: "${{refs.build.branch}}", build: "${{refs.build.id}}"}}
                          target: {{id: fleet-{number}, type: service}}
"#
        );
    }
    text + &format!(
        r#"---
kind: Pipeline
spec:
  name: fleet
  projectId: fleet
  stages:
    - name: Live
      nfObjects: [{members}]
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {{kind: Build, ref: build, condition: success, spec: {{id: fleet-build, type: service, branch: main}}}}
                - kind: Workflow
                  ref: all
                  spec:
                    type: parallel
                    steps:
{releases}    - name: Rest
"#
    )
}

/// Which executors have a keeper for each target, looked at until told to stop: targets that two had at once.
pub(crate) fn watch(
    stop: &AtomicBool,
    cluster: &Path,
) -> (BTreeSet<String>, BTreeMap<String, BTreeSet<String>>) {
    let (mut twice, mut all) = (BTreeSet::new(), BTreeMap::<String, BTreeSet<String>>::new());
    while !stop.load(Ordering::Relaxed) {
        let mut now = BTreeMap::<String, BTreeSet<String>>::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words: Vec<_> = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            let [_, verb, folder, ..] = words.as_slice() else { continue };
            let Ok(below) = Path::new(&**folder).strip_prefix(cluster) else { continue };
            let host = below.iter().next().map(|part| part.to_string_lossy().into_owned());
            let target = below.file_name().map(|part| part.to_string_lossy().into_owned());
            if let (true, Some(host), Some(target)) = (verb == "keeper", host, target) {
                now.entry(target).or_default().insert(host);
            }
        }
        for (target, hosts) in now {
            if hosts.len() > 1 {
                twice.insert(target.clone());
            }
            all.entry(target).or_default().extend(hosts);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (twice, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_executors_never_run_one_target_both() {
    let (releases, services) = (sized(3, 50), sized(4, 10));
    let mut cluster = Cluster::start("places", Shape::default()).unwrap();
    let repository = Repository::create(&cluster.folder().join("git"), "fleet").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let watching = std::thread::spawn({
        let (stop, folder) = (stop.clone(), cluster.folder().to_owned());
        move || watch(&stop, &folder)
    });
    let runs = RunsClient::new(cluster.channel().unwrap());
    for release in 0..releases {
        push(&repository, &format!("r{release}"));
        if release == 0 {
            cluster.apply(&project(repository.bare(), services)).unwrap();
        }
        let started = workload::start(&runs, "fleet/live", "", &serde_json::json!({})).await.unwrap();
        if release == 1 {
            // Its keepers live on, and its targets stay where they are.
            cluster.process("executor-1").kill().unwrap();
            cluster.process("executor-1").spawn().unwrap();
        }
        let ended = workload::end(&runs, &started.run).await.unwrap();
        assert_eq!(ended.status, "success", "{ended:#?}");
    }
    stop.store(true, Ordering::Relaxed);
    let (twice, all) = watching.join().unwrap();
    let moved = all.values().filter(|hosts| hosts.len() > 1).count();
    let hosts: BTreeSet<_> = all.values().flatten().collect();
    println!(
        "PLACES releases={releases} services={services} targets={} hosts={} moved={moved} twice={}",
        all.len(),
        hosts.len(),
        twice.len()
    );
    assert_eq!(all.len(), services, "{all:#?}");
    assert!(twice.is_empty(), "{twice:?} {all:#?}");
    assert_eq!(moved, 0, "{all:#?}");
    // Both are on one host: nobody needs a way, and one would take the port that a target is about to open.
    for executor in ["executor-1", "executor-2"] {
        let said = fs::read_to_string(cluster.folder().join(executor).join("log")).unwrap();
        assert!(!said.contains("something else has the port"), "{executor}: {said}");
    }
    cluster.verify().unwrap();
}
