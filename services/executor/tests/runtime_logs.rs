//! Logs of nodes: shown while they are written, stored in chunks, whole over restarts, capped.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;
#[path = "common/scheduler.rs"]
mod scheduler;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{BINARY, Data, eventually, target};
use futures::{StreamExt, TryStreamExt};
use scheduler::{Scheduler, artifact, assignment, executor, executor_with, lines, log};
use serde_json::Map;
use shipway_contracts::{
    Channel,
    v1::{
        NodeLogRequest, ReadNodeLogRequest, executors_client::ExecutorsClient,
        executors_server::ExecutorsServer, logs_client::LogsClient, logs_server::LogsServer,
    },
};
use shipway_eventing::{
    Blobs, NodeLogs,
    node_logs::{From, Kind, LiveTail, NoTail},
};
use shipway_events::{Fence, plan::Artifact};
use shipway_executor::{Assignment, BootTime, Executor, ExecutorsApi, LeaseTimes, LogsApi, RemoteTail};
use shipway_nodes::{
    Workload,
    workload::{Command as Run, Exec, Job},
};

fn job(artifact: &Artifact, words: &[&str]) -> Workload {
    Workload::Job(Job {
        job: target(),
        job_run: "1".to_owned(),
        artifact: artifact.clone(),
        command: Run::Words(words.iter().map(|word| (*word).to_owned()).collect()),
        environment: Map::new(),
        deadline_seconds: None,
    })
}

/// A job that prints its number and waits for a file of that number, again and again until the last.
fn steps(data: &Data, artifact: &Artifact, last: u32) -> Assignment {
    let folder = data.shared();
    let script = format!(
        "for n in $(seq {last}); do echo step $n; until test -e {}/$n; do sleep 0.01; done; done",
        folder.display()
    );
    assignment(1, "run/1", job(artifact, &["/bin/sh", "-c", &script]))
}

fn go_on(data: &Data, step: u32) {
    std::fs::write(data.shared().join(step.to_string()), b"").unwrap();
}

async fn stored(data: &Data) -> NodeLogs {
    NodeLogs::new(&Blobs::open(&data.path().join("blobs")).await.unwrap())
}

/// The files that the host keeps of logs.
fn kept(data: &Data) -> Vec<String> {
    common::walk(&data.path().join("host/logs")).into_iter().filter(|path| path.ends_with(".log")).collect()
}

