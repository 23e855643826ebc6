//! E-5 and E-8 for whole runs: an executor stands still past its lease, or dies, while its effects are on their way.

use std::time::{Duration, Instant};

use shipway_integration_tests::{
    cluster::Shape,
    sink::{Entry, What},
};

use sqlx::PgPool;

use crate::given::{Given, judged, sized};

/// As long as anybody else may take over: the lease, and what it takes to look.
const TAKEN_OVER: Duration = Duration::from_secs(60);

/// The targets whose first request is held, and when it came.
fn held(ledger: &[Entry]) -> Vec<&Entry> {
    ledger.iter().filter(|entry| entry.what == What::Held).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_5_a_zombie_executor_changes_nothing() {
    let mut given = Given::new("e5", Shape { services: [1, 1, 1, 1, 1], ..Shape::default() });
    let load = given.load_through("hold", 1, 1);
    given.sink.wait("a held request", TAKEN_OVER, |ledger| (!held(ledger).is_empty()).then_some(())).unwrap();
    let begin = Instant::now();
    given.cluster.process("executor-1").pause().unwrap();
    let name = given.cluster.add_executor().unwrap();
    given
        .sink
        .wait("the effect of another executor", TAKEN_OVER, |ledger| {
            ledger.iter().any(|entry| entry.what == What::Effect).then_some(())
        })
        .unwrap();
    let replaced = begin.elapsed();
    // The zombie's own request is answered now, and it wakes up to that answer: awake, it would first see that its time is
    // up, and hang up.
    given.sink.release();
    let refused = given
        .sink
        .wait("the refusal of the zombie's effect", TAKEN_OVER, |ledger| {
            ledger.iter().any(|entry| entry.what == What::Refused).then_some(())
        })
        .is_ok();
    given.cluster.process("executor-1").resume().unwrap();
    let ended = load.ended().await;
    let verdict = given.judge(&ended);
    println!("ROW E-5 by={name} replaced_after={replaced:?} refused={} doubled=0", verdict.refused);
    assert!(refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_8_attempts_of_a_dead_executor_are_begun_again() {
    let rounds = sized(1, 20);
    let mut times = Vec::new();
    for round in 0..rounds {
        let mut given = Given::new(&format!("e8-{round}"), Shape::default());
        let load = given.load_through("hold", 20, 20);
        given
            .sink
            .wait("all first requests", TAKEN_OVER, |ledger| (held(ledger).len() == 20).then_some(()))
            .unwrap();
        given.cluster.process("executor-1").kill().unwrap();
        let killed = shipway_integration_tests::sink::now();
        // What the other holds goes on waiting; what the dead one held comes again.
        given
            .sink
            .wait("effects of what was begun again", TAKEN_OVER, |ledger| {
                ledger.iter().any(|entry| entry.what == What::Effect).then_some(())
            })
            .unwrap();
        given.sink.release();
        let ended = load.ended().await;
        let ledger = given.sink.ledger().unwrap();
        let first =
            |target: &str| ledger.iter().find(|entry| entry.target == target && entry.what == What::Effect);
        let again = held(&ledger).into_iter().filter_map(|held| {
            let effect = first(&held.target)?;
            (effect.fence > held.fence).then(|| Duration::from_micros(effect.at - killed))
        });
        times.extend(again);
        given.judge(&ended);
    }
    times.sort();
    println!("ROW E-8 attempts={} first={:?} last={:?}", times.len(), times.first(), times.last());
    assert!(!times.is_empty(), "the dead executor held nothing");
    assert!(!judged() || *times.last().unwrap() <= Duration::from_secs(45), "{times:?}");
}

/// Refuses every append, as a full disk does, and counts them.
const REFUSE: &str = "
    CREATE SEQUENCE shipway_log.refused;
    CREATE FUNCTION shipway_log.refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN PERFORM nextval('shipway_log.refused'); RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON shipway_log.events EXECUTE FUNCTION shipway_log.refuse();";
const TAKE_AGAIN: &str = "
    DROP TRIGGER refuse ON shipway_log.events;
    DROP FUNCTION shipway_log.refuse();
    DROP SEQUENCE shipway_log.refused;";

/// That an executor is gone is news once. What the log does not take then is asked of it until it does, and not so often
/// that the rest has no room.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_executor_had_waits_for_a_log_that_takes_nothing() {
    let mut given = Given::new("refused", Shape { services: [1, 1, 1, 2, 1], ..Shape::default() });
    let log = PgPool::connect(&given.cluster.database()).await.unwrap();
    let load = given.load_through("hold", 4, 4);
    let all_wait = |ledger: &[Entry]| (held(ledger).len() == 4).then_some(());
    given.sink.wait("all first requests", TAKEN_OVER, all_wait).unwrap();
    given.cluster.process("executor-1").kill().unwrap();
    given.cluster.postgres().execute("shipway", REFUSE).unwrap();
    given.cluster.age_executor("executor-1", TAKEN_OVER).unwrap();
    // Far more often than a batch is tried before it is given up.
    let begin = Instant::now();
    let refused = async || -> i64 {
        sqlx::query_scalar("SELECT last_value FROM shipway_log.refused").fetch_one(&log).await.unwrap()
    };
    while refused().await < 50 {
        assert!(begin.elapsed() < TAKEN_OVER, "it is not asked for again: {}", refused().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begin.elapsed();
    given.cluster.postgres().execute("shipway", TAKE_AGAIN).unwrap();
    // It comes to the other, which waits for the answer too.
    let again = |ledger: &[Entry]| ledger.iter().any(|entry| entry.what == What::Effect).then_some(());
    given.sink.wait("effects of what was begun again", TAKEN_OVER, again).unwrap();
    given.sink.release();
    let ended = load.ended().await;
    given.judge(&ended);
    println!("refused 50 times in {took:?}");
    assert!(took > Duration::from_millis(500), "refused 50 times in {took:?}");
}
