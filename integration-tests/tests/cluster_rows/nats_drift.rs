//! N-12, for whole services: a stream that is not what it must be keeps a scheduler from starting, and one consumer that is
//! not is not read; both are named.

use std::time::Duration;

use async_nats::jetstream::{Context, stream::Config};
use futures::TryStreamExt;
use shipway_integration_tests::{cluster::Shape, proxy::Proxy, shipway::wait};

use crate::given::Given;

/// Makes one setting another than it must be.
type Drift = fn(&mut Config);

/// What all consumers are asked for with, and what the server hears instead.
const ASKED: &str = "\"idle_heartbeat\":1000000000";
const HEARD: &str = "\"idle_heartbeat\":9000000000";

/// What services say of a consumer that is not as they asked for it, by what they wanted to hear.
const SAID: [(&str, &str); 2] = [
    ("scheduler-1", "events are read from the log alone"),
    ("executor-1", "the bell is not heard; work comes with the answers to beats"),
];

/// The stream of events, which only its relay makes.
async fn events_stream(jetstream: &Context) -> Config {
    let streams: Vec<_> = jetstream.streams().try_collect().await.unwrap();
    let all = streams.into_iter().map(|stream| stream.config);
    let events: Vec<_> = all.filter(|config| config.deny_purge).collect();
    assert_eq!(events.len(), 1, "{events:#?}");
    events.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_n_12_services_name_what_is_not_as_it_must_be() {
    let mut given = Given::new("n12", Shape { services: [1; 5], ..Shape::default() });
    let mut ended = given.load(5, 5).ended().await;
    let nats = given.cluster.process("nats-1").address();
    let client = async_nats::connect(format!("nats://{nats}")).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let right = events_stream(&jetstream).await;

    // Streams: the scheduler refuses to start, and the others go on without it.
    given.cluster.process("scheduler-1").kill().unwrap();
    let drifted: [(&str, Drift); 3] = [
        ("max_age", |config| config.max_age += Duration::from_secs(1)),
        ("deny_purge", |config| config.deny_purge = false),
        ("subjects", |config| config.subjects.push("elsewhere.>".to_owned())),
    ];
    for (field, drift) in &drifted {
        jetstream.delete_stream(&right.name).await.unwrap();
        let mut config = right.clone();
        drift(&mut config);
        jetstream.create_stream(config).await.unwrap();
        let refused = given.cluster.process("scheduler-1").start().unwrap_err().to_string();
        let named = format!("the stream {} on NATS has {field} = ", right.name);
        assert!(refused.contains(&named) && refused.contains("ended with"), "{field}: {refused}");
        assert!(!given.cluster.process("scheduler-1").runs());
    }
    jetstream.delete_stream(&right.name).await.unwrap();
    given.cluster.process("scheduler-1").start().unwrap();
    ended.extend(given.load(5, 5).ended().await);

    // Consumers: they have no names, so nobody makes one before; but a server may make another than was asked for.
    let proxy = Proxy::changing(nats.port(), ASKED, HEARD).unwrap();
    for (name, _) in SAID {
        let process = given.cluster.process(name);
        process.kill().unwrap();
        process.set("SHIPWAY_NATS__URLS", Some(proxy.url()));
        process.start().unwrap();
    }
    for (name, words) in SAID {
        wait("what is said of a consumer", || {
            let said = std::fs::read_to_string(given.cluster.process(name).folder().join("log"))?;
            let named = |line: &str| line.contains(words) && line.contains("idle_heartbeat = 9s");
            Ok(said.lines().any(named).then_some(()))
        })
        .unwrap();
    }
    ended.extend(given.load(10, 5).ended().await);
    let verdict = given.judge(&ended);
    println!(
        "ROW N-12 services streams_refused={} consumers_refused={} runs={} lost=0 doubled=0 repeats={} changed={}",
        drifted.len(),
        SAID.len(),
        ended.len(),
        verdict.repeats,
        proxy.harmed()
    );
}
