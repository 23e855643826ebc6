//! What happens to the store: wiped, rolled back, deleted, damaged.

use std::time::Duration;

use shipway_eventing::Leadership;

use crate::given::{Given, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_appends_the_others_hear() {
    let given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.relay(Leadership::always()).await;
    let reader = two.reader();
    until("the relay publishes", || relay.status().borrow().publishes).await;
    let mut worst = Duration::ZERO;
    for _ in 0..100 {
        let begin = std::time::Instant::now();
        let last = one.append(1).await;
        let appended = begin.elapsed();
        reader.reach(last).await;
        worst = worst.max(begin.elapsed() - appended);
    }
    println!("worst {worst:?}");
    relay.stop().await;
}
