//! What a log and its feed tell of themselves, for metrics and readiness.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use shipway_eventing::{Expected, Feed, HandleError, Reaction, feed::Form, log::Observer};
use shipway_events::RawEvent;

use crate::fixture::{Fixture, command, item};

#[derive(Default)]
struct Seen(Mutex<(u64, u64, Duration)>);

impl Observer for Seen {
    fn committed(&self, commands: u64, events: u64, took: Duration) {
        let mut seen = self.0.lock().unwrap();
        *seen = (seen.0 + commands, seen.1 + events, seen.2 + took);
    }

    fn failed(&self) {}
}

pub(crate) async fn commits_are_told_with_what_was_new_in_them(given: &Fixture) {
    let seen = Arc::new(Seen::default());
    given.log.observe(Arc::clone(&seen) as Arc<dyn Observer>);
    let mut first = item("run-a", Expected::New, 3);
    first.command = command();
    given.log.append(first.clone()).await.unwrap();
    given.append("run-b", Expected::New, 2).await.unwrap();
    assert!(given.log.append(first).await.unwrap().duplicate);
    given.append("run-b", Expected::New, 1).await.unwrap_err();
    let (commands, events, took) = *seen.0.lock().unwrap();
    assert_eq!((commands, events), (2, 5), "what was known or refused is not counted");
    assert!(took > Duration::ZERO);
}

/// Cannot handle anything until it is allowed to.
#[derive(Default)]
struct Held(AtomicBool);

#[async_trait]
impl Reaction for Held {
    fn name(&self) -> &'static str {
        "held"
    }

    async fn handle(&self, _event: &RawEvent) -> Result<(), HandleError> {
        if self.0.load(Ordering::SeqCst) { Ok(()) } else { Err(HandleError::retry("not yet")) }
    }
}

pub(crate) async fn a_consumer_that_is_behind_is_told_and_one_that_has_caught_up_too(given: &Fixture) {
    let feed = Feed::new(Arc::clone(&given.log));
    let durable = given.log.durable().await.unwrap();
    let held = Arc::new(Held::default());
    let consumer = feed.react(&durable, Arc::clone(&held) as Arc<dyn Reaction>).await.unwrap();
    given.append("run-a", Expected::New, 3).await.unwrap();
    let behind = |feed: &Feed| {
        let standing = feed.standing();
        let [held] = standing.as_slice() else { panic!("{standing:?}") };
        assert_eq!((held.name, held.form), ("held", Form::Reaction));
        (held.behind, held.behind_for)
    };
    until(|| behind(&feed).1 > Duration::from_millis(1)).await;
    assert_eq!(behind(&feed).0, 3);
    held.0.store(true, Ordering::SeqCst);
    until(|| behind(&feed) == (0, Duration::ZERO)).await;
    consumer.stop().await;
    assert!(feed.standing().is_empty(), "who has stopped is not behind");
}

async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}
