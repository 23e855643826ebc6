//! A backup is made while runs go on, and becomes another cluster: what it holds goes on there, and nothing that was
//! done is done again.

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

use anyhow::Context as _;
use serde_json::{Value, json};
use shipway_contracts::{Channel, v1::runs_client::RunsClient};
use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    git::Repository,
    shipway::wait,
    sink::What,
    workload::{self, Workload},
};

use crate::{given::Given, places};

/// Runs that have begun and not ended in the backup for certain.
const HELD: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_under_load_goes_on_elsewhere() {
    let mut given = Given::new("backup", Shape::default());
    let runs = 100;
    // These are on their way when the backup is made, whatever the machine is busy with.
    let held = given.load_through("hold", HELD, HELD);
    given
        .sink
        .wait("held requests", Duration::from_secs(60), |ledger| (ledger.len() == HELD).then_some(()))
        .unwrap();
    let load = given.load(runs, 25);
    given
        .sink
        .wait("some effects", Duration::from_secs(60), |ledger| (ledger.len() > 60).then_some(()))
        .unwrap();
    let archive = given.sink.folder().join("backup.tar.zst");
    let file = archive.to_str().unwrap();
    given.cluster.shipway(&["backup", "-o", file]).unwrap();
    let early = load.is_done();
    // All that comes after the backup is lost with this cluster, but not its effects.
    given.sink.release();
    let mut ended = load.ended().await;
    ended.extend(held.ended().await);
    given.judge(&ended);
    let Given { cluster, sink, .. } = given;
    // Schedulers have no keys: a person keeps those apart.
    let kept = sink.folder().join("keys");
    copy(&cluster.keys(), &kept);
    drop(cluster);

    let cluster = Cluster::start_on("restored", Shape::default(), |cluster| {
        copy(&kept, &cluster.keys());
        let (database, blobs) = (cluster.database(), cluster.blobs());
        cluster.shipway(&["restore", file, "--database", &database, "--blobs", &blobs]).map(drop)
    })
    .unwrap();
    let open = wait("the end of what the backup holds", || {
        let listed = cluster.json(&["runs", "load/work", "--limit", "200"])?;
        let all = listed["runs"].as_array().cloned().unwrap_or_default();
        Ok(all.iter().all(|run| run["concluded"] == true).then_some(all))
    })
    .unwrap();
    let known: BTreeSet<usize> = open.iter().filter_map(|run| run["name"].as_str()?.parse().ok()).collect();
    let failed: Vec<_> = open.iter().filter(|run| run["status"] != "success").collect();
    cluster.verify().unwrap();
    let verdict = sink.judge((0..runs + HELD).flat_map(Workload::targets)).unwrap();
    let repeats = sink.ledger().unwrap().iter().filter(|entry| entry.what == What::Repeat).count();
    println!(
        "BACKUP runs={runs} in_backup={} asked_again={repeats} lost={} doubled={} refused={}",
        known.len(),
        verdict.lost.len(),
        verdict.doubled.len(),
        verdict.refused,
    );
    assert!(!early, "the runs had ended before the backup was made");
    assert!(repeats >= HELD, "what was on its way has not been asked for again: {repeats}");
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!((verdict.lost.len(), verdict.doubled.len()), (0, 0), "{verdict:#?}");
}

/// How long a promotion waits before it releases, in milliseconds: the backup is made meanwhile.
const HOLD: u64 = 20_000;
/// The last stage of the project, and the service that its flow promotes to.
const REST: &str = r#"
      nfObjects: [{id: fleet-rest, type: service}]
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          arguments: {HOLD: "0"}
          spec:
            kind: Workflow
            spec:
              type: sequential
              steps:
                - {kind: Noop, ref: hold, spec: {sleepMs: "${args.HOLD}"}}
                - {kind: Release, ref: promote, condition: running, spec: {type: deployment, origin: {id: fleet-0, type: service}, target: {id: fleet-rest, type: service}}}
"#;

