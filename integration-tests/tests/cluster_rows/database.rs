//! L-7: PostgreSQL goes away under running runs, and comes back.

use std::time::{Duration, Instant};

use shipway_integration_tests::{cluster::Shape, workload::percentile};

use crate::given::{Given, judged, sized};

#[tokio::test(flavor = "multi_thread")]
async fn row_l_7_runs_go_on_when_the_database_is_back() {
    let mut given = Given::new("l7", Shape::default());
    let runs = sized(100, 500);
    let load = given.load(runs, sized(30, 500));
    tokio::time::sleep(Duration::from_secs(1)).await;
    given.cluster.postgres().stop().unwrap();
    let early = load.is_done();
    tokio::time::sleep(Duration::from_secs(sized(6, 30))).await;
    given.cluster.postgres().start_again().unwrap();
    let back = Instant::now();
    let ended = load.ended().await;
    let after = back.elapsed();
    for name in given.cluster.services() {
        assert!(
            given.cluster.process(&name).runs(),
            "{name} has ended: {}",
            given.cluster.process(&name).said()
        );
    }
    let verdict = given.judge(&ended);
    println!(
        "ROW L-7 runs={runs} lost=0 doubled=0 exited=0 repeats={} all_ended_after_return={after:?} p99={:?}",
        verdict.repeats,
        percentile(&ended, 99),
    );
    assert!(!early, "the runs had ended before the database was stopped");
    assert!(!judged() || after < Duration::from_secs(60), "{after:?}");
}
