//! Stopping an executor: nothing is begun, nothing is lost, and what takes long goes on.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;
#[path = "common/scheduler.rs"]
mod scheduler;

use std::{sync::Arc, time::Duration};

use common::{Data, eventually, target};
use scheduler::{Scheduler, artifact, assignment, executor_with};
use serde_json::Map;
use shipway_events::{Fence, plan::Artifact};
use shipway_executor::{BootTime, Executor, LeaseTimes};
use shipway_nodes::{
    Outcome, Workload,
    workload::{Command as Run, Job, Noop, Target},
};

fn fence(raw: u64) -> Fence {
    Fence::from_raw(raw)
}

async fn leased(data: &Data, scheduler: &Arc<Scheduler>) -> Executor {
    let executor = executor_with(data, scheduler, |config| {
        config.lease = Some(LeaseTimes::default());
        config.heavy_slots = 1;
    })
    .await;
    executor.renew(BootTime::now());
    executor
}

fn job(target: &Target, artifact: &Artifact, words: &[&str]) -> Workload {
    Workload::Job(Job {
        job: target.clone(),
        job_run: "1".to_owned(),
        artifact: artifact.clone(),
        command: Run::Words(words.iter().map(|word| (*word).to_owned()).collect()),
        environment: Map::new(),
        deadline_seconds: None,
    })
}

fn nap(number: u64, sleep_ms: u64) -> shipway_executor::Assignment {
    let work = Noop { sleep_ms: Some(sleep_ms), ..Noop::default() };
    assignment(number, &number.to_string(), Workload::Noop(work))
}

/// E-20, on the executor's side: stopped under load again and again. What has not begun is given back, short work is
/// finished and reported, long work goes on and its effect is made once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_e_20_a_stop_loses_nothing() {
    let rounds = if std::env::var_os("SHIPWAY_FULL").is_some() { 100 } else { 8 };
    let (data, runner) = (Data::new(), target());
    let artifact = artifact(&data).await;
    let effects = data.shared().join("effects");
    let (mut finished, mut given_back, mut went_on) = (0, 0, 0);
    for round in 0..rounds {
        let scheduler = Arc::new(Scheduler::default());
        let executor = leased(&data, &scheduler).await;
        let (key, first) = (format!("run/{round}"), round * 100 + 1);
        let gate = data.shared().join(format!("gate-{round}"));
        let script = format!(
            "echo {round} >> {}; until test -e {}; do sleep 0.01; done",
            effects.display(),
            gate.display()
        );
        let long = job(&runner, &artifact, &["/bin/sh", "-c", &script]);
        executor.offer(assignment(first, &key, long.clone()));
        let other = job(&runner, &artifact, &["/bin/false"]);
        executor.offer(assignment(first + 1, &format!("{key}/other"), other));
        (2..12).for_each(|number| executor.offer(nap(first + number, 30)));
        let lines = || std::fs::read_to_string(&effects).unwrap_or_default().lines().count() as u64;
        eventually("the long work has begun", async || lines() == round + 1).await;

        let left = executor.drain(Duration::from_secs(60), Duration::ZERO).await;
        assert_eq!(left, 1, "{:?}", executor.held());
        for number in 2..12 {
            assert!(matches!(scheduler.outcomes(fence(first + number))[..], [Outcome::Succeeded { .. }]));
            finished += 1;
        }
        executor.offer(nap(first + 20, 0));
        eventually("what has not begun is given back", async || scheduler.refused().len() == 2).await;
        let refused: Vec<u64> = scheduler.refused().into_iter().map(|(fence, _)| fence).collect();
        assert_eq!(refused, [first + 1, first + 20]);
        given_back += refused.len();
        drop(executor);

        // The next start is asked for it again and finds it.
        let next = leased(&data, &scheduler).await;
        next.sweep(&[key.clone()].into()).await.unwrap();
        next.offer(assignment(first + 50, &key, long));
        std::fs::write(&gate, b"").unwrap();
        scheduler.succeed(fence(first + 50)).await;
        assert_eq!(lines(), round + 1, "the long work was begun twice");
        went_on += 1;
    }
    println!("ROW E-20 stops={rounds} finished={finished} given_back={given_back} went_on={went_on} lost=0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_long_work_as_long_as_it_may() {
    let (data, scheduler, runner) = (Data::new(), Arc::new(Scheduler::default()), target());
    let artifact = artifact(&data).await;
    let executor = leased(&data, &scheduler).await;
    executor.offer(assignment(1, "run/1", job(&runner, &artifact, &["/bin/sleep", "0.5"])));
    assert_eq!(executor.drain(Duration::from_secs(60), Duration::from_secs(60)).await, 0);
    assert!(matches!(scheduler.outcomes(fence(1))[..], [Outcome::Succeeded { .. }]));
}

/// Where there is one executor only, nobody else could take what is left: it is kept for the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_leases_a_stop_gives_nothing_back() {
    let (data, scheduler, runner) = (Data::new(), Arc::new(Scheduler::default()), target());
    let artifact = artifact(&data).await;
    let executor = executor_with(&data, &scheduler, |config| config.heavy_slots = 1).await;
    for number in [1, 2] {
        let work = job(&runner, &artifact, &["/bin/sleep", "3600"]);
        executor.offer(assignment(number, &number.to_string(), work));
    }
    assert_eq!(executor.drain(Duration::from_secs(5), Duration::ZERO).await, 2);
    executor.offer(nap(3, 0));
    assert_eq!(executor.held(), [fence(1), fence(2)]);
    assert!(scheduler.refused().is_empty());
    executor.sweep(&std::collections::BTreeSet::new()).await.unwrap();
}
