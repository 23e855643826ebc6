//! E-1, E-2, E-11 and E-15: services die, or stand still, under running runs.

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

/// What is done to the cluster next, in turn: mostly a service is killed, or stopped where it is for a turn.
fn hit(given: &mut Given, turn: usize, paused: &mut Option<String>) {
    if let Some(name) = paused.take() {
        given.cluster.process(&name).resume().unwrap();
    }
    given.raise();
    match turn % 10 {
        4 => {
            let nats = given.cluster.process("nats-1");
            nats.kill().unwrap();
            nats.spawn().unwrap();
        }
        9 => given.cluster.postgres().crash_and_restart().unwrap(),
        2 | 7 => {
            let name = given.any(&SERVICES);
            given.cluster.process(&name).pause().unwrap();
            *paused = Some(name);
        }
        _ => drop(given.kill_one(&SERVICES)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_2_whatever_dies_for_hours_nothing_is_lost_done_twice_or_grows() {
    let mut given = Given::new("e2", Shape { services: [2; 5], ..Shape::default() });
    // All of the plan's runs take hours: only where this row is asked for.
    let is_asked = std::env::var("SHIPWAY_ROW").is_ok_and(|row| row == "E-2");
    let rounds = sized(1, if is_asked { 10 } else { 2 });
    // The database and NATS are hit every tenth time: each once a minute at full length.
    let (runs, every) = (sized(20, 2000), Duration::from_millis(sized(1200, 6000)));
    let (mut turn, mut paused, mut all, mut memory) = (0, None, Vec::new(), Vec::new());
    for _ in 0..rounds {
        let load = given.load(runs, sized(10, 20));
        let ended = load
            .meanwhile(every, || {
                hit(&mut given, turn, &mut paused);
                turn += 1;
            })
            .await;
        all.extend(ended);
        if let Some(name) = paused.take() {
            given.cluster.process(&name).resume().unwrap();
        }
        given.raise();
        for service in SERVICES {
            given.cluster.wait_ready(service).unwrap();
        }
        // Whoever was killed begins anew: what counts is that all together do not grow from round to round.
        let names = given.cluster.services();
        memory.push(names.iter().filter_map(|name| given.cluster.process(name).memory()).sum::<u64>());
    }
    let verdict = given.judge(&all);
    let (first, last) = (memory[memory.len() / 2], memory[memory.len() - 1]);
    let growth = last as f64 / first as f64 - 1.0;
    println!(
        "ROW E-2 runs={} hits={turn} lost=0 doubled=0 stuck=0 repeats={} refused={} p99={:?} memory={} MiB growth={growth:.3}",
        all.len(),
        verdict.repeats,
        verdict.refused,
        percentile(&all, 99),
        last >> 20,
    );
    assert!(turn > 0, "the runs had ended before anything was hit");
    assert!(rounds == 1 || growth <= 0.05, "{memory:?}");
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
