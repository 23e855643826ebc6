//! What goes on when Shipway starts although its read tables are far behind: after an upgrade they may have to be made from
//! the whole log.

use std::sync::Arc;

use shipway_integration_tests::{
    failpoints::Installation,
    shipway::wait,
    sink::Sink,
    workload::{self, Workload},
};

use super::round::apply;

/// Steps of read tables that are late, 5 s each: together longer than the 10 s for which anybody waits.
const LATE: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_goes_on_once_the_read_tables_are_there() {
    let mut installation = Installation::one("slow").unwrap();
    let sink = Arc::new(Sink::start().unwrap());
    let channel = installation.channel().unwrap();
    apply(&channel, &workload::project()).await.unwrap();
    let held = Workload::through(channel, &sink, "hold");
    let run = tokio::spawn(async move { held.one(1).await });
    wait("the run's first request", || Ok((!sink.ledger()?.is_empty()).then_some(()))).unwrap();

    let late: Vec<_> = (1..=LATE).map(|nth| format!("feed.project.before=delay@{nth}")).collect();
    installation.forget_views().unwrap();
    installation.arm("up", &late.join(";")).unwrap();
    sink.release();
    installation.wait_ready("up").unwrap();
    let ended = run.await.unwrap().unwrap();
    assert_eq!(ended.status, "success", "{ended:#?}");
    assert!(installation.has_fired("up").unwrap(), "the read tables were there in time");
    assert_eq!(installation.ends(), 0, "it did not wait for its read tables, but ended");
}
