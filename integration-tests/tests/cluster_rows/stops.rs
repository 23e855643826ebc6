//! E-20: each service is asked to stop under load, and nobody outside notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use shipway_contracts::v1::{
    GetStateRequest, ListProjectsRequest, projects_client::ProjectsClient, runs_client::RunsClient,
};
use shipway_integration_tests::{
    cluster::{Cluster, SERVICES, Shape},
    shipway::{http, wait},
};

use crate::given::{Given, sized};

#[tokio::test(flavor = "multi_thread")]
async fn row_e_20_services_stop_and_no_request_fails() {
    let mut given = Given::new("e20", Shape { services: [2; 5], ..Shape::default() });
    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    given.cluster.apply(&hooked()).unwrap();
    // Each of them hears of the flow in its own time.
    for triggers in ["triggers-1", "triggers-2"] {
        let url = format!("http://{}", given.cluster.process(triggers).address());
        while deliver(&http(), &url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let clients: Vec<_> = WAYS
        .into_iter()
        .map(|way| tokio::spawn(ask(way, given.cluster.url(), done.clone(), asked.clone())))
        .collect();
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

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A scheduler, for what stands where.
    State,
    /// The pipelines service, for all projects.
    Projects,
    /// The console, for its first page.
    Page,
    /// A trigger, to take a delivery.
    Hook,
}

const WAYS: [Way; 4] = [Way::State, Way::Projects, Way::Page, Way::Hook];

/// What the address of the flow's hook ends with.
const TOKEN: &str = "a-flow-that-is-asked-from-outside";

/// A flow that deliveries start.
fn hooked() -> String {
    format!(
        "kind: Project
spec: {{name: hooked, region: local}}
---
kind: Pipeline
spec:
  name: hooked
  projectId: hooked
  stages:
    - name: Work
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          webhook: {{enabled: true, token: {TOKEN}}}
          spec:
            kind: Workflow
            spec: {{type: sequential, steps: [{{kind: Noop, spec: {{}}}}]}}
    - name: Rest"
    )
}

/// Asks through the load balancer, as people and Git hosts do; nothing is tried twice.
async fn ask(way: Way, url: String, done: Arc<AtomicBool>, asked: Arc<AtomicUsize>) -> Vec<String> {
    let mut failed = Vec::new();
    let mut runs = RunsClient::connect(url.clone()).await.unwrap();
    let mut projects = ProjectsClient::connect(url.clone()).await.unwrap();
    let http = http();
    while !done.load(Ordering::Relaxed) {
        let answered = match way {
            Way::State => runs.get_state(GetStateRequest::default()).await.map(drop).map_err(said),
            Way::Projects => {
                projects.list_projects(ListProjectsRequest::default()).await.map(drop).map_err(said)
            }
            Way::Page => answer(http.get(format!("{url}/"))).await,
            Way::Hook => deliver(&http, &url).await,
        };
        failed.extend(answered.err().map(|error| format!("{way:?}: {error}")));
        asked.fetch_add(1, Ordering::Relaxed);
        // Deliveries may come a few a second, and each is a run.
        let pause = if matches!(way, Way::Hook) { 500 } else { 20 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    failed
}

fn said(status: tonic::Status) -> String {
    format!("{:?} {}", status.code(), status.message())
}

async fn deliver(http: &reqwest::Client, url: &str) -> Result<(), String> {
    let delivery = http.post(format!("{url}/hooks/flow/{TOKEN}"));
    answer(delivery.header("webhook-id", uuid::Uuid::now_v7().to_string())).await
}

async fn answer(request: reqwest::RequestBuilder) -> Result<(), String> {
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| format!("{error:?}"))?;
    if status.is_success() { Ok(()) } else { Err(format!("{status}: {body}")) }
}
