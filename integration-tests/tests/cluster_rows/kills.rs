//! E-1, E-11 and E-15: services die, or stand still, under running runs.

use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use shipway_integration_tests::{
    cluster::{SERVICES, Shape},
    workload::percentile,
};

use crate::given::{Given, sized};

#[tokio::test(flavor = "multi_thread")]
async fn row_e_1_services_are_killed_and_nothing_is_lost_or_done_twice() {
    let mut given = Given::new("e1", Shape { services: [2; 5], ..Shape::default() });
    let begin = Instant::now();
    let (runs, every) = (sized(80, 2000), Duration::from_millis(sized(1500, 3000)));
    let load = given.load(runs, sized(10, 20));
    let mut killed = Vec::new();
    let ended = load.meanwhile(every, || killed.push(given.kill_one(&SERVICES))).await;
    let took = begin.elapsed();
    for service in SERVICES {
        given.cluster.wait_ready(service).unwrap();
    }
    let verdict = given.judge(&ended);
    println!(
        "ROW E-1 runs={runs} kills={} lost=0 doubled=0 stuck=0 repeats={} refused={} p50={:?} p99={:?} took={took:?}",
        killed.len(),
        verdict.repeats,
        verdict.refused,
        percentile(&ended, 50),
        percentile(&ended, 99),
    );
    assert!(!killed.is_empty(), "the runs had ended before anything was killed");
    assert!(took < Duration::from_secs(900), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_11_each_of_many_triggers_at_once_is_one_run() {
    let mut given = Given::new("e11", Shape { services: [1, 1, 4, 2, 1], ..Shape::default() });
    let rounds = sized(1, 200);
    let mut all = Vec::new();
    for _ in 0..rounds {
        let load = given.load(50, 50);
        all.extend(load.meanwhile(Duration::from_millis(700), || drop(given.kill_one(&["scheduler"]))).await);
    }
    given.judge(&all);
    println!("ROW E-11 allow triggers={} violations=0 p99={:?}", all.len(), percentile(&all, 99));
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_15_all_services_stand_still_and_go_on() {
    let mut given = Given::new("e15", Shape::default());
    let load = given.load(sized(60, 300), 20);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut names = given.cluster.services();
    for name in &names {
        given.cluster.process(name).pause().unwrap();
    }
    let before = load.is_done();
    tokio::time::sleep(Duration::from_secs(sized(5, 300))).await;
    names.shuffle(&mut rand::rng());
    for name in &names {
        given.cluster.process(name).resume().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let ended = load.ended().await;
    let verdict = given.judge(&ended);
    println!(
        "ROW E-15 runs={} lost=0 doubled=0 repeats={} p99={:?}",
        ended.len(),
        verdict.repeats,
        percentile(&ended, 99)
    );
    assert!(!before, "the runs had ended before anything stood still");
}
