//! L-10: a session that holds the head and sleeps. Nobody waits long for it, and all goes on when it is gone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shipway_eventing::{AppendError, Expected, verify::verify};
use sqlx::Connection;

use crate::given::{Given, item, stream};

const WRITERS: usize = 40;

pub(crate) async fn a_session_that_holds_the_head_stops_nobody_for_long(given: &mut Given) {
    let mut sleeper = given.superuser().await;
    sqlx::raw_sql("BEGIN; SELECT position FROM head FOR UPDATE").execute(&mut sleeper).await.unwrap();
    let items: Vec<_> =
        (0..WRITERS).map(|n| item(&stream(format!("writer-{n}")), Expected::New, 1)).collect();
    let tries: Vec<_> = items
        .iter()
        .map(|item| {
            let (log, item) = (Arc::clone(&given.log), item.clone());
            tokio::spawn(async move {
                let begun = Instant::now();
                (log.append(item).await, begun.elapsed())
            })
        })
        .collect();
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    for one in tries {
        let (answer, took) = one.await.unwrap();
        let error = answer.unwrap_err();
        assert!(error.is_transient() && matches!(error, AppendError::Unavailable { .. }), "{error}");
        refused += 1;
        slowest = slowest.max(took);
    }
    // Reading goes on meanwhile.
    assert_eq!(given.log.head().await.unwrap().position, 0);
    sleeper.close().await.unwrap();
    let begun = Instant::now();
    for item in &items {
        given.log.append(item.clone()).await.unwrap();
    }
    let report = verify(&*given.log).await.unwrap();
    println!(
        "ROW L-10 postgresql writers={WRITERS} refused={refused} slowest_refusal_ms={} events={} recovered_ms={}",
        slowest.as_millis(),
        report.events,
        begun.elapsed().as_millis()
    );
    assert_eq!((refused, report.events, report.bad), (WRITERS, WRITERS as u64, None));
    if crate::full() {
        // One wait for the lock: what came meanwhile has waited for it too.
        assert!(slowest <= Duration::from_secs(2), "{slowest:?}");
    }
}
