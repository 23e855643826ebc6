//! Leases: what an executor began ends by itself when nobody hears of it, so that another can be given the work.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;
#[path = "common/scheduler.rs"]
mod scheduler;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use common::{BINARY, Data, eventually, processes, target};
use rustix::process::{Pid, Signal};
use scheduler::{Scheduler, artifact, assignment, executor_with};
use serde_json::{Map, json};
use shipway_events::{EffectClass, Fence, RegistrationId, plan::Artifact};
use shipway_executor::{Assignment, BootTime, Executor, LeaseTimes};
use shipway_nodes::{
    Outcome, Workload,
    workload::{Channel, Command as Run, Job, Message, Noop},
};

fn full() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some()
}

/// A tenth of the real times, which `--full` takes.
fn times() -> LeaseTimes {
    if full() {
        return LeaseTimes::default();
    }
    LeaseTimes { stop_after: Duration::from_millis(1500), dead_after: Duration::from_millis(2000) }
}

fn short() -> LeaseTimes {
    LeaseTimes { stop_after: Duration::from_millis(1000), dead_after: Duration::from_millis(1400) }
}

/// What work acts on: keeps the highest fence it has seen, refuses lower ones, and writes down everything.
struct Sink {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    highest: u64,
    accepted: Vec<(u64, Instant)>,
    refused: usize,
    /// Every fence that came, refused or not.
    all: BTreeSet<u64>,
}

impl Sink {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Seen::default())));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    let mut line = String::new();
                    let mut client = BufReader::new(client);
                    if client.read_line(&mut line).is_err() || !line.ends_with('\n') {
                        return;
                    }
                    let fence: u64 = line.trim().parse().unwrap();
                    let mut seen = kept.lock().unwrap();
                    let fine = fence >= seen.highest;
                    seen.all.insert(fence);
                    if fine {
                        seen.highest = fence;
                        seen.accepted.push((fence, Instant::now()));
                    } else {
                        seen.refused += 1;
                    }
                    drop(seen);
                    let _ = client.get_mut().write_all(if fine { b"ok\n" } else { b"stale\n" });
                });
            }
        });
        Self { address, seen }
    }

    fn effects(&self, fence: u64) -> usize {
        self.seen.lock().unwrap().accepted.iter().filter(|(known, _)| *known == fence).count()
    }

    /// After the first effect of a fence there is none of a lower one.
    fn is_in_order(&self) -> bool {
        self.seen.lock().unwrap().accepted.is_sorted_by_key(|(fence, _)| *fence)
    }
}

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

