//! E-20: each service is asked to stop under load, and nobody outside notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use shipway_contracts::v1::{GetStateRequest, runs_client::RunsClient};
use shipway_integration_tests::{
    cluster::{Cluster, SERVICES, Shape},
    shipway::wait,
};

use crate::given::{Given, sized};

#[tokio::test(flavor = "multi_thread")]
async fn row_e_20_services_stop_and_no_request_fails() {
    let mut given = Given::new("e20", Shape { services: [2; 5], ..Shape::default() });
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> =
        (0..4).map(|_| tokio::spawn(ask(given.cluster.url(), done.clone(), asked.clone()))).collect();
    let mut slowest = Duration::ZERO;
    let mut stops = 0;
    let mut all = Vec::new();
    for round in 0..sized(1, 20) {
        for service in SERVICES {
            let load = given.load(10, 5);
            let name = format!("{service}-{}", round % 2 + 1);
            let (status, took) = given.cluster.process(&name).terminate().unwrap();
            assert!(status.success(), "{name}: {status}\n{}", given.cluster.process(&name).said());
            slowest = slowest.max(took);
            stops += 1;
            given.cluster.process(&name).start().unwrap();
            all.extend(load.ended().await);
        }
    }
    done.store(true, Ordering::Relaxed);
    let mut failed = Vec::new();
    for client in clients {
        failed.extend(client.await.unwrap());
    }
    given.judge(&all);
    println!(
        "ROW E-20 stops={stops} requests={} failed={} slowest_stop={slowest:?}",
        asked.load(Ordering::Relaxed),
        failed.len()
    );
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(slowest < Duration::from_secs(25), "{slowest:?}");
}

#[test]
fn a_second_signal_ends_each_service_at_once() {
    let mut cluster = Cluster::start("twice", Shape::default()).unwrap();
    for service in SERVICES {
        let process = cluster.process(&format!("{service}-1"));
        // The first is given time to be heard: two that wait together are one.
        process.ask_to_stop().unwrap();
        wait("the beginning of its stop", || Ok(process.said().contains("the service stops").then_some(())))
            .unwrap();
        let (_, took) = process.terminate().unwrap();
        assert!(took < Duration::from_secs(10), "{service} took {took:?}: {}", process.said());
    }
}

/// Asks through the load balancer, as people do; nothing is tried twice.
async fn ask(url: String, done: Arc<AtomicBool>, asked: Arc<AtomicUsize>) -> Vec<String> {
    let mut failed = Vec::new();
    let mut runs = RunsClient::connect(url).await.unwrap();
    while !done.load(Ordering::Relaxed) {
        if let Err(status) = runs.get_state(GetStateRequest::default()).await {
            failed.push(format!("{:?} {}", status.code(), status.message()));
        }
        asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    failed
}
