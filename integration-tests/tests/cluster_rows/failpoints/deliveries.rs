//! W-8: what receives deliveries is killed at each of its points, and before and after; each delivery that was answered
//! with 202 has its row, and its run once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{RngExt, rngs::SmallRng, seq::SliceRandom};
use serde_json::Value;
use shipway_contracts::{
    Channel,
    v1::{
        DeliveryFilter, ListDeliveriesRequest, ListRunsRequest, Page, runs_client::RunsClient,
        triggers_client::TriggersClient,
    },
};
use shipway_eventing::failpoints;
use shipway_integration_tests::{
    failpoints::Installation,
    shipway::http,
    workload::{self, patiently},
};

use super::{chance, round::apply};
use crate::given::sized;

const TOKEN: &str = "a-token-of-the-row-w-8-with-many-characters";

/// How many senders there are, each with one delivery at a time.
const SENDERS: usize = 4;

/// How long a sender repeats a delivery.
const PATIENCE: Duration = Duration::from_secs(120);

const FLOW: &str = "
kind: Project
spec: {name: inbox, region: local}
---
kind: Pipeline
spec:
  name: inbox
  projectId: inbox
  stages:
    - name: Work
      releaseFlow:
        kind: ReleaseFlow
        spec:
          apiVersion: v1.2
          webhook: {enabled: true, token: TOKEN}
          spec:
            kind: Workflow
            spec: {type: sequential, steps: [{kind: Noop, ref: n, spec: {}}]}
    - name: Rest
";

/// The points that a delivery passes on its way.
fn points(installation: &Installation) -> Vec<String> {
    let of_deliveries = ["triggers.", "db.inbox.", "db.group."];
    failpoints::all()
        .filter(|point| of_deliveries.iter().any(|part| point.starts_with(part)))
        .filter(|point| !installation.passing(point).is_empty())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_w_8_each_answered_delivery_has_its_row_and_its_run_once() {
    let (mut random, seed) = chance();
    let total = sized(200, 5_000);
    let mut installation = Installation::one("w8").unwrap();
    apply(&installation.channel().unwrap(), &FLOW.replace("TOKEN", TOKEN)).await.unwrap();
    let url = installation.url();
    let runs: Arc<Mutex<BTreeMap<usize, String>>> = Arc::default();
    // One life says which points a delivery passes.
    deliver(&url, 0, &runs).await;
    installation.read("up").unwrap();
    let all = points(&installation);
    assert!(all.len() >= 8, "only {all:?}");
    let mut order = all.clone();
    order.shuffle(&mut random);

    let (next, mut kills) = (Arc::new(AtomicUsize::new(1)), 0);
    let begin = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            let (url, next, runs) = (url.clone(), next.clone(), runs.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return;
                    }
                    deliver(&url, number, &runs).await;
                }
            })
        })
        .collect();
    let mut turn = order.iter().cycle();
    while next.load(Ordering::Relaxed) < total {
        let point = turn.next().unwrap();
        kill_at(&mut installation, point, &mut random, &next, total).await;
        kills += 1;
    }
    for sender in senders {
        while !sender.is_finished() {
            installation.keep_up("up").unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sender.await.unwrap();
    }
    installation.disarm("up").unwrap();
    installation.wait_ready("up").unwrap();
    let runs = runs.lock().unwrap().clone();
    judge(&installation.channel().unwrap(), &runs).await;
    installation.verify().unwrap();
    let fired = all.iter().filter(|point| installation.fired().contains(*point)).count();
    println!(
        "ROW W-8 seed={seed} deliveries={total} kills={kills} points={fired} of={} took={:?} lost=0 doubled=0",
        all.len(),
        begin.elapsed()
    );
}

/// Arms the receiver to die at a point, and waits until it has or enough was sent.
async fn kill_at(
    installation: &mut Installation,
    point: &str,
    random: &mut SmallRng,
    next: &AtomicUsize,
    total: usize,
) {
    let nth = random.random_range(1..=sized(3, 20));
    installation.arm("up", &format!("{point}=abort@{nth}")).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !installation.has_fired("up").unwrap()
        && next.load(Ordering::Relaxed) < total
        && Instant::now() < until
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Posts a delivery until it is taken, and keeps the run that it names.
async fn deliver(url: &str, number: usize, runs: &Mutex<BTreeMap<usize, String>>) {
    let (client, begin) = (http(), Instant::now());
    loop {
        let address = format!("{url}/hooks/flow/{TOKEN}?number={number}");
        let request = client.post(&address).header("webhook-id", format!("w8-{number}"));
        match request.timeout(Duration::from_secs(10)).send().await {
            Ok(answer) if answer.status() == 202 => {
                let answer: Value = answer.json().await.unwrap();
                // One that waits in the spool names its run when it comes again.
                if let Some(run) = answer["runs"][0]["id"].as_str() {
                    runs.lock().unwrap().insert(number, run.to_owned());
                    return;
                }
            }
            other => assert!(begin.elapsed() < PATIENCE, "delivery {number} was not taken: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every delivery is in the inbox, and there is one run for each and no other.
async fn judge(channel: &Channel, expected: &BTreeMap<usize, String>) {
    let runs = RunsClient::new(channel.clone());
    for run in expected.values() {
        let run = workload::end(&runs, run).await.unwrap();
        assert_eq!(run.status, "success", "{run:#?}");
    }
    let mut started = Vec::new();
    let mut after = String::new();
    loop {
        let request = ListRunsRequest {
            page: Some(Page { after: after.clone(), limit: 500 }),
            flow: "inbox/work".to_owned(),
            ..ListRunsRequest::default()
        };
        let listed = patiently(|| {
            let (mut runs, request) = (runs.clone(), request.clone());
            async move { runs.list_runs(request).await }
        })
        .await
        .unwrap();
        started.extend(listed.runs.into_iter().map(|run| run.id));
        after = listed.next;
        if after.is_empty() {
            break;
        }
    }
    let once: BTreeSet<&String> = started.iter().collect();
    assert_eq!(once.len(), started.len());
    assert_eq!(once, expected.values().collect(), "runs that were answered, and runs that there are");
    let triggers = TriggersClient::new(channel.clone());
    let (mut rows, mut after) = (0, String::new());
    loop {
        let filter = DeliveryFilter { state: "matched".to_owned(), ..DeliveryFilter::default() };
        let page = Some(Page { after: after.clone(), limit: 500 });
        let request = ListDeliveriesRequest { page, filter: Some(filter) };
        let listed = patiently(|| {
            let (mut triggers, request) = (triggers.clone(), request.clone());
            async move { triggers.list_deliveries(request).await }
        })
        .await
        .unwrap();
        rows += listed.deliveries.len();
        after = listed.next;
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(rows, expected.len(), "rows of the inbox");
}
