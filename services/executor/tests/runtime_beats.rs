//! The beats of an executor whose schedulers come and go.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use common::{BINARY, Data, eventually, free_port, service, target, task};
use rustix::process::{Pid, Signal};
use shipway_contracts::{
    Channel,
    v1::{
        BeatReply, BeatRequest, CompleteReply, CompleteRequest, RegisterReply, RegisterRequest,
        work_server::{Work, WorkServer},
    },
};
use shipway_eventing::Blobs;
use shipway_executor::{Deps, ExecutorConfig, LeaseTimes, Reach, Service, runtime::Runtime};
use shipway_nodes::workload::Target;
use shipway_service_kit::Lifecycle;
use tokio::{sync::mpsc, time::Instant};
use tonic::{Request, Response, Status};

/// How many beats nobody hears.
const UNHEARD: usize = 6;

/// The way to schedulers, who answer each beat as the test says.
struct Schedulers<Answer> {
    beats: mpsc::UnboundedSender<(Instant, BeatRequest)>,
    answer: Answer,
}

#[tonic::async_trait]
impl<Answer> Work for Schedulers<Answer>
where
    Answer: Fn(&BeatRequest) -> Result<BeatReply, Status> + Send + Sync + 'static,
{
    async fn register(&self, _: Request<RegisterRequest>) -> Result<Response<RegisterReply>, Status> {
        Ok(Response::new(RegisterReply { generation: 1, log: "log".to_owned() }))
    }

    async fn complete(&self, _: Request<CompleteRequest>) -> Result<Response<CompleteReply>, Status> {
        Err(Status::unavailable("nothing was given"))
    }

    async fn beat(&self, request: Request<BeatRequest>) -> Result<Response<BeatReply>, Status> {
        let request = request.into_inner();
        let answer = (self.answer)(&request);
        self.beats.send((Instant::now(), request)).unwrap();
        answer.map(Response::new)
    }
}

fn heard() -> BeatReply {
    BeatReply { known: true, complete: true, ..BeatReply::default() }
}

/// An executor of a machine of its own, with what it is asked and how it ends.
struct Executor {
    service: Service,
    beats: mpsc::UnboundedReceiver<(Instant, BeatRequest)>,
    lifecycle: Lifecycle,
}

impl Executor {
    async fn start(
        data: &Data,
        lease: Option<LeaseTimes>,
        answer: impl Fn(&BeatRequest) -> Result<BeatReply, Status> + Send + Sync + 'static,
    ) -> Self {
        let blobs = Blobs::open(&data.path().join("blobs")).await.unwrap();
        let (sender, beats) = mpsc::unbounded_channel();
        let work = WorkServer::new(Schedulers { beats: sender, answer });
        let (lifecycle, _failures) = Lifecycle::new();
        let mut config = ExecutorConfig::new(data.path().to_owned(), Path::new(BINARY).to_owned(), blobs);
        config.lease = lease;
        let service = Service::start(Deps {
            config,
            reach: Some(Reach { address: "http://127.0.0.1:1".to_owned(), host: "127.0.0.1".to_owned() }),
            finish: Duration::ZERO,
            work: Channel::local(work),
            home: Channel::later().0,
            lifecycle: lifecycle.clone(),
        });
        Self { service: service.await.unwrap(), beats, lifecycle }
    }

    async fn beat(&mut self) -> (Instant, BeatRequest) {
        let beat = tokio::time::timeout(Duration::from_secs(30), self.beats.recv());
        beat.await.expect("the beats go on").unwrap()
    }

    /// The next beat at which that holds.
    async fn beat_with(&mut self, holds: impl Fn(&BeatRequest) -> bool) {
        while !holds(&self.beat().await.1) {}
    }
}

/// A lease ends 15 s after the last good beat. Beats that nobody heard may not take up that time.
#[tokio::test(start_paused = true)]
async fn a_beat_that_nobody_heard_is_sent_again_at_once_and_not_when_the_next_is_due() {
    let data = Data::new();
    let asked = AtomicUsize::default();
    let mut executor = Executor::start(&data, None, move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        ..UNHEARD => Err(Status::unavailable("it is going away")),
        _ => Ok(heard()),
    })
    .await;
    let (first, _) = executor.beat().await;
    for _ in 1..UNHEARD {
        executor.beat().await;
    }
    let (heard, _) = executor.beat().await;
    assert!(heard - first < Duration::from_secs(3), "{:?}", heard - first);
    // One that was heard is followed by the next in its time.
    let (next, _) = executor.beat().await;
    assert!(next - heard > Duration::from_secs(4), "{:?}", next - heard);
    executor.lifecycle.retire();
}

