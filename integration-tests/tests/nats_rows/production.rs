//! `infra/nats/production.conf` as it is, on three servers: the services publish over TLS, another program consumes as
//! `reader` and can do nothing else, and whoever has no certificate of the authority is let in nowhere.

use std::{process::Command, time::Duration};

use shipway_eventing::{Leadership, Nats, NatsOptions, Relay, nats::StreamSettings};
use shipway_events::StreamName;
use shipway_integration_tests::{
    nats_production::Production,
    postgres::{Postgres, Sync},
};

use crate::{
    examples::Example,
    given::{Member, SETTINGS, log, until},
};

/// What the services are told of the servers.
fn options(production: &Production) -> NatsOptions {
    NatsOptions {
        urls: production.urls_of("shipway"),
        root_certificates: Some(production.authority()),
        client_certificate: Some((production.certificate(), production.key())),
        require_tls: true,
        name: "test".to_owned(),
        ..NatsOptions::default()
    }
}

/// Another program's connection, as `reader`.
async fn reader(production: &Production) -> async_nats::Client {
    let user = ("reader".to_owned(), production.password("reader"));
    async_nats::ConnectOptions::with_user_and_password(user.0, user.1)
        .add_root_certificates(production.authority())
        .add_client_certificate(production.certificate(), production.key())
        .require_tls(true)
        .connect(production.urls())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_production_services_publish_and_a_reader_only_reads() {
    let (production, postgres, folder) = tokio::task::block_in_place(|| {
        let postgres = Postgres::start(Sync::Off).unwrap();
        postgres.database("shipway").unwrap();
        (Production::start().unwrap(), postgres, tempfile::tempdir().unwrap())
    });
    let log = log(&postgres.url("shipway"), folder.path()).await;
    let one = Member::over(log, Nats::connect(options(&production)).await.unwrap()).await;
    let settings = StreamSettings { replicas: 3, ..SETTINGS };
    let leads = Leadership::always();
    let relay = Relay::start(&one.nats, &one.feed, &one.durable, leads, settings).await.unwrap();
    until("the relay publishes", || relay.status().borrow().publishes).await;

    // The documented program, with what it is told to be given.
    let (place, word) = (folder.path().join("place"), folder.path().join("word"));
    std::fs::write(&word, production.password("reader") + "\n").unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/examples/consume.py");
    let mut command = Command::new("python3");
    command.arg(program).arg("--ca").arg(production.authority());
    command.arg("--cert").arg(production.certificate()).arg("--key").arg(production.key());
    command.args(["--user", "reader", "--password-file"]).arg(&word);
    let url = &production.urls()[0];
    let example = Example::start({
        command.args([url, one.log.id()]).arg(&place);
        command
    });
    let last = one.append(100).await;
    example.reach(last).await;
    assert_eq!(example.positions(), (1..=last).collect(), "an event is missing");
    assert_eq!(production.violations().unwrap(), [""; 0], "nobody did what they may not");

    let stream = one.names().events_stream();
    let count = async || {
        let stream = one.nats.jetstream().get_stream(&stream).await.unwrap();
        stream.cached_info().state.messages
    };
    let before = count().await;
    let reader = reader(&production).await;
    let subject = one.names().event(&StreamName::parse("run-a").unwrap());
    for (subject, expected) in [
        (subject.as_str(), "it may publish no event"),
        (&format!("$JS.API.STREAM.PURGE.{stream}"), "it may not empty the stream"),
        (&format!("$JS.API.STREAM.DELETE.{stream}"), "it may not delete the stream"),
    ] {
        let known = production.violations().unwrap().len();
        reader.publish(subject.to_owned(), "{}".into()).await.unwrap();
        reader.flush().await.unwrap();
        until(expected, || production.violations().unwrap().len() > known).await;
    }
    assert_eq!(count().await, before, "the stream is as it was");
    example.reach(one.append(1).await).await;

    // Without a certificate, or with one that nobody knows the authority of, there is no connection.
    let login =
        async_nats::ConnectOptions::with_user_and_password("reader".into(), production.password("reader"));
    let bare = login.add_root_certificates(production.authority()).require_tls(true);
    let refused = tokio::time::timeout(Duration::from_secs(10), bare.connect(production.urls())).await;
    assert!(!matches!(refused, Ok(Ok(_))), "who shows no certificate is let in");
    relay.stop().await;
}
