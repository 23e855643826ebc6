//! how soon runs go on when somebody is killed who is started again at once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use shipway_contracts::{
    Channel,
    v1::{StartRunRequest, runs_client::RunsClient},
};
use shipway_events::Timestamp;
use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    shipway::wait,
    workload,
};

use crate::given::{judged, sized};

/// Nodes of a run.
const NODES: usize = 10;

/// Each of these is killed under load; one of the two schedulers is the one that has the relay.
const VICTIMS: [&str; 5] = ["scheduler-1", "nats-1", "executor-1", "scheduler-2", "executor-2"];

/// Runs that are started one after the other until it is enough.
struct Load {
    enough: Arc<AtomicBool>,
    /// How many of each client have ended.
    ended: Vec<Arc<AtomicUsize>>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

impl Load {
    fn start(channel: &Channel, at_once: usize) -> Self {
        let steps: Vec<_> =
            (0..NODES).map(|n| json!({"kind": "Noop", "ref": format!("n{n}"), "spec": {}})).collect();
        let spec = json!({"kind": "Workflow", "spec": {"type": "sequential", "steps": steps}});
        let document = json!({"apiVersion": "v1.2", "spec": spec}).to_string();
        let enough = Arc::new(AtomicBool::new(false));
        let ended: Vec<_> = (0..at_once).map(|_| Arc::new(AtomicUsize::new(0))).collect();
        let one = |ended: &Arc<AtomicUsize>| {
            let (enough, ended, document) = (enough.clone(), ended.clone(), document.clone());
            let runs = RunsClient::new(channel.clone());
            tokio::spawn(async move {
                while !enough.load(Ordering::Relaxed) {
                    let request = StartRunRequest {
                        command: uuid::Uuid::now_v7().to_string(),
                        document_json: document.clone(),
                        ..StartRunRequest::default()
                    };
                    let reply = workload::patiently(|| {
                        let (mut runs, request) = (runs.clone(), request.clone());
                        async move { runs.start_run(request).await }
                    });
                    let run = workload::end(&runs, &reply.await?.run).await?;
                    anyhow::ensure!(run.status == "success", "{run:#?}");
                    ended.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let tasks = ended.iter().map(one).collect();
        Self { enough, ended, tasks }
    }

    /// Waits until every client has had so many more runs end: what was on its way before has gone on by then.
    fn wait(&self, more: usize) {
        let of = |ended: &Arc<AtomicUsize>| ended.load(Ordering::Relaxed);
        let until: Vec<_> = self.ended.iter().map(|ended| of(ended) + more).collect();
        let there = || {
            let all = self.ended.iter().zip(&until).all(|(ended, until)| of(ended) >= *until);
            Ok(all.then_some(()))
        };
        wait("runs of all clients to end", there).unwrap();
    }

    async fn stop(self) -> usize {
        self.enough.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap().unwrap();
        }
        self.ended.iter().map(|ended| ended.load(Ordering::Relaxed)).sum()
    }
}

/// What the log says of the runs: when each went on, and how often each of its nodes came to an end.
#[derive(Default)]
struct Told {
    steps: BTreeMap<String, Vec<Timestamp>>,
    ends: BTreeMap<(String, u64), usize>,
}

impl Told {
    fn by(cluster: &Cluster) -> Self {
        let events = cluster.shipway(&["events", "-o", "json"]).unwrap();
        let mut told = Self::default();
        for line in events.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let stream = event["stream"].as_str().unwrap();
            if !stream.starts_with("run-") {
                continue;
            }
            told.steps
                .entry(stream.to_owned())
                .or_default()
                .push(event["at"].as_str().unwrap().parse().unwrap());
            if event["type"] == "run.node_succeeded" {
                *told
                    .ends
                    .entry((stream.to_owned(), event["data"]["node"].as_u64().unwrap()))
                    .or_default() += 1;
            }
        }
        told
    }

    /// Of the runs that were on their way then, how long the slowest took to go on.
    fn resumed(&self, then: Timestamp) -> (usize, Duration) {
        let gaps = self.steps.values().filter_map(|steps| {
            let next = steps.partition_point(|at| *at <= then);
            (next > 0).then(|| steps.get(next)).flatten().map(|at| at.since(then))
        });
        gaps.fold((0, Duration::ZERO), |(runs, longest), gap| (runs + 1, longest.max(gap)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_r_1_runs_go_on_soon_when_somebody_is_killed() {
    let mut cluster = Cluster::start("r1", Shape::default()).unwrap();
    let load = Load::start(&cluster.channel().unwrap(), sized(10, 50));
    let mut killed = Vec::new();
    for victim in VICTIMS {
        load.wait(sized(2, 4));
        let process = cluster.process(victim);
        process.kill().unwrap();
        killed.push((victim, now()));
        process.spawn().unwrap();
        process.wait_ready().unwrap();
    }
    load.wait(sized(2, 4));
    let runs = load.stop().await;
    cluster.verify().unwrap();
    let told = Told::by(&cluster);
    let resumed = killed.iter().map(|(victim, then)| (victim, told.resumed(*then)));
    let resumed: Vec<_> = resumed.map(|(victim, (open, gap))| format!("{victim}={gap:?}({open})")).collect();
    let lost = runs * NODES - told.ends.len();
    let doubled = told.ends.values().filter(|ends| **ends > 1).count();
    println!("ROW R-1 runs={runs} {} lost={lost} doubled={doubled}", resumed.join(" "));
    assert_eq!((lost, doubled), (0, 0));
    for (victim, then) in killed {
        let (open, gap) = told.resumed(then);
        assert!(open > 0, "no run was on its way when {victim} was killed");
        assert!(!judged() || gap <= Duration::from_secs(2), "{victim}: {gap:?}");
    }
}

fn now() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_micros(now.as_micros().try_into().unwrap())
}
