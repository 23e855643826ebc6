//! E-6 for whole runs: an executor's machine is cut off while its effects are on their way.

use std::time::{Duration, Instant};

use shipway_integration_tests::{
    cluster::{Shape, machines::Machine},
    sink::What,
};

use crate::given::{Given, full, judged, sized};

const PATIENCE: Duration = Duration::from_secs(60);

/// How long the machine is cut off in the full test.
const CUT: Duration = Duration::from_secs(60);

async fn partition(
    name: &str,
    cut: fn(&Machine) -> anyhow::Result<()>,
    mend: fn(&Machine) -> anyhow::Result<()>,
) {
    let shape = Shape { services: [1, 1, 2, 1, 1], machines: true, ..Shape::default() };
    let mut given = Given::new(name, shape);
    let load = given.load_through("hold", 3, 3);
    let count = |ledger: &[shipway_integration_tests::sink::Entry], what: What| {
        ledger.iter().filter(|entry| entry.what == what).count()
    };
    given
        .sink
        .wait("held requests", PATIENCE, |ledger| (count(ledger, What::Held) == 3).then_some(()))
        .unwrap();
    let machine = given.cluster.process("executor-1").machine().unwrap().clone();
    given.cluster.add_executor().unwrap();
    cut(&machine).unwrap();
    let begin = Instant::now();
    given
        .sink
        .wait("effects of the other machine", PATIENCE, |ledger| {
            (count(ledger, What::Effect) >= 1).then_some(())
        })
        .unwrap();
    let replaced = begin.elapsed();
    // It stays cut off although another has its work: what it still had there must not come when it is back.
    tokio::time::sleep(sized(Duration::ZERO, CUT).saturating_sub(begin.elapsed())).await;
    let cut_for = begin.elapsed();
    mend(&machine).unwrap();
    given.sink.release();
    let ended = load.ended().await;
    let verdict = given.judge(&ended);
    println!(
        "ROW E-6 {name} replaced_after={replaced:?} cut_for={cut_for:?} refused={} doubled=0",
        verdict.refused
    );
    // No sooner than the lease allows, whatever the machine is busy with.
    assert!(replaced > Duration::from_secs(20), "{replaced:?}");
    // A lease is 30 s, from a beat that was up to 5 s before the cut; then it is seen, and the work is given away.
    let planned = Duration::from_secs(25)..=Duration::from_secs(35);
    assert!(!judged() || planned.contains(&replaced), "{replaced:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_6_a_machine_without_its_cable_is_replaced() {
    partition("cable", Machine::cut, Machine::mend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_e_6_a_machine_that_nothing_reaches_is_replaced() {
    // The same but for what the sockets are told: half a minute more, for the full tests only.
    if full() {
        partition("packets", Machine::silence, Machine::speak).await;
    }
}
