//! Effects stay single over crashes of the executor: it runs as a process of its own and is killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;
#[path = "common/scheduler.rs"]
mod scheduler;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use common::{BINARY, Data, free_port, target};
use scheduler::{Scheduler, artifact, assignment, executor};
use serde_json::{Map, json};
use shipway_events::{EffectClass, Fence, plan::Artifact};
use shipway_nodes::{
    Outcome, Workload,
    workload::{Channel, Command as Run, HealthCheck, Job, Message, Port, Release, ServiceSpec, Target},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    /// As soon as it has the work.
    BeforeIntent,
    /// As soon as the start is recorded.
    AfterIntent,
    /// As soon as the effect is there.
    AfterEffect,
    /// After the outcome was taken.
    AfterAck,
    /// With the effect there, and the shim is killed too.
    WithShim,
}

/// An executor of its own that does this work; killed at the crash's moment.
fn crash(data: &Data, work: &Workload, class: EffectClass, key: &str, at: Crash, reached: impl Fn() -> bool) {
    let given = json!({ "work": work, "class": class, "key": key, "fence": 1 });
    let mut child = Command::new(BINARY)
        .args(["attempt", data.path().to_str().unwrap(), &given.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "offered");
    let until = Instant::now() + Duration::from_secs(30);
    match at {
        Crash::BeforeIntent => {}
        Crash::AfterAck => assert!(lines.next().unwrap().unwrap().starts_with("outcome")),
        Crash::AfterIntent | Crash::AfterEffect | Crash::WithShim => {
            while !reached() {
                assert!(Instant::now() < until, "{at:?} was not reached");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    if at == Crash::WithShim {
        common::kill(&format!("{}/host/shims/", data.path().display()));
    }
}

fn count(path: &Path, line: &str) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().filter(|known| *known == line).count()
}

fn shim_started(data: &Data, before: usize) -> bool {
    let shims = std::fs::read_dir(data.path().join("host/shims")).into_iter().flatten().flatten();
    shims.filter(|shim| shim.path().join("started.json").exists()).count() > before
}

fn job(job: &Target, artifact: &Artifact, effects: &Path, key: &str) -> Workload {
    let words = ["./program", "append", effects.to_str().unwrap(), key, "60"].map(str::to_owned);
    Workload::Job(Job {
        job: job.clone(),
        job_run: key.to_owned(),
        artifact: artifact.clone(),
        command: Run::Words(words.into()),
        environment: Map::new(),
        deadline_seconds: None,
    })
}

fn service(artifact: &Artifact) -> (Target, Workload) {
    let target = target();
    let spec = ServiceSpec {
        instances: 1,
        command: Run::Words(vec!["./program".into(), "serve".into()]),
        environment: Map::new(),
        ports: vec![Port { name: "http".into(), public: free_port(), http: true }],
        health: vec![HealthCheck {
            path: None,
            port: None,
            period_ms: 50,
            timeout_ms: 500,
            successes: 2,
            failures: 3,
        }],
        grace_seconds: 1,
    };
    let release = Release {
        target: target.clone(),
        artifact: artifact.clone(),
        service: Some(spec),
        wait: true,
        timeout_seconds: 30,
    };
    (target, Workload::Release(release))
}

/// Takes requests and keeps their keys.
fn receiver() -> (std::net::SocketAddr, PathBuf, tempfile::TempDir) {
    use std::io::{Read, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let keys = path.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let mut text = String::new();
            let mut buffer = [0; 4096];
            while !text.contains('}') {
                match client.read(&mut buffer) {
                    Ok(count @ 1..) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
                    _ => break,
                }
            }
            let key = text.lines().find_map(|line| line.strip_prefix("webhook-id: "));
            if let (Some(key), Ok(mut file)) =
                (key, std::fs::File::options().create(true).append(true).open(&keys))
                && count(&keys, key) == 0
            {
                // A receiver that knows keys: the effect happens once however often the message comes.
                let _ = writeln!(file, "{key}");
            }
            let _ = client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (address, path, folder)
}

/// E-9: every class of effect, with the executor killed before its intent, after it, after the effect and after the
/// answer; the same work is then given again with a higher fence. With real processes; the plan's 4,000 cases are those of
/// the simulation (`engine/tests/engine/rows.rs`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_e_9_effects_stay_single_over_crashes() {
    let full = std::env::var_os("SHIPWAY_FULL").is_some_and(|value| value == "1");
    // Of each of the 18 pairs of a class and a crash.
    let cases = if full { 12 } else { 2 };
    let data = Data::new();
    let artifact = artifact(&data).await;
    let effects = data.shared().join("effects");
    let (address, keys, _receiver) = receiver();
    let (mut made, mut unknown, mut wrong) = (0, 0, Vec::new());
    let runner = target();
    for number in 0..cases {
        for class in [EffectClass::Keyed, EffectClass::Fenced, EffectClass::Checked, EffectClass::Once] {
            for at in [
                Crash::BeforeIntent,
                Crash::AfterIntent,
                Crash::AfterEffect,
                Crash::AfterAck,
                Crash::WithShim,
            ] {
                let checked = matches!(class, EffectClass::Checked | EffectClass::Once);
                if at == Crash::WithShim && !checked {
                    continue;
                }
                let key = format!("{}/{at:?}/{number}", class.as_str());
                let (service, release) = service(&artifact);
                let work = match class {
                    EffectClass::Keyed => Workload::Message(Message {
                        channel: Channel::RawWebhook,
                        url: json!(format!("http://{address}/")),
                        message: json!("x"),
                    }),
                    EffectClass::Fenced => release,
                    EffectClass::Checked | EffectClass::Once => job(&runner, &artifact, &effects, &key),
                };
                let record = data.path().join(format!("host/keepers/{}/record.json", service.id));
                let started = std::fs::read_dir(data.path().join("host/shims")).into_iter().flatten().count();
                crash(&data, &work, class, &key, at, || match (class, at) {
                    (EffectClass::Keyed, _) => count(&keys, &key) > 0,
                    (EffectClass::Fenced, Crash::AfterIntent) => record.with_file_name("fence.json").exists(),
                    (EffectClass::Fenced, _) => record.exists(),
                    (_, Crash::AfterIntent) => shim_started(&data, started),
                    _ => count(&effects, &key) > 0,
                });
                let scheduler = Arc::new(Scheduler::default());
                let again = executor(&data, &scheduler).await;
                again.sweep(&[key.clone()].into()).await.unwrap();
                again.offer(shipway_executor::Assignment { effect: class, ..assignment(2, &key, work) });
                let outcome = scheduler.end(Fence::from_raw(2)).await;
                let happened = match class {
                    EffectClass::Keyed => count(&keys, &key),
                    EffectClass::Fenced => {
                        let status = again.statuses().await.unwrap();
                        let status = status.iter().find(|status| status.target.id == service.id).unwrap();
                        // Sets are numbered in the order of roll-outs.
                        status.instances[0].name.split('.').next().unwrap().parse().unwrap()
                    }
                    EffectClass::Checked | EffectClass::Once => count(&effects, &key),
                };
                let fine = match (&outcome, at) {
                    (Outcome::Unknown { .. }, Crash::WithShim) => happened <= 1,
                    (Outcome::Succeeded { .. }, _) => happened == 1,
                    _ => false,
                };
                made += 1;
                unknown += usize::from(matches!(outcome, Outcome::Unknown { .. }));
                if !fine {
                    wrong.push(format!("{key}: {happened} effects, {outcome:?}"));
                }
                if class == EffectClass::Fenced {
                    again.down().await.unwrap();
                    let _ = std::fs::remove_dir_all(record.parent().unwrap());
                }
            }
        }
    }
    println!("ROW E-9 real cases={made} wrong={} unknown={unknown}", wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(unknown > 0, "no case was unclear: the shim was never killed with its command");
}

/// E-10, the executor's part: work is stopped at random moments of its life; the process is dead within 2 s, and
/// there is one outcome.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_e_10_stopped_work_is_dead_within_two_seconds() {
    let data = Data::new();
    let artifact = artifact(&data).await;
    let scheduler = Arc::new(Scheduler::default());
    let executor = executor(&data, &scheduler).await;
    let (effects, runner) = (data.shared().join("effects"), target());
    let count = 40_u64;
    let mut longest = Duration::ZERO;
    let mut stopped = 0;
    for number in 1..=count {
        let key = format!("run/{number}");
        let words = ["./program", "append", effects.to_str().unwrap(), &key, "600000"].map(str::to_owned);
        let Workload::Job(mut work) = job(&runner, &artifact, &effects, &key) else { unreachable!() };
        work.command = Run::Words(words.into());
        let fence = Fence::from_raw(number);
        executor.offer(assignment(number, &key, Workload::Job(work)));
        tokio::time::sleep(Duration::from_millis(number * 37 % 150)).await;
        let begun = Instant::now();
        executor.stop(fence);
        let outcome = scheduler.end(fence).await;
        longest = longest.max(begun.elapsed());
        stopped += u32::from(matches!(outcome, Outcome::Stopped));
        assert_eq!(scheduler.outcomes(fence).len(), 1, "{outcome:?}");
    }
    let left = common::processes(effects.to_str().unwrap()).len();
    println!(
        "ROW E-10 stopped={stopped} of {count} survivors={left} longest_seconds={:.2}",
        longest.as_secs_f64()
    );
    assert_eq!((u64::from(stopped), left), (count, 0));
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}