/// What runs of each target, by its name: its row.
fn targets(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, Value>> {
    let state = cluster.json(&["state"])?;
    let rows = state["deployed"].as_array().context("no targets")?;
    let named = rows.iter().map(|row| Some((row["resource"].as_str()?.to_owned(), row.clone())));
    named.collect::<Option<_>>().context("a target has no name")
}

async fn run(runs: &RunsClient<Channel>, flow: &str) {
    let started = workload::start(runs, flow, "", &json!({})).await.unwrap();
    let ended = workload::end(runs, &started.run).await.unwrap();
    assert_eq!(ended.status, "success", "{ended:#?}");
}

/// The events of a kind that a target's stream of places has.
fn placed(cluster: &Cluster, row: &Value, kind: &str) -> usize {
    let stream = format!("place-{}", row["id"].as_str().unwrap());
    let events = cluster.shipway(&["events", "--stream", &stream, "-o", "json"]).unwrap();
    let kinds = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone());
    kinds.filter(|found| found == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_a_backup_run_once_each_on_other_hosts() {
    let cluster = Cluster::start("backup-services", Shape::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::create(folder.path(), "fleet").unwrap();
    let runs = RunsClient::new(cluster.channel().unwrap());
    places::push(&repository, "one");
    let services = 2;
    let project = places::project(repository.bare(), services) + REST.trim_start_matches('\n');
    cluster.apply(&(project + &places::service("fleet-rest"))).unwrap();
    run(&runs, "fleet/live").await;
    run(&runs, "fleet/rest").await;
    places::push(&repository, "two");
    run(&runs, "fleet/live").await;
    // This one is on its way when the backup is made: it promotes the second release.
    let promotion =
        workload::start(&runs, "fleet/rest", "", &json!({"HOLD": HOLD.to_string()})).await.unwrap();
    let before = targets(&cluster).unwrap();
    let archive = folder.path().join("backup.tar.zst");
    let file = archive.to_str().unwrap();
    cluster.shipway(&["backup", "-o", file]).unwrap();
    let shown = cluster.json(&["show", &promotion.run]).unwrap();
    assert_eq!(shown["concluded"], false, "it had ended before the backup was made: {shown:#}");
    // What comes after the backup is lost with the cluster.
    places::push(&repository, "three");
    run(&runs, "fleet/live").await;
    let last = targets(&cluster).unwrap();
    let digest = |row: &Value| row["artifact"]["digest"].as_str().unwrap().to_owned();
    assert_ne!(digest(&before["fleet-0"]), digest(&last["fleet-0"]));
    let kept = folder.path().join("keys");
    copy(&cluster.keys(), &kept);
    drop((runs, cluster));

    let cluster = Cluster::start_on("restored-services", Shape::default(), |cluster| {
        copy(&kept, &cluster.keys());
        let (database, blobs) = (cluster.database(), cluster.blobs());
        cluster.shipway(&["restore", file, "--database", &database, "--blobs", &blobs]).map(drop)
    })
    .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let watching = std::thread::spawn({
        let (stop, folder) = (stop.clone(), cluster.folder().to_owned());
        move || places::watch(&stop, &folder)
    });
    let runs = RunsClient::new(cluster.channel().unwrap());
    let ended = workload::end(&runs, &promotion.run).await.unwrap();
    assert_eq!(ended.status, "success", "{ended:#?}");
    // The hosts of the backup are nowhere: they are given up, and what they ran is started on those that are there.
    let hosts = ["executor-1", "executor-2"].map(|name| cluster.executor_id(name).unwrap());
    let now = wait("everything on the hosts that are there", || {
        let now = targets(&cluster)?;
        let settled = |row: &&Value| {
            let runs = row["addresses"][0].as_str().is_some_and(|address| answers(address).is_ok());
            runs && hosts.iter().any(|host| row["executor"] == host.as_str())
                && row["status"] == "running 1/1"
        };
        let open: Vec<_> = now.values().filter(|row| !settled(row)).collect();
        anyhow::ensure!(open.is_empty(), "{open:#?}");
        Ok(Some(now))
    })
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    let (twice, all) = watching.join().unwrap();
    let two = digest(&before["fleet-0"]);
    for (name, row) in &now {
        assert_eq!(digest(row), two, "{name} runs what the backup says: {row:#}");
        assert_eq!(placed(&cluster, row, "place.moved"), 1, "{name}: {row:#}");
    }
    println!("BACKUP services={} moved={} twice={}", now.len(), now.len(), twice.len());
    assert_eq!(all.len(), services + 1, "{all:#?}");
    assert!(twice.is_empty() && all.values().all(|hosts| hosts.len() == 1), "{twice:?} {all:#?}");
    cluster.verify().unwrap();
}

/// Whether something listens there.
fn answers(address: &str) -> anyhow::Result<()> {
    let address = address.trim_start_matches("http://").parse()?;
    std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500))?;
    Ok(())
}

/// Copies a folder that only its owner may see.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
