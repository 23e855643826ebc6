//! Consumers in several processes, of which one runs them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use shipway_eventing::{Consumer, HandleError, Leadership, Projection, Reaction, Views, leadership};
use shipway_events::{Position, RawEvent};
use sqlx::AnyConnection;

use crate::given::{Given, Member, SOON, until};

/// Counts events per stream.
struct Counts;

#[async_trait]
impl Projection for Counts {
    fn name(&self) -> &'static str {
        "counts"
    }
    fn version(&self) -> u32 {
        1
    }
    fn tables(&self) -> &'static [&'static str] {
        &["counts_v1"]
    }
    fn schema(&self) -> &'static [&'static str] {
        &["CREATE TABLE counts_v1 (one BIGINT PRIMARY KEY, events BIGINT NOT NULL)"]
    }
    async fn apply(&self, tx: &mut AnyConnection, events: &[RawEvent]) -> Result<(), HandleError> {
        sqlx::query(
            "INSERT INTO counts_v1 (one, events) VALUES (1, $1)
             ON CONFLICT (one) DO UPDATE SET events = counts_v1.events + excluded.events",
        )
        .bind(i64::try_from(events.len()).unwrap_or(i64::MAX))
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// Notes what it handles.
#[derive(Default)]
struct Seen(Mutex<Vec<Position>>);

#[async_trait]
impl Reaction for Seen {
    fn name(&self) -> &'static str {
        "seen"
    }
    async fn handle(&self, event: &RawEvent) -> Result<(), HandleError> {
        self.0.lock().unwrap().push(event.position);
        Ok(())
    }
}

/// A process with consumers.
struct Service {
    member: Member,
    views: Views,
    leadership: Leadership,
    seen: Arc<Seen>,
    _consumers: [Consumer; 2],
}

async fn service(given: &Given, name: &str) -> Service {
    let member = given.member().await;
    let views = Views::connect(&given.database(), "test_views", &*member.log).await.unwrap();
    let leadership = member.elect(&leadership::consumers("test"), name).await;
    let feed = member.feed.clone().with_leadership(leadership.clone());
    let seen = Arc::new(Seen::default());
    let consumers = [
        feed.project(&views, Arc::new(Counts)).await.unwrap(),
        feed.react(&member.durable, Arc::clone(&seen) as Arc<dyn Reaction>).await.unwrap(),
    ];
    Service { member, views, leadership, seen, _consumers: consumers }
}

impl Service {
    async fn counted(&self) -> i64 {
        sqlx::query_scalar("SELECT events FROM counts_v1").fetch_one(self.views.pool()).await.unwrap()
    }

    fn seen(&self) -> Vec<Position> {
        self.seen.0.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_runs_the_consumers_and_another_takes_over() {
    let given = Given::new();
    // At the same time: all of them make the tables.
    let (one, two) = tokio::join!(service(&given, "one"), service(&given, "two"));
    let relay = one.member.publishing().await;
    until("one of them leads", || one.leadership.leads() || two.leadership.leads()).await;
    let (leader, other) = if one.leadership.leads() { (&one, &two) } else { (&two, &one) };
    let last = other.member.append(50).await;
    // Both can wait for it: the one by what it wrote, the other by the checkpoint.
    leader.views.wait_for(&["counts"], last, SOON).await.unwrap();
    other.views.wait_for(&["counts"], last, SOON).await.unwrap();
    until("the leader has handled all", || leader.seen().len() == 50).await;
    assert_eq!((other.counted().await, other.seen().len()), (50, 0));

    // Waits in the process that leads are not deaf to its going.
    let (waits, wanted) = (leader.views.clone(), last + 30);
    let waiting = tokio::spawn(async move { waits.wait_for(&["counts"], wanted, SOON).await });
    leader.leadership.resign().await;
    let begin = Instant::now();
    other.leadership.gained().await;
    let taken_over = begin.elapsed();
    assert!(!leader.leadership.leads());
    let last = leader.member.append(30).await;
    other.views.wait_for(&["counts"], last, SOON).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(leader.counted().await, 80, "each event counts once");
    until("the other has handled the rest", || other.seen().last() == Some(&last)).await;
    // None left out; some may be handled twice.
    let mut all = [leader.seen(), other.seen()].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (1..=last).collect::<Vec<_>>());
    println!("taken over {taken_over:?} after the leader resigned");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reactions_checkpoint_never_goes_back() {
    let given = Given::new();
    let one = given.member().await;
    let seen = Arc::new(Seen::default());
    let consumer = one.feed.react(&one.durable, Arc::clone(&seen) as Arc<dyn Reaction>).await.unwrap();
    one.append(10).await;
    until("it has handled all", || seen.0.lock().unwrap().len() == 10).await;
    // Another process that led meanwhile was further.
    let ahead = sqlx::query(
        "INSERT INTO checkpoints (consumer, position) VALUES ('seen', 9000)
         ON CONFLICT (consumer) DO UPDATE SET position = excluded.position",
    );
    ahead.execute(one.durable.pool()).await.unwrap();
    one.append(1).await;
    until("it has handled that too", || seen.0.lock().unwrap().len() == 11).await;
    consumer.stop().await;
    let position: i64 = sqlx::query_scalar("SELECT position FROM checkpoints WHERE consumer = 'seen'")
        .fetch_one(one.durable.pool())
        .await
        .unwrap();
    assert_eq!(position, 9000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_cannot_renew_stops_believing_before_another_leads() {
    let given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let first = one.elect(&leadership::consumers("test"), "one").await;
    let epoch = first.gained().await;
    let second = two.elect(&leadership::consumers("test"), "two").await;
    // Its database connections are gone: it cannot ask, nor be told.
    one.durable.close().await;
    let begin = Instant::now();
    let never_both = async {
        while !second.leads() {
            tokio::task::yield_now().await;
        }
        assert!(!first.leads(), "two led at once");
    };
    tokio::time::timeout(SOON, never_both).await.unwrap();
    assert!(second.gained().await > epoch);
    println!("taken over {:?} after the leader was cut off", begin.elapsed());
    tokio::time::timeout(SOON, first.lost(epoch)).await.unwrap();
    assert!(begin.elapsed() > Duration::from_millis(500), "it was given time to come back");
}
