//! E-12: retries wait for their time, first in peace, then while schedulers die.

use std::{collections::HashMap, time::Duration};

use shipway_integration_tests::{
    cluster::Shape,
    sink::{What, now},
    workload::NODES,
};

use crate::given::{Given, judged, sized};

/// What the workload's flow says between two attempts.
const DELAY: Duration = Duration::from_secs(1);

/// How long after a kill everything is as it was: the other scheduler has the runs, and the one that was started again has
/// its share back.
const SETTLED: Duration = Duration::from_secs(3);

/// How late a timer may be while everything is up, and around a kill.
const UP: Duration = Duration::from_secs(1);
const KILLED: Duration = Duration::from_secs(5);

/// A timer: when it was due, in microseconds since 1970, and how late it was.
struct Timer {
    due: u64,
    late: Duration,
}

impl Timer {
    /// Whether a scheduler was killed while it might have fired, or so short a time before it was due that its run was on
    /// its way to another. By its due time alone: whoever is late has no excuse.
    fn is_near(&self, kills: &[u64]) -> bool {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap();
        let near = self.due - micros(SETTLED)..self.due + micros(UP);
        kills.iter().any(|kill| near.contains(kill))
    }
}

/// How late so many of a hundred were at most.
fn late(timers: &[Timer], percent: usize) -> Duration {
    let mut late: Vec<_> = timers.iter().map(|timer| timer.late).collect();
    late.sort();
    late.get((late.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_12_each_timer_fires_once_and_in_time() {
    let mut given = Given::new("e12", Shape::default());
    // Not as many as the machine can do: what is late then waits for its turn, and not for its timer.
    let at_once = sized(30, 100);
    let mut ended = given.load_through("later", sized(20, 400), at_once).ended().await;
    let load = given.load_through("later", sized(40, 1_600), at_once);
    let mut kills = Vec::new();
    let every = Duration::from_secs(sized(3, 5));
    let under_kills = load
        .meanwhile(every, || {
            kills.push(now());
            given.kill_one(&["scheduler"]);
        })
        .await;
    ended.extend(under_kills);
    given.judge(&ended);
    let ledger = given.sink.ledger().unwrap();
    let put_off: HashMap<_, _> = ledger
        .iter()
        .filter(|entry| entry.what == What::Later)
        .map(|entry| (entry.target.as_str(), entry.at))
        .collect();
    let fired: Vec<_> = ledger.iter().filter(|entry| entry.what == What::Effect).collect();
    // An attempt whose outcome nobody had taken when its scheduler died is done again at once, and is no retry.
    let (mut early, mut done_again, mut timers) = (0, 0, Vec::new());
    for entry in &fired {
        let since = put_off[entry.target.as_str()];
        let waited = Duration::from_micros(entry.at - since);
        if waited >= DELAY {
            let due = since + u64::try_from(DELAY.as_micros()).unwrap();
            timers.push(Timer { due, late: waited - DELAY });
            continue;
        }
        let (number, node) = entry.target.split_once('-').unwrap();
        let run = ended.iter().find(|ended| ended.number.to_string() == number).unwrap();
        match given.attempts(&run.run, node).await {
            1 => done_again += 1,
            _ => early += 1,
        }
    }
    let all = timers.len();
    let (near, up): (Vec<_>, Vec<_>) = timers.into_iter().partition(|timer| timer.is_near(&kills));
    println!(
        "ROW E-12 timers={all} kills={} early={early} done_again={done_again} up={} up_late_p50={:?} up_late_p99={:?} \
         killed={} killed_late_p50={:?} killed_late_p99={:?}",
        kills.len(),
        up.len(),
        late(&up, 50),
        late(&up, 99),
        near.len(),
        late(&near, 50),
        late(&near, 99),
    );
    assert_eq!(fired.len(), ended.len() * NODES, "each fired once");
    assert_eq!(early, 0);
    assert!(!up.is_empty() && !near.is_empty(), "there were none of one kind");
    if judged() {
        assert!(late(&up, 99) <= UP, "with all up: {:?}", late(&up, 99));
        assert!(late(&near, 99) <= KILLED, "around kills: {:?}", late(&near, 99));
    }
}
