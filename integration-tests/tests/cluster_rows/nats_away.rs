//! N-1 and N-2: NATS loses all that it stored under running runs, or is not there at all. N-14: it is a newer one.

use std::{path::PathBuf, process::Command, time::Duration};

use shipway_integration_tests::{cluster::Shape, nats::NEW_SERVER, shipway::http, workload::percentile};

use crate::given::{Given, full, judged, sized};

#[tokio::test(flavor = "multi_thread")]
async fn row_n_1_runs_go_on_when_the_message_store_is_wiped() {
    let mut given = Given::new("n1", Shape::default());
    let quiet = given.load(20, 10).ended().await;
    let runs = sized(100, 300);
    let load = given.load(runs, sized(30, 300));
    let mut wiped = 0;
    for _ in 0..3 {
        given.cluster.wipe_nats(1).unwrap();
        wiped += usize::from(!load.is_done());
        // So that each finds streams that were made again and runs that use them.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let ended = load.ended().await;
    let verdict = given.judge(&ended.iter().chain(&quiet).cloned().collect::<Vec<_>>());
    let alone = given.load(runs, sized(30, 300)).ended().await;
    let extra = percentile(&ended, 99).saturating_sub(percentile(&alone, 99));
    println!(
        "ROW N-1 runs={runs} wiped_under_load={wiped} lost=0 doubled=0 repeats={} p50={:?} p99={:?} p99_without={:?} extra={extra:?}",
        verdict.repeats,
        percentile(&ended, 50),
        percentile(&ended, 99),
        percentile(&alone, 99),
    );
    assert!(wiped > 0, "the runs had ended before the store was wiped");
    assert!(!full() || wiped == 3, "the runs had ended before the store was wiped for the third time");
    assert!(!judged() || extra <= Duration::from_secs(5), "{extra:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_n_2_everything_ends_without_nats() {
    let mut given = Given::new("n2", Shape { nats_runs: false, ..Shape::default() });
    let runs = sized(20, 100);
    let without = given.load(runs, 5).ended().await;
    given.cluster.process("nats-1").start().unwrap();
    // The services find it by themselves.
    let found = given.load(runs, 5).ended().await;
    let with = given.load(runs, 5).ended().await;
    given.cluster.process("nats-1").kill().unwrap();
    let away = Duration::from_secs(sized(5, 600));
    let begin = std::time::Instant::now();
    let mut outage = Vec::new();
    while begin.elapsed() < away {
        outage.extend(given.load(10, 5).ended().await);
    }
    behind(&mut given).await;
    let all: Vec<_> = without.iter().chain(&found).chain(&with).chain(&outage).cloned().collect();
    let verdict = given.judge(&all);
    let (p95, normal) = (percentile(&outage, 95).max(percentile(&without, 95)), percentile(&with, 95));
    println!(
        "ROW N-2 runs={} lost=0 doubled=0 repeats={} p95_never_there={:?} p95_gone={:?} p95_there={normal:?} per_node_extra={:?}",
        all.len(),
        verdict.repeats,
        percentile(&without, 95),
        percentile(&outage, 95),
        p95.saturating_sub(normal) / 5,
    );
    assert!(!judged() || p95.saturating_sub(normal) / 5 <= Duration::from_millis(500), "{p95:?} {normal:?}");
}

/// Whole services on a newer server than the installed one, which dies under their runs.
#[tokio::test(flavor = "multi_thread")]
async fn row_n_14_services_run_on_a_newer_server() {
    let Some(newer) = std::env::var_os(NEW_SERVER).map(PathBuf::from) else {
        println!("ROW N-14 services skipped={NEW_SERVER}-names-no-server");
        return;
    };
    let version = Command::new(&newer).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let mut given = Given::new("n14", Shape { nats_program: Some(newer), ..Shape::default() });
    // It is that one which runs.
    let said = given.cluster.process("nats-1").said();
    assert!(said.contains(version.rsplit('v').next().unwrap()), "{version} does not run: {said}");
    let mut ended = given.load(10, 5).ended().await;
    let load = given.load_through("later", 10, 5);
    given.wait_begun(10);
    given.cluster.process("nats-1").kill().unwrap();
    let killed_under_load = !load.is_done();
    given.cluster.process("nats-1").start().unwrap();
    ended.extend(load.ended().await);
    let verdict = given.judge(&ended);
    println!(
        "ROW N-14 services on=({version}) runs={} lost=0 doubled=0 repeats={}",
        ended.len(),
        verdict.repeats
    );
    assert!(killed_under_load, "the runs had ended before the server was killed");
}

/// Waits until the scheduler whose relay leads says for how long it has not come to the log's end, which an alert is about.
async fn behind(given: &mut Given) {
    let schedulers = ["scheduler-1", "scheduler-2"].map(|name| given.cluster.process(name).address());
    let late = async {
        let mut late = 0.0;
        while late <= 0.0 {
            for address in schedulers {
                let answer = http().get(format!("http://{address}/metrics")).send().await.unwrap();
                let text = answer.text().await.unwrap();
                let seconds = text.lines().filter_map(|line| line.strip_prefix("shipway_relay_lag_seconds"));
                let seconds = seconds.filter_map(|line| line.rsplit_once(' ')?.1.parse().ok());
                late = seconds.fold(late, f64::max);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), late).await.expect("a relay says that it is late");
}