/// Sends a signal to the keeper of a target.
fn signal(data: &Data, target: &Target, signal: Signal) {
    let keepers = common::processes(&format!("keeper {}", keeper(data, target)));
    assert!(!keepers.is_empty());
    for keeper in keepers {
        rustix::process::kill_process(Pid::from_raw(keeper).unwrap(), signal).unwrap();
    }
}

fn keeper(data: &Data, target: &Target) -> String {
    data.path().canonicalize().unwrap().join(format!("host/keepers/{}", target.id)).display().to_string()
}

/// A keeper that is stopped takes what it is asked and never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_hangs_costs_no_beat_neither_when_it_is_looked_at_nor_when_it_is_to_go() {
    let (data, hanging, well) = (Data::new(), target(), target());
    let runtime = data.runtime().await;
    for target in [&hanging, &well] {
        runtime.apply(service(&data, target, free_port(), 1, "v1")).await.unwrap();
    }
    let (moved, gone) = (Arc::new(AtomicBool::new(false)), hanging.id.to_string());
    let evict = moved.clone();
    let mut executor = Executor::start(&data, None, move |_| {
        let evict = if evict.load(Ordering::Relaxed) { vec![gone.clone()] } else { Vec::new() };
        Ok(BeatReply { evict, ..heard() })
    })
    .await;
    executor.service.is_told(false);
    let keeps = |beat: &BeatRequest, target: &Target| {
        beat.kept.iter().any(|kept| kept.resource == target.id.to_string())
    };
    executor.beat_with(|beat| keeps(beat, &hanging) && keeps(beat, &well)).await;
    signal(&data, &hanging, Signal::STOP);
    // The first ones say what was seen before; then it is asked again, and again.
    for _ in 0..10 {
        let (_, beat) = executor.beat().await;
        assert!(keeps(&beat, &hanging) && keeps(&beat, &well), "it is there: {:?}", beat.kept);
    }
    moved.store(true, Ordering::Relaxed);
    executor.beat_with(|beat| !keeps(beat, &hanging) && keeps(beat, &well)).await;
    executor.beat().await;
    // It was told once, and does it as soon as it can.
    signal(&data, &hanging, Signal::CONT);
    let left = format!("keeper {}", keeper(&data, &hanging));
    eventually("it has ended", async || common::processes(&left).is_empty()).await;
    executor.lifecycle.retire();
    runtime.down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_no_scheduler_hears_for_long_has_no_lease() {
    let data = Data::new();
    let gone = Arc::new(AtomicBool::new(false));
    let away = gone.clone();
    let lease = LeaseTimes { stop_after: Duration::from_secs(1), dead_after: Duration::from_secs(2) };
    let mut executor = Executor::start(&data, Some(lease), move |_| {
        if away.load(Ordering::Relaxed) { Err(Status::unavailable("all are gone")) } else { Ok(heard()) }
    })
    .await;
    executor.service.is_told(false);
    let holds = |executor: &Executor, expected| executor.service.has_lease() == expected;
    eventually("it has registered", async || holds(&executor, true)).await;
    gone.store(true, Ordering::Relaxed);
    eventually("nobody has heard it", async || holds(&executor, false)).await;
    executor.beat().await;
    gone.store(false, Ordering::Relaxed);
    eventually("it is heard again", async || holds(&executor, true)).await;
    executor.lifecycle.retire();
}

/// What a command leaves is removed a week later, also by an executor that has run all that time.
#[tokio::test]
async fn what_commands_leave_is_looked_through_every_day() {
    let data = Data::new();
    let runtime = data.runtime().await;
    let handle = runtime.start(&task(&data, &target(), "run/1", &["./program", "fail"])).await.unwrap();
    runtime.wait(&handle).await.unwrap();
    tokio::time::pause();
    let mut executor = Executor::start(&data, None, |_| Ok(heard())).await;
    executor.beat().await;
    let (first, _) = executor.beat().await;
    assert!(handle.0.exists(), "it has only just ended");
    let exit = std::fs::File::options().write(true).open(handle.0.join("exit.json")).unwrap();
    exit.set_modified(SystemTime::now() - Duration::from_secs(8 * 24 * 3600)).unwrap();
    for _ in 0..5 {
        executor.beat().await;
        assert!(handle.0.exists(), "that is for another day");
    }
    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    while handle.0.exists() {
        let (at, _) = executor.beat().await;
        assert!(at - first < Duration::from_secs(25 * 3600), "it is still there");
    }
    executor.lifecycle.retire();
}
