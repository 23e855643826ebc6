//! What happens between a process and the server. N-9 and N-10, and no server at all.

use std::time::{Duration, Instant};

use shipway_integration_tests::{
    nats::NatsServer,
    proxy::{Faults, Proxy},
};

use crate::{
    full,
    given::{Given, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_9_messages_are_lost_doubled_and_swapped() {
    let given = Given::new();
    let faults = Faults { lost: 5, doubled: 5, swapped: 5 };
    let proxies = [9, 99].map(|seed| Proxy::start(given.server.port(), faults, seed).unwrap());
    let one = given.member_at(&proxies[0].url()).await;
    let two = given.member_at(&proxies[1].url()).await;
    let relay = one.relay(shipway_eventing::Leadership::always()).await;
    let readers = [one.reader(), two.reader()];
    let writers = [one.writer(Duration::from_millis(2)), two.writer(Duration::from_millis(2))];
    let enough = if full() { 20_000 } else { 2_000 };
    for reader in &readers {
        reader.reach(enough).await;
    }
    for writer in writers {
        writer.stop().await;
    }
    for reader in &readers {
        reader.agrees_with(&*one.log).await;
    }
    let harmed: u64 = proxies.iter().map(Proxy::harmed).sum();
    assert!(harmed > 20, "nothing happened to the messages");
    println!(
        "ROW N-9 events={} harmed={harmed} missed=0 twice=0 resyncs={}",
        readers[1].at(),
        relay.status().borrow().resyncs
    );
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_10_the_server_is_stopped_for_a_while() {
    let given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.publishing().await;
    let reader = two.reader();
    let last = one.append(100).await;
    reader.reach(last).await;
    given.server.pause().unwrap();
    let stopped = Instant::now();
    let pause = Duration::from_secs(if full() { 20 } else { 4 });
    // Meanwhile events come by looking at the log.
    let mut slowest = Duration::ZERO;
    while stopped.elapsed() < pause {
        let last = one.append(1).await;
        let begin = Instant::now();
        reader.reach(last).await;
        slowest = slowest.max(begin.elapsed());
    }
    given.server.resume().unwrap();
    let begin = Instant::now();
    let last = one.append(1).await;
    until("the relay has caught up", || relay.status().borrow().position >= last).await;
    let back = begin.elapsed();
    reader.agrees_with(&*one.log).await;
    if full() {
        assert!(
            back <= Duration::from_secs(10) && slowest <= Duration::from_secs(10),
            "{back:?} {slowest:?}"
        );
    }
    println!("ROW N-10 stopped={pause:?} slowest_meanwhile={slowest:?} back={back:?} events={last}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_10_a_connection_that_is_open_and_carries_nothing() {
    let given = Given::new();
    let proxies = [1, 2].map(|seed| Proxy::start(given.server.port(), Faults::default(), seed).unwrap());
    let one = given.member_at(&proxies[0].url()).await;
    let two = given.member_at(&proxies[1].url()).await;
    let relay = one.publishing().await;
    let reader = two.reader();
    let last = one.append(100).await;
    reader.reach(last).await;
    for proxy in &proxies {
        proxy.hold(true);
    }
    let begin = Instant::now();
    let last = one.append(1).await;
    reader.reach(last).await;
    let meanwhile = begin.elapsed();
    until("both notice", || !one.nats.is_connected() && !two.nats.is_connected()).await;
    let noticed = begin.elapsed();
    for proxy in &proxies {
        proxy.hold(false);
    }
    let begin = Instant::now();
    let last = one.append(1).await;
    until("the relay has caught up", || relay.status().borrow().position >= last).await;
    let back = begin.elapsed();
    reader.agrees_with(&*one.log).await;
    if full() {
        assert!(
            meanwhile <= Duration::from_secs(10) && back <= Duration::from_secs(10),
            "{meanwhile:?} {back:?}"
        );
    }
    println!("ROW N-10 half_open meanwhile={meanwhile:?} noticed={noticed:?} back={back:?}");
    relay.stop().await;
}

/// What a service does when NATS is not there at its start, comes, and goes for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_events_come_by_looking_at_the_log() {
    let mut given = Given::new();
    given.server(NatsServer::kill);
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.relay(shipway_eventing::Leadership::always()).await;
    let reader = two.reader();
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        let last = one.append(1).await;
        let begin = Instant::now();
        reader.reach(last).await;
        slowest = slowest.max(begin.elapsed());
    }
    assert!(!one.nats.is_connected() && one.nats.server_version().is_none());
    given.server(NatsServer::run);
    until("the relay has caught up", || relay.status().borrow().position >= 5).await;
    assert!(one.nats.server_version().is_some());
    given.server(NatsServer::kill);
    for _ in 0..5 {
        let last = one.append(1).await;
        reader.reach(last).await;
    }
    reader.agrees_with(&*one.log).await;
    println!("without a server at most {slowest:?}");
    relay.stop().await;
}
