//! E-3 and E-4: a process dies, a call fails or takes long at each point where something becomes durable or is told
//! to somebody; and each call of the database fails once.

mod cases;
mod deliveries;
mod helped;
mod refused;
mod round;
mod slow;

use std::collections::BTreeSet;

use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};
use shipway_eventing::failpoints;
use shipway_integration_tests::{cluster::Shape, failpoints::Installation};

use self::cases::{Action, Bench, Case};
use crate::given::{full, sized};

/// A source of chance whose seed the test prints; `SHIPWAY_SEED` sets it.
fn chance() -> (SmallRng, u64) {
    let seed = std::env::var("SHIPWAY_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    (SmallRng::seed_from_u64(seed), seed)
}

/// The beginnings of the points that are tried, from `SHIPWAY_POINTS`: all of them when it is absent.
fn wanted() -> Option<Vec<String>> {
    let points = std::env::var("SHIPWAY_POINTS").ok()?;
    Some(points.split(',').map(str::to_owned).collect())
}

/// The points and actions that fired in a run which was cut off, from what it printed: the file `SHIPWAY_TRIED`
/// names. The long test takes the better part of an hour; what is left of it need not begin anew.
fn tried() -> BTreeSet<(String, String)> {
    let Ok(file) = std::env::var("SHIPWAY_TRIED") else { return BTreeSet::new() };
    let printed = std::fs::read_to_string(file).unwrap();
    let cases = printed.lines().filter(|line| line.contains(" fired=true "));
    let cases = cases.filter_map(|line| line.strip_prefix("case ")?.split_once('@')?.0.split_once('='));
    cases.map(|(point, action)| (point.to_owned(), action.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_3_processes_die_fail_and_wait_at_every_point() {
    let (mut random, seed) = chance();
    let wanted = wanted();
    let is_wanted =
        |point: &String| wanted.as_ref().is_none_or(|all| all.iter().any(|begin| point.starts_with(begin)));
    let shape = Shape { services: [1, 2, 2, 2, 1], ..Shape::default() };
    let many = Bench::new(Installation::many("e3", shape).unwrap()).await;
    let tried = tried();
    let is_tried = |case: &Case| tried.contains(&(case.point.clone(), case.action.word().to_owned()));
    let mut fired: BTreeSet<String> = tried.iter().map(|(point, _)| point.clone()).collect();
    let mut cases = tried.len();
    let mut slowest = std::time::Duration::ZERO;
    let mut missed = Vec::new();
    let mut by_cluster = BTreeSet::new();
    for (mut bench, sample) in [(many, 4), (Bench::new(Installation::one("e3").unwrap()).await, 2)] {
        // What a cluster has passed is not tried in one process again.
        let mut all: Vec<Case> = failpoints::all()
            .filter(is_wanted)
            .filter(|point| {
                !by_cluster.contains(point) && (bench.passes(point) || bench.help(point).is_some())
            })
            .flat_map(|point| Action::ALL.map(|action| Case { point: point.clone(), action }))
            .filter(|case| !is_tried(case))
            .collect();
        all.shuffle(&mut random);
        all.truncate(sized(sample, usize::MAX));
        for case in all {
            let took = bench.try_case(&case, &mut random).await;
            slowest = slowest.max(took);
            cases += 1;
        }
        bench.judge_all().await;
        fired.extend(bench.installation.fired().iter().cloned());
        by_cluster = fired.clone();
        missed.append(&mut bench.missed);
    }
    let never: Vec<String> = failpoints::all().filter(|point| !fired.contains(point)).collect();
    println!(
        "ROW E-3 seed={seed} cases={cases} before={} points_fired={} of={} not_fired={} slowest={slowest:?} lost=0 doubled=0 stuck=0",
        tried.len(),
        fired.len(),
        failpoints::all().count(),
        missed.len(),
    );
    if full() && wanted.is_none() {
        assert!(never.is_empty(), "points that never fired: {never:#?}");
        assert!(cases >= 360, "{cases} cases");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_4_each_call_of_the_database_fails_once() {
    let alone = Bench::new(Installation::one("e4").unwrap()).await;
    let mut benches = vec![(alone, vec!["up".to_owned()])];
    if full() {
        let shape = Shape { services: [1, 1, 2, 2, 1], ..Shape::default() };
        let many = Bench::new(Installation::many("e4", shape).unwrap()).await;
        benches.push((many, ["pipelines-1", "triggers-1", "scheduler-1"].map(str::to_owned).to_vec()));
    }
    let (mut calls, mut slowest) = (0, std::time::Duration::ZERO);
    for (mut bench, services) in benches {
        for service in services {
            let mut nth = 1;
            loop {
                let what = format!("db.*=error@{nth}");
                let (fired, took) = bench.try_armed(std::slice::from_ref(&service), &what).await;
                if !fired {
                    break;
                }
                (calls, slowest) = (calls + 1, slowest.max(took));
                // In the test of every day each is about twice as far as the one before.
                nth += sized(nth, 1);
            }
        }
        bench.judge_all().await;
    }
    println!("ROW E-4 calls_failed={calls} slowest={slowest:?} lost=0 doubled=0 stuck=0");
    assert!(calls > 5, "{calls} calls failed");
}
