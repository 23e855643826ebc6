//! What the services may do on the servers that `infra/nats/production.conf` describes is what they need.

use crate::{
    given::{Given, until},
    limits, lost,
};

/// A burst, of which consumers are sent more only when they have said that they keep up; a store that is damaged; and what
/// the relay does with a stream that refuses to be gone on with, which a damaged one does only now and then: it deletes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_permissions_of_production_allow_a_burst_and_the_repair_of_a_damaged_stream() {
    let mut given = Given::in_production();
    limits::burst(&given, 10_000).await;
    lost::damage(&mut given, 4).await;
    let one = given.member().await;
    let relay = one.publishing().await;
    let generation = relay.status().borrow().generation;
    one.nats.jetstream().delete_stream(one.names().events_stream()).await.unwrap();
    until("the stream is made anew", || relay.status().borrow().generation > generation).await;
    let last = one.append(1).await;
    until("publishing goes on", || relay.status().borrow().position >= last).await;
    relay.stop().await;
    assert_eq!(given.server.violations().unwrap(), [""; 0]);
}
