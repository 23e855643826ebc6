//! E-12: retries wait for their time, and schedulers die meanwhile.

use std::{collections::HashMap, time::Duration};

use shipway_integration_tests::{cluster::Shape, sink::What};

use crate::given::{Given, judged, sized};

/// What the workload's flow says between two attempts.
const DELAY: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn row_e_12_each_timer_fires_once_and_in_time() {
    let mut given = Given::new("e12", Shape::default());
    let load = given.load_through("later", sized(60, 2000), sized(30, 400));
    let mut kills = 0;
    let every = Duration::from_secs(sized(3, 5));
    let ended = load
        .meanwhile(every, || {
            kills += 1;
            given.kill_one(&["scheduler"]);
        })
        .await;
    given.judge(&ended);
    let ledger = given.sink.ledger().unwrap();
    let put_off: HashMap<_, _> = ledger
        .iter()
        .filter(|entry| entry.what == What::Later)
        .map(|entry| (entry.target.as_str(), entry.at))
        .collect();
    let waits: Vec<_> = ledger
        .iter()
        .filter(|entry| entry.what == What::Effect)
        .map(|entry| (entry, Duration::from_micros(entry.at - put_off[entry.target.as_str()])))
        .collect();
    let mut late: Vec<_> = waits.iter().map(|(_, waited)| waited.saturating_sub(DELAY)).collect();
    late.sort();
    // An attempt whose outcome nobody had taken when its scheduler died is done again at once, and is no retry.
    let (mut early, mut done_again) = (0, 0);
    for (entry, _) in waits.iter().filter(|(_, waited)| *waited < DELAY) {
        let (number, node) = entry.target.split_once('-').unwrap();
        let run = ended.iter().find(|ended| ended.number.to_string() == number).unwrap();
        match given.attempts(&run.run, node).await {
            1 => done_again += 1,
            _ => early += 1,
        }
    }
    let p = |percent: usize| late[(late.len() * percent).div_ceil(100) - 1];
    println!(
        "ROW E-12 timers={} kills={kills} early={early} done_again={done_again} late_p50={:?} late_p99={:?}",
        late.len() - done_again,
        p(50),
        p(99)
    );
    assert_eq!(late.len(), ended.len() * 5, "each fired once");
    assert_eq!(early, 0);
    assert!(!judged() || p(99) <= Duration::from_secs(5), "{:?}", p(99));
}