/// An executor of its own that beats while it is not stopped.
fn remote(data: &Data, work: &Workload, fence: u64, times: LeaseTimes) -> Child {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap();
    let lease = json!({ "stop": milliseconds(times.stop_after), "dead": milliseconds(times.dead_after) });
    let given = json!({ "work": work, "class": EffectClass::Checked, "key": "run/1", "fence": fence, "lease": lease });
    Command::new(BINARY)
        .args(["attempt", data.path().to_str().unwrap(), &given.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn signal(pids: &[i32], signal: Signal) {
    for pid in pids {
        let _ = rustix::process::kill_process(Pid::from_raw(*pid).unwrap(), signal);
    }
}

/// The first outcome that it prints.
fn outcome(child: &mut Child) -> String {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).find(|line| line.starts_with("outcome")).unwrap()
}

async fn leased(data: &Data, scheduler: &Arc<Scheduler>, times: LeaseTimes) -> Executor {
    executor_with(data, scheduler, |config| config.lease = Some(times)).await
}

fn fence(raw: u64) -> Fence {
    Fence::from_raw(raw)
}

/// E-5: an executor is stopped past its lease (alone, and with everything that it has started), another does the work,
/// then the first goes on. Its late effects are refused, it does not say that it succeeded, and its processes die.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_e_5_a_zombie_changes_nothing_when_it_wakes() {
    let cases = if full() { 10 } else { 2 };
    let (mut stale, mut longest) = (0, Duration::ZERO);
    for case in 0..cases {
        let everything = case % 2 == 1;
        let (ours, theirs, sink) = (Data::new(), Data::new(), Sink::open());
        let address = sink.address.to_string();
        let words = ["./program", "effects", &address];
        let first = job(&artifact(&ours).await, &words);
        let mut zombie = remote(&ours, &first, 1, short());
        eventually("the first has its effects", async || sink.effects(1) > 0).await;
        let children = || processes(&format!("program effects {address}"));
        let stopped = if everything {
            [processes(ours.path().to_str().unwrap()), children()].concat()
        } else {
            vec![i32::try_from(zombie.id()).unwrap()]
        };
        signal(&stopped, Signal::STOP);
        let paused = Instant::now();
        if everything {
            eventually("the lease is over", async || paused.elapsed() > short().dead_after).await;
        } else {
            // The shim needs nobody to know that the time is up.
            eventually("nothing of the first is left", async || children().is_empty()).await;
            println!("  dead {:.2} s after the stop", paused.elapsed().as_secs_f64());
        }

        let scheduler = Arc::new(Scheduler::default());
        let second =
            executor_with(&theirs, &scheduler, |config| config.stop_grace = Duration::from_millis(50)).await;
        second.offer(assignment(2, "run/1", job(&artifact(&theirs).await, &words)));
        eventually("the second has its effects", async || sink.effects(2) > 0).await;
        let before = sink.effects(1);
        let own = children();
        if everything {
            signal(&own, Signal::CONT);
            eventually("its late effect is refused", async || sink.seen.lock().unwrap().refused > 0).await;
        }
        signal(&stopped, Signal::CONT);
        let woken = Instant::now();
        let said = tokio::task::spawn_blocking(move || (outcome(&mut zombie), zombie)).await.unwrap();
        assert_eq!(said.0, "outcome Stopped");
        let theirs = |pid: &i32| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("SHIPWAY_FENCE=1\0"))
        };
        eventually("nothing of the first is left", async || !children().iter().any(theirs)).await;
        longest = longest.max(woken.elapsed());
        if everything {
            assert!(own.iter().any(|pid| stopped.contains(pid)), "the first was gone before it woke");
        }
        assert_eq!(sink.effects(1), before, "a stale effect was accepted");
        assert!(sink.is_in_order());
        stale += sink.seen.lock().unwrap().refused;
        let mut zombie = said.1;
        zombie.kill().unwrap();
        zombie.wait().unwrap();
        second.stop(fence(2));
        assert_eq!(scheduler.end(fence(2)).await, Outcome::Stopped);
    }
    println!(
        "ROW E-5 cases={cases} stale_effects_refused={stale} accepted=0 dead_after_wake_seconds={:.2}",
        longest.as_secs_f64()
    );
    if full() {
        assert!(longest < Duration::from_secs(5), "{longest:?}");
    }
}

