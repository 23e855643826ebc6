//! The bell for work.

use std::time::Duration;

use bytes::Bytes;
use shipway_eventing::nats::{BellReceiver, BellRinger, Heard, Names};
use shipway_integration_tests::nats::NatsServer;

use crate::given::{SOON, nats, until};

async fn next(receiver: &mut BellReceiver) -> Heard {
    tokio::time::timeout(SOON, receiver.next()).await.expect("something is heard")
}

/// The next that is not a sign that something may have been missed.
async fn next_word(receiver: &mut BellReceiver) -> Heard {
    loop {
        match next(receiver).await {
            Heard::Missed => {}
            word => return word,
        }
    }
}

/// A receiver that came before the stream listens to it some moments later.
async fn ring_until_heard(ringer: &BellRinger, receiver: &mut BellReceiver, word: &'static [u8]) {
    let heard = async {
        loop {
            ringer.ring("host.example *>", Bytes::from_static(word));
            let heard = tokio::time::timeout(Duration::from_millis(100), next_word(receiver)).await;
            if heard == Ok(Heard::Work(Bytes::from_static(word))) {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, heard).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_executor_hears_its_own_bell_and_when_it_may_have_missed_it() {
    let mut server = tokio::task::block_in_place(NatsServer::start).unwrap();
    let names = Names::of("a log");
    let (scheduler, executor) = (nats(&server.url()).await, nats(&server.url()).await);
    let ringer = BellRinger::new(&scheduler, &names);
    let mut odd = BellReceiver::new(&executor, &names, "host.example *>");
    let mut plain = BellReceiver::new(&executor, &names, "plain");
    let mut elsewhere = BellReceiver::new(&executor, &Names::of("another log"), "plain");
    // Whatever was rung before they listened, they are told that they may have missed it.
    for receiver in [&mut odd, &mut plain, &mut elsewhere] {
        assert_eq!(next(receiver).await, Heard::Missed);
    }
    until("the stream is there", || scheduler.is_connected()).await;
    let stream = async {
        while scheduler.jetstream().get_stream(names.work_stream()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, stream).await.unwrap();
    // A receiver that came before the stream listens to it some moments later, and says so.
    let word = |n: u64| Bytes::from(n.to_string());
    let mut heard = Vec::new();
    while heard.len() < 3 {
        ringer.ring("plain", word(heard.len() as u64));
        let beat = tokio::time::timeout(Duration::from_millis(100), next_word(&mut plain)).await;
        if let Ok(Heard::Work(work)) = beat {
            heard.push(work);
        }
    }
    ring_until_heard(&ringer, &mut odd, b"odd").await;
    assert!(ringer.stop("host.example *>", Bytes::from_static(b"run 7")));
    while next_word(&mut odd).await != Heard::Stop(Bytes::from_static(b"run 7")) {}

    // The stream is in memory: after a restart there is another.
    tokio::task::block_in_place(|| server.kill()).unwrap();
    until("it is noticed", || !scheduler.is_connected()).await;
    assert!(!ringer.ring("odd", Bytes::new()), "nothing is kept for later");
    tokio::task::block_in_place(|| server.run()).unwrap();
    loop {
        if next(&mut odd).await == Heard::Missed && executor.is_connected() {
            break;
        }
    }
    ring_until_heard(&ringer, &mut odd, b"again").await;
    while let Ok(heard) = tokio::time::timeout(Duration::from_millis(50), elsewhere.next()).await {
        assert_eq!(heard, Heard::Missed, "another installation's bell");
    }
}

/// A run of many nodes side by side asks for all of them at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_bells_in_one_go_are_all_heard() {
    const BELLS: u64 = 1_000;
    let server = tokio::task::block_in_place(NatsServer::start).unwrap();
    let names = Names::of("a log");
    let (scheduler, executor) = (nats(&server.url()).await, nats(&server.url()).await);
    let ringer = BellRinger::new(&scheduler, &names);
    let mut receiver = BellReceiver::new(&executor, &names, "host.example *>");
    ring_until_heard(&ringer, &mut receiver, b"ready").await;

    let word = |n: u64| Bytes::from(n.to_string());
    let sent = (0..BELLS).filter(|n| ringer.ring("host.example *>", word(*n))).count();
    assert_eq!(sent as u64, BELLS);
    let mut next_new = 0;
    while next_new < BELLS {
        let heard = next_word(&mut receiver).await;
        // The last of those before may have been rung twice.
        if heard != Heard::Work(Bytes::from_static(b"ready")) {
            assert_eq!(heard, Heard::Work(word(next_new)));
            next_new += 1;
        }
    }
}
