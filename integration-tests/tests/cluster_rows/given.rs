//! What the rows share: a cluster with a workload, and its judges.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use rand::seq::IndexedRandom;
use shipway_contracts::v1::{GetRunRequest, runs_client::RunsClient};
use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    sink::{Entry, Sink, Verdict},
    workload::{self, Ended, Workload},
};
use tokio::task::JoinHandle;

/// A cluster that knows the workload's project, and the sink of its effects.
pub(crate) struct Given {
    pub(crate) cluster: Cluster,
    pub(crate) sink: Sink,
    next: usize,
}

/// Runs that go on in the background.
pub(crate) struct Load(JoinHandle<anyhow::Result<Vec<Ended>>>);

impl Given {
    pub(crate) fn new(name: &str, shape: Shape) -> Self {
        let cluster = Cluster::start(name, shape).unwrap();
        let sink = Sink::start_at(cluster.at()).unwrap();
        cluster.apply(&workload::project()).unwrap();
        Self { cluster, sink, next: 0 }
    }

    /// Starts so many runs in the background, so many at once.
    pub(crate) fn load(&mut self, runs: usize, at_once: usize) -> Load {
        self.load_through("effect", runs, at_once)
    }

    /// The same, at another door of the sink.
    pub(crate) fn load_through(&mut self, door: &str, runs: usize, at_once: usize) -> Load {
        let work = Workload::through(self.cluster.channel().unwrap(), &self.sink, door);
        let numbers = self.numbers(runs);
        Load(tokio::spawn(async move { work.run(numbers, at_once).await }))
    }

    /// Starts so many runs of each of these flows, all at once.
    pub(crate) fn load_each(&mut self, flows: &[String], runs: usize) -> Load {
        let work = Workload::new(self.cluster.channel().unwrap(), &self.sink);
        let all: Vec<_> =
            flows.iter().flat_map(|flow| self.numbers(runs).map(move |n| (flow.clone(), n))).collect();
        let one = move |(flow, number): (String, usize)| {
            let work = work.clone();
            async move { work.one_of(&flow, number).await }
        };
        Load(tokio::spawn(try_join_all(all.into_iter().map(one))))
    }

    /// Waits until so many runs that were started last have each come to the sink.
    pub(crate) fn wait_begun(&self, runs: usize) {
        let begins: Vec<_> = (self.next - runs..self.next).map(|number| format!("{number}-")).collect();
        let begun = |ledger: &[Entry]| {
            let came = |begin: &String| ledger.iter().any(|entry| entry.target.starts_with(begin));
            begins.iter().all(came).then_some(())
        };
        self.sink.wait("the first requests of runs", Duration::from_secs(60), begun).unwrap();
    }

    fn numbers(&mut self, runs: usize) -> Range<usize> {
        self.next += runs;
        self.next - runs..self.next
    }

    /// All of them ended well, none of their effects is missing or there twice, and the log is whole.
    pub(crate) fn judge(&self, ended: &[Ended]) -> Verdict {
        let failed: Vec<_> = ended.iter().filter(|ended| ended.status != "success").collect();
        assert!(failed.is_empty(), "runs that did not end well: {failed:#?}");
        let verdict = workload::judge(&self.sink, ended).unwrap();
        let clean = Verdict { repeats: verdict.repeats, refused: verdict.refused, ..Verdict::default() };
        assert_eq!(verdict, clean, "lost or doubled effects");
        self.cluster.verify().unwrap();
        verdict
    }

    /// How many attempts a node had.
    pub(crate) async fn attempts(&self, run: &str, node: &str) -> u32 {
        let runs = RunsClient::new(self.cluster.channel().unwrap());
        let shown = workload::patiently(|| {
            let (mut runs, request) = (runs.clone(), GetRunRequest { run: run.to_owned() });
            async move { runs.get_run(request).await }
        });
        let run = shown.await.unwrap();
        run.nodes.iter().find(|known| known.r#ref == node).unwrap().attempt
    }

    /// One of the services' processes that run.
    pub(crate) fn any(&mut self, services: &[&str]) -> String {
        let names = self.cluster.services();
        let mut of = |name: &String| {
            services.iter().any(|service| name.starts_with(service)) && self.cluster.process(name).runs()
        };
        let names: Vec<_> = names.into_iter().filter(|name| of(name)).collect();
        names.choose(&mut rand::rng()).unwrap().clone()
    }

    /// Starts what has ended by itself, as whoever looks after services does: one whose start met a dying database.
    pub(crate) fn raise(&mut self) {
        for name in self.cluster.services() {
            if !self.cluster.process(&name).runs() {
                self.cluster.process(&name).spawn().unwrap();
            }
        }
    }

    /// Kills one of them without a word and starts it again.
    pub(crate) fn kill_one(&mut self, services: &[&str]) -> String {
        let name = self.any(services);
        self.cluster.process(&name).kill().unwrap();
        self.cluster.process(&name).spawn().unwrap();
        name
    }
}

impl Load {
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_finished()
    }

    pub(crate) async fn ended(self) -> Vec<Ended> {
        self.0.await.unwrap().unwrap()
    }

    /// Does something every so often until all runs have ended.
    pub(crate) async fn meanwhile(self, every: Duration, mut act: impl FnMut()) -> Vec<Ended> {
        let mut next = Instant::now() + every;
        while !self.is_done() {
            if Instant::now() >= next {
                act();
                next += every;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.ended().await
    }
}

/// Whether the plan's sizes are asked for.
pub(crate) fn full() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some_and(|value| value == "1")
}

/// Whether times are judged: the machine is this row's alone.
pub(crate) fn judged() -> bool {
    full() || std::env::var_os("SHIPWAY_ROW").is_some()
}

/// The plan's size, or the one of every day.
pub(crate) fn sized<T>(usual: T, plan: T) -> T {
    if full() { plan } else { usual }
}