/// E-6, on the executor's side: no beat is answered any more. The processes get SIGTERM and then die in their time,
/// although they do not heed it and the executor is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_e_6_the_holder_kills_its_children() {
    let (data, sink, times) = (Data::new(), Sink::open(), times());
    let address = sink.address.to_string();
    let scheduler = Arc::new(Scheduler::default());
    let executor = leased(&data, &scheduler, times).await;
    let work = job(&artifact(&data).await, &["./program", "effects", &address]);
    executor.renew(BootTime::now());
    executor.offer(assignment(1, "run/1", work));
    eventually("it works", async || {
        // Beats are good until it does, however slow the machine is.
        executor.renew(BootTime::now());
        sink.effects(1) > 0
    })
    .await;
    let last = Instant::now();
    executor.renew(BootTime::now());
    assert_eq!(scheduler.end(fence(1)).await, Outcome::Stopped);
    let reported = last.elapsed();
    eventually("nothing is left", async || processes(&format!("effects {address}")).is_empty()).await;
    let end = sink.seen.lock().unwrap().accepted.last().unwrap().1;
    println!(
        "ROW E-6 last_effect_after_seconds={:.2} reported_after_seconds={:.2} allowed={:.2}",
        end.duration_since(last).as_secs_f64(),
        reported.as_secs_f64(),
        times.dead_after.as_secs_f64()
    );
    assert!(end.duration_since(last) > times.stop_after.saturating_sub(Duration::from_millis(100)));
    if full() {
        assert!(reported < times.dead_after + Duration::from_secs(1), "{reported:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn light_work_ends_with_the_lease_and_what_waits_is_given_back() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let executor = executor_with(&data, &scheduler, |config| {
        config.lease = Some(short());
        config.heavy_slots = 1;
    })
    .await;
    let artifact = artifact(&data).await;
    let slept = |fence| {
        let work = Noop { sleep_ms: Some(3_600_000), ..Noop::default() };
        assignment(fence, &fence.to_string(), Workload::Noop(work))
    };
    executor.offer(slept(1));
    assert_eq!(executor.held(), [fence(1)]);
    assert!(scheduler.outcomes(fence(1)).is_empty());
    for number in [2, 3] {
        executor.offer(assignment(number, &number.to_string(), job(&artifact, &["/bin/sleep", "3600"])));
    }
    assert_eq!(executor.held(), [fence(1), fence(2), fence(3)]);
    executor.renew(BootTime::now());
    assert_eq!(scheduler.end(fence(1)).await, Outcome::Stopped);
    assert_eq!(scheduler.end(fence(2)).await, Outcome::Stopped);
    eventually("what waited is given back", async || scheduler.refused().len() == 1).await;
    assert_eq!(scheduler.refused()[0].0, 3);
    // Nothing begins before the next good beat, and then only what was not given up.
    executor.offer(slept(4));
    executor.offer(slept(1));
    assert_eq!(executor.held(), [fence(4)]);
    executor.renew(BootTime::now());
    executor.stop(fence(4));
    assert_eq!(scheduler.end(fence(4)).await, Outcome::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_not_sent_after_the_lease() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    let message = |fence| {
        let message = Message {
            channel: Channel::RawWebhook,
            url: json!(format!("http://{address}/")),
            message: json!("x"),
        };
        assignment(fence, &format!("run/{fence}"), Workload::Message(message))
    };
    let executor = leased(&data, &scheduler, short()).await;
    executor.renew(BootTime::now());
    executor.offer(message(1));
    // It is being sent when the lease ends: the receiver does not answer.
    receiver.set_nonblocking(true).unwrap();
    let mut sent = None;
    eventually("it is sent", async || {
        executor.renew(BootTime::now());
        sent = receiver.accept().ok();
        sent.is_some()
    })
    .await;
    assert_eq!(scheduler.end(fence(1)).await, Outcome::Stopped);
    executor.offer(message(2));
    assert_eq!(executor.held(), [fence(2)]);
    let (mut client, _) = sent.unwrap();
    client.set_nonblocking(false).unwrap();
    let mut head = [0; 4096];
    let count = client.read(&mut head).unwrap();
    let head = String::from_utf8_lossy(&head[..count]).into_owned();
    assert!(head.contains("webhook-id: run/1\r\n") && head.contains("shipway-fence: 1\r\n"), "{head}");
    assert_eq!(receiver.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    receiver.set_nonblocking(false).unwrap();
    executor.renew(BootTime::now());
    let (mut client, _) = receiver.accept().unwrap();
    assert!(client.read(&mut [0; 4096]).unwrap() > 0);
    client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    scheduler.succeed(fence(2)).await;
}

/// Asked again on the same host, what was cut short is done again where that is harmless, and otherwise said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cut_short_is_not_taken_for_done() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let (artifact, sink) = (artifact(&data).await, Sink::open());
    let script = format!("test $SHIPWAY_FENCE -gt 10 || exec ./program effects {}", sink.address);
    let sleeping = job(&artifact, &["/bin/sh", "-c", &script]);
    let executor = leased(&data, &scheduler, short()).await;
    executor.renew(BootTime::now());
    for (number, class) in [(1, EffectClass::Keyed), (2, EffectClass::Checked)] {
        executor.offer(Assignment { effect: class, ..assignment(number, class.as_str(), sleeping.clone()) });
    }
    eventually("both work", async || {
        executor.renew(BootTime::now());
        [1, 2].iter().all(|fence| sink.seen.lock().unwrap().all.contains(fence))
    })
    .await;
    for number in [1, 2] {
        assert_eq!(scheduler.end(fence(number)).await, Outcome::Stopped);
    }
    let executor = executor_with(&data, &scheduler, |_| {}).await;
    for (number, class) in [(11, EffectClass::Keyed), (12, EffectClass::Checked)] {
        executor.offer(Assignment { effect: class, ..assignment(number, class.as_str(), sleeping.clone()) });
    }
    scheduler.succeed(fence(11)).await;
    let Outcome::Unknown { reason } = scheduler.end(fence(12)).await else { panic!("it is not unknown") };
    assert!(reason.contains("ended half-way"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_outlives_good_beats_and_a_restart_between_them() {
    let (data, sink, scheduler) = (Data::new(), Sink::open(), Arc::new(Scheduler::default()));
    let work = job(&artifact(&data).await, &["./program", "effects", &sink.address.to_string()]);
    {
        let executor = leased(&data, &scheduler, short()).await;
        executor.renew(BootTime::now());
        executor.offer(assignment(1, "run/1", work.clone()));
        eventually("it works", async || {
            executor.renew(BootTime::now());
            sink.effects(1) > 0
        })
        .await;
        executor.renew(BootTime::now());
    }
    // The next start finds it and renews it before it has been offered again.
    let next = leased(&data, &scheduler, short()).await;
    let begun = Instant::now();
    while begun.elapsed() < short().dead_after * 2 {
        next.renew(BootTime::now());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seen = sink.effects(1);
    eventually("it still works", async || {
        next.renew(BootTime::now());
        sink.effects(1) > seen
    })
    .await;
    assert!(scheduler.outcomes(fence(1)).is_empty());
    next.sweep(&BTreeSet::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_this_start_was_given_and_can_do_is_begun() {
    let (data, scheduler) = (Data::new(), Arc::new(Scheduler::default()));
    let executor = executor_with(&data, &scheduler, |config| config.labels = ["arm".to_owned()].into()).await;
    let (earlier, own) = (uuid::Uuid::now_v7(), uuid::Uuid::now_v7());
    executor.registered(RegistrationId::new(own));
    let given = |fence, start, label: Option<&str>| Assignment {
        registration: Some(RegistrationId::new(start)),
        labels: label.into_iter().map(str::to_owned).collect(),
        ..assignment(fence, &fence.to_string(), Workload::Noop(Noop::default()))
    };
    executor.offer(given(1, earlier, None));
    executor.offer(given(2, own, Some("gpu")));
    executor.offer(given(3, own, Some("arm")));
    scheduler.succeed(fence(3)).await;
    eventually("it is given back", async || scheduler.refused().len() == 1).await;
    let (refused, reason) = scheduler.refused().remove(0);
    assert!(refused == 2 && reason.contains("`gpu`"), "{reason}");
    // Neither what is finished nor what was refused is begun when it is offered again.
    executor.refuse(given(4, own, None).run, 1, fence(4), "its work cannot be read".to_owned());
    for number in [2, 3, 4] {
        executor.offer(given(number, own, None));
    }
    executor.offer(given(5, own, None));
    scheduler.succeed(fence(5)).await;
    eventually("nothing is held", async || executor.held().is_empty()).await;
    assert_eq!(scheduler.outcomes(fence(3)).len(), 1);
    for number in [1, 2, 4] {
        assert!(scheduler.outcomes(fence(number)).is_empty());
    }
    assert_eq!(scheduler.refused().iter().map(|(fence, _)| *fence).collect::<Vec<_>>(), [2, 4]);
}
