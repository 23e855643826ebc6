//! A backup is made while runs go on, and becomes another cluster: what it holds goes on there, and nothing that was
//! done is done again.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    shipway::wait,
    sink::What,
    workload::Workload,
};

use crate::given::Given;

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

/// Copies a folder that only its owner may see.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
