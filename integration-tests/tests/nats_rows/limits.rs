//! Limits and drift. N-11, N-12, N-13 and N-15.

use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use shipway_eventing::{Leadership, nats};
use shipway_events::NewEvent;

use crate::{
    full,
    given::{Given, Reader, SETTINGS, append, append_events, in_order, on_stream, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_11_a_burst_while_the_consumer_sleeps() {
    burst(&Given::new(), if full() { 200_000 } else { 10_000 }).await;
}

pub(crate) async fn burst(given: &Given, burst: u32) {
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.publishing().await;
    // It takes 500 events and sleeps.
    let slow = Reader::start(two.feed.clone(), Duration::from_millis(if full() { 50 } else { 5 }));
    let quick = two.reader();
    let mut last = 0;
    let mut most = 0;
    for n in 0..burst / 1_000 {
        last = append(&*one.log, &format!("run-{n}"), 1_000).await;
        most = most.max(resident());
    }
    let appended = Instant::now();
    until("all is published", || relay.status().borrow().position >= last).await;
    println!("the relay was {:?} behind the burst", appended.elapsed());
    while slow.at() < last {
        most = most.max(resident());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    slow.agrees_with(&*one.log).await;
    quick.agrees_with(&*one.log).await;
    // Two members, a relay, a writer and both readers are in this one process.
    assert!(most <= 300 << 20, "{} MiB", most >> 20);
    println!("ROW N-11 burst={last} missed=0 resident_max_mib={}", most >> 20);
    relay.stop().await;
}

/// What this process has in memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Makes one setting another than it must be.
type Drift = fn(&mut Config);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_12_a_stream_that_is_not_what_it_must_be_is_refused_by_the_settings_name() {
    let given = Given::new();
    let one = given.member().await;
    nats::check(&one.nats, &one.names(), SETTINGS).await.unwrap();
    let jetstream = one.nats.jetstream();
    let names = one.names();
    let right = jetstream.get_stream(names.events_stream()).await.unwrap().cached_info().config.clone();
    let drifted: [(&str, Drift); 9] = [
        ("max_age", |config| config.max_age += Duration::from_secs(1)),
        ("max_bytes", |config| config.max_bytes -= 1),
        ("max_msg_size", |config| config.max_message_size = 1024),
        ("storage", |config| config.storage = StorageType::Memory),
        ("deny_purge", |config| config.deny_purge = false),
        ("duplicate_window", |config| config.duplicate_window = Duration::from_secs(1)),
        ("retention", |config| config.retention = RetentionPolicy::Interest),
        ("max_msgs_per_subject", |config| config.max_messages_per_subject = 1),
        ("subjects", |config| config.subjects.push("elsewhere.>".to_owned())),
    ];
    for (field, drift) in drifted {
        jetstream.delete_stream(names.events_stream()).await.unwrap();
        let mut config = right.clone();
        drift(&mut config);
        jetstream.create_stream(config).await.unwrap();
        let error = nats::check(&one.nats, &names, SETTINGS).await.unwrap_err();
        assert!(error.is_final() && error.to_string().contains(&format!(" {field} = ")), "{field}: {error}");
        assert!(error.to_string().contains(&names.events_stream()), "{error}");
    }
    // A relay that finds it later publishes nothing there, says so, and goes on when it is mended.
    let relay = one.relay(Leadership::always()).await;
    let reader = one.reader();
    let error = relay.failed().await;
    assert!(error.to_string().contains(" subjects = "), "{error}");
    let last = one.append(5).await;
    reader.reach(last).await;
    assert_eq!(jetstream.get_stream(names.events_stream()).await.unwrap().cached_info().state.messages, 0);
    jetstream.delete_stream(names.events_stream()).await.unwrap();
    until("the relay publishes", || relay.status().borrow().position >= last).await;

    let work = jetstream.get_stream(names.work_stream()).await.unwrap().cached_info().config.clone();
    jetstream.delete_stream(names.work_stream()).await.unwrap();
    jetstream.create_stream(Config { storage: StorageType::File, ..work }).await.unwrap();
    let error = nats::check(&one.nats, &names, SETTINGS).await.unwrap_err();
    assert!(error.to_string().contains(" storage = "), "{error}");
    println!("ROW N-12 drifted={} refused={}", drifted.len() + 1, drifted.len() + 1);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_13_every_event_reaches_its_own_subject_only() {
    let given = Given::new();
    let one = given.member().await;
    let relay = one.publishing().await;
    let long = format!("run-{}", "n".repeat(116));
    let names =
        ["run-a.b", "run-a", "run-a.b.c", "run-x_y", "run-xy", "org", "project-1.2", "run", "run.a", &long];
    let mut last = 0;
    for name in names {
        last = append(&*one.log, name, 1).await;
    }
    until("all is published", || relay.status().borrow().position >= last).await;
    let stream = one.nats.jetstream().get_stream(one.names().events_stream()).await.unwrap();
    let mut subjects = std::collections::BTreeSet::new();
    for (sequence, name) in (1..).zip(names) {
        let message = stream.get_raw_message(sequence).await.unwrap();
        assert_eq!(message.headers.get("ce-subject").unwrap().as_str(), name, "in full in the header");
        let parts: Vec<&str> = message.subject.split('.').collect();
        assert_eq!(parts.len(), 6, "{}", message.subject);
        assert!(subjects.insert(message.subject.to_string()), "{name} shares a subject");
    }
    println!("ROW N-13 streams={} injections=0 shared=0", names.len());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_15_data_of_every_size_passes_or_is_refused_at_the_append() {
    let given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.publishing().await;
    let reader = two.reader();
    let event = |size: usize| NewEvent {
        kind: "test.happened",
        schema: 1,
        data: format!("\"{}\"", "x".repeat(size - 2)),
    };
    let sizes = [100, 256 * 1024, 256 * 1024 + 1, 1 << 20, 100];
    let mut last = 0;
    for size in sizes {
        last = append_events(&*one.log, "run-a", vec![event(size)]).await.unwrap();
    }
    let refused = append_events(&*one.log, "run-a", vec![event((64 << 20) + 1)]).await.unwrap_err();
    assert!(refused.to_string().contains("bytes"), "{refused}");
    until("all is published", || relay.status().borrow().position >= last).await;
    reader.agrees_with(&*one.log).await;
    in_order(&on_stream(&one).await);
    let stream = one.nats.jetstream().get_stream(one.names().events_stream()).await.unwrap();
    for (sequence, size) in (1..).zip(sizes) {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let kind = message.headers.get("Shipway-Data").map(async_nats::HeaderValue::as_str);
        if size <= 256 * 1024 {
            assert_eq!((kind, message.payload.len()), (None, size));
        } else {
            assert_eq!(kind, Some("blob"));
            assert!(message.payload.starts_with(b"{\"sha256\":"), "{:?}", message.payload);
        }
    }
    println!("ROW N-15 sizes={sizes:?} published={last} refused=1 stuck=0");
    relay.stop().await;
}