async fn shown_now(executor: &Executor, given: &Assignment) -> String {
    let lines = executor.logs().reader().read(given.run, 1, From::Record(0), 1000).await.unwrap();
    lines.iter().map(|line| String::from_utf8_lossy(&line.record.text).into_owned() + "\n").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_shown_while_it_is_written_and_stored_when_it_ends() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let given = steps(&data, &artifact(&data).await, 2);
    let executor = executor(&data, &scheduler).await;
    executor.offer(given.clone());
    let reader = executor.logs().reader();
    eventually("the log is open", async || {
        executor.logs().tail(given.run, 1, 0, Duration::ZERO).await.unwrap().is_some()
    })
    .await;
    let mut followed = std::pin::pin!(reader.lines(given.run, 1, From::Record(0), true));
    let mut seen: Vec<String> = Vec::new();
    for step in 1..=2 {
        let wanted = format!("step {step}");
        while !seen.contains(&wanted) {
            let batch = followed.next().await.unwrap().unwrap();
            seen.extend(batch.iter().map(|line| String::from_utf8_lossy(&line.record.text).into_owned()));
        }
        assert!(scheduler.outcomes(Fence::from_raw(1)).is_empty());
        go_on(&data, step);
    }
    scheduler.succeed(Fence::from_raw(1)).await;
    let rest: Vec<_> = followed.try_collect().await.unwrap();
    seen.extend(rest.concat().iter().map(|line| String::from_utf8_lossy(&line.record.text).into_owned()));
    assert!(seen[0].starts_with("[shipway] running") && seen[1..] == ["step 1", "step 2"], "{seen:?}");
    // Any service reads it, without this host, which keeps nothing of it.
    let all = stored(&data).await.reader(NoTail).read(given.run, 1, From::Record(1), 9).await.unwrap();
    assert_eq!(
        all.iter().map(|line| (line.number, line.record.kind)).collect::<Vec<_>>(),
        [(1, Kind::Line), (2, Kind::Line)]
    );
    assert!(kept(&data).is_empty(), "{:?}", kept(&data));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_whole_over_a_restart_and_later_attempts_go_on_with_its_numbers() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let artifact = artifact(&data).await;
    let given = steps(&data, &artifact, 2);
    let first = executor(&data, &scheduler).await;
    first.offer(given.clone());
    eventually("it has begun", async || shown_now(&first, &given).await.contains("step 1")).await;
    // What is stored by now is not stored again by the next.
    let begun = stored(&data).await;
    eventually("its beginning is stored", async || {
        !begun.reader(NoTail).read(given.run, 1, From::Record(0), 9).await.unwrap().is_empty()
    })
    .await;
    drop(first);
    go_on(&data, 1);
    let next = executor(&data, &scheduler).await;
    // Its shim still writes: the log is open before the work is offered again.
    eventually("it goes on", async || shown_now(&next, &given).await.contains("step 2")).await;
    let again = Assignment { fence: Fence::from_raw(7), ..given.clone() };
    next.offer(again.clone());
    go_on(&data, 2);
    scheduler.succeed(Fence::from_raw(7)).await;
    let text = log(&next, &again).await;
    for step in ["step 1\n", "step 2\n"] {
        assert_eq!(text.matches(step).count(), 1, "{text}");
    }
    let other = Assignment {
        fence: Fence::from_raw(9),
        attempt: 2,
        work: job(&artifact, &["/bin/echo", "another"]),
        ..given
    };
    next.offer(other.clone());
    scheduler.succeed(Fence::from_raw(9)).await;
    let all = lines(&next, &other).await;
    assert_eq!(all.last().unwrap().record.text, "another");
    let numbers: Vec<u64> = all.iter().map(|line| line.number).collect();
    assert_eq!(numbers, (0..all.len() as u64).collect::<Vec<_>>());
    assert!(all.iter().all(|line| line.record.kind == Kind::Line), "{all:?}");
    assert!(kept(&data).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_nobody_waits_for_has_its_log_to_its_end() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let artifact = artifact(&data).await;
    let executor = executor(&data, &scheduler).await;
    let gate = data.shared().join("gate");
    let script = format!("until test -e {}; do sleep 0.01; done; echo late", gate.display());
    let runner = target();
    let released = Workload::Release(shipway_nodes::workload::Release {
        target: runner.clone(),
        artifact,
        service: None,
        wait: true,
        timeout_seconds: 30,
    });
    executor.offer(assignment(1, "run/1", released));
    scheduler.succeed(Fence::from_raw(1)).await;
    let exec = Exec {
        target: runner,
        command: ["/bin/sh", "-c", &script].map(str::to_owned).into(),
        environment: Map::new(),
        dispatch_only: true,
        timeout_seconds: 60,
    };
    let given = assignment(2, "run/2", Workload::Exec(exec));
    executor.offer(given.clone());
    scheduler.succeed(Fence::from_raw(2)).await;
    std::fs::write(gate, b"").unwrap();
    let text = log(&executor, &given).await;
    assert!(text.ends_with("late\n"), "{text}");
}

/// Another service reads a log: stored chunks from the store, the rest from the executor, both by gRPC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_read_over_the_network() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let given = steps(&data, &artifact(&data).await, 1);
    let executor = executor(&data, &scheduler).await;
    executor.offer(given.clone());
    eventually("it has begun", async || shown_now(&executor, &given).await.contains("step 1")).await;
    let executors = Channel::local(ExecutorsServer::new(ExecutorsApi::new(executor.clone())));
    let reader = stored(&data).await.reader(RemoteTail::new(executors.clone()));
    let mut logs = LogsClient::new(Channel::local(LogsServer::new(LogsApi::new(reader))));
    let request =
        ReadNodeLogRequest { run: given.run.to_string(), node: 1, follow: true, ..Default::default() };
    let mut batches = logs.read_node_log(request.clone()).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while !seen.contains(&"step 1".to_owned()) {
        let batch = batches.next().await.unwrap().unwrap();
        seen.extend(batch.lines.into_iter().map(|line| String::from_utf8(line.text).unwrap()));
    }
    let limited = ReadNodeLogRequest { limit: 1, follow: false, ..request };
    let one: Vec<_> = logs.read_node_log(limited).await.unwrap().into_inner().try_collect().await.unwrap();
    assert_eq!(one.iter().map(|batch| batch.lines.len()).sum::<usize>(), 1);
    go_on(&data, 1);
    scheduler.succeed(Fence::from_raw(1)).await;
    while let Some(batch) = batches.next().await {
        seen.extend(batch.unwrap().lines.into_iter().map(|line| String::from_utf8(line.text).unwrap()));
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    // Nobody writes it any more.
    let mut executors = ExecutorsClient::new(executors);
    let request = NodeLogRequest { run: given.run.to_string(), node: 1, from: 0, wait_ms: 60_000 };
    assert!(!executors.node_log(request).await.unwrap().into_inner().open);
}

/// E-21: a node prints far more than its log may hold, with lines of 10 MB and bytes that are no text. The log is
/// capped and says so, what is kept is as it was printed, the executor stays small, and its lease goes on: a task
/// beside it on its runtime renews it every second. The link's own beats, which do that in a service, are not part of this:
/// they have `runtime_beats.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_e_21_an_output_storm_is_survived() {
    let full = std::env::var_os("SHIPWAY_FULL").is_some();
    let (bytes, limit): (u64, u64) = if full { (1 << 30, 64 << 20) } else { (100 << 20, 40 << 20) };
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let artifact = artifact(&data).await;
    let executor = executor_with(&data, &scheduler, |config| {
        config.lease = Some(LeaseTimes::default());
        config.log_limit = limit;
    })
    .await;
    let beating = executor.clone();
    let beats = tokio::spawn(async move {
        loop {
            beating.renew(BootTime::now());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    // From here on the peak is counted anew.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let given = assignment(1, "run/1", job(&artifact, &["./program", "storm", &bytes.to_string()]));
    let begun = Instant::now();
    executor.offer(given.clone());
    scheduler.succeed(Fence::from_raw(1)).await;
    let took = begun.elapsed();
    executor
        .logs()
        .reader()
        .lines(given.run, 1, From::Record(0), true)
        .try_for_each(async |_| Ok(()))
        .await
        .unwrap();
    let peak = memory();
    beats.abort();

    // What is kept is the beginning of what was printed, to the byte.
    let all = lines(&executor, &given).await;
    let (last, kept) = all.split_last().unwrap();
    assert_eq!(last.record.kind, Kind::Full);
    assert!(String::from_utf8_lossy(&last.record.text).contains("what follows is not kept"));
    let mut printed = Vec::new();
    for line in &kept[1..] {
        printed.extend_from_slice(&line.record.text);
        printed.extend((line.record.kind == Kind::Line).then_some(b'\n'));
    }
    for letter in *b"xyz" {
        let rest = printed.split_off(10_000_007);
        assert!(printed[..10_000_000].iter().all(|byte| *byte == letter));
        assert_eq!(printed[10_000_000..], *b"\n\0\xff\xfe\xc3(\n");
        printed = rest;
    }
    let text = String::from_utf8(printed).unwrap();
    for (number, line) in text.lines().enumerate() {
        assert_eq!(line, format!("line {number} of a storm that says nothing but how long it is"));
    }
    let size = last.offset;
    assert!(size <= limit && size > limit - (64 << 10), "{size}");
    println!(
        "ROW E-21 printed_mib={} kept_mib={} seconds={:.1} executor_peak_mib={} lease_lost=0",
        bytes >> 20,
        size >> 20,
        took.as_secs_f64(),
        peak >> 20
    );
    assert!(peak < 150 << 20, "{peak}");
    assert!(Path::new(BINARY).exists());
}

/// The most memory that this process had, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
