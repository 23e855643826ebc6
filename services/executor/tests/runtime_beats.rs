//! The beats of an executor whose schedulers come and go.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use common::{BINARY, Data};
use shipway_contracts::{
    Channel,
    v1::{
        BeatReply, BeatRequest, CompleteReply, CompleteRequest, RegisterReply, RegisterRequest,
        work_server::{Work, WorkServer},
    },
};
use shipway_eventing::Blobs;
use shipway_executor::{Deps, ExecutorConfig, Service};
use shipway_service_kit::Lifecycle;
use tokio::{sync::mpsc, time::Instant};
use tonic::{Request, Response, Status};

/// How many beats nobody hears.
const UNHEARD: usize = 6;

/// The way to schedulers that are all going away at first.
struct Away {
    beats: mpsc::UnboundedSender<Instant>,
    asked: AtomicUsize,
}

#[tonic::async_trait]
impl Work for Away {
    async fn register(&self, _: Request<RegisterRequest>) -> Result<Response<RegisterReply>, Status> {
        Ok(Response::new(RegisterReply { generation: 1, log: "log".to_owned() }))
    }

    async fn complete(&self, _: Request<CompleteRequest>) -> Result<Response<CompleteReply>, Status> {
        Err(Status::unavailable("nothing was given"))
    }

    async fn beat(&self, _: Request<BeatRequest>) -> Result<Response<BeatReply>, Status> {
        self.beats.send(Instant::now()).unwrap();
        match self.asked.fetch_add(1, Ordering::Relaxed) {
            ..UNHEARD => Err(Status::unavailable("it is going away")),
            _ => Ok(Response::new(BeatReply { known: true, complete: true, ..BeatReply::default() })),
        }
    }
}

/// A lease ends 15 s after the last good beat. Beats that nobody heard may not take up that time.
#[tokio::test(start_paused = true)]
async fn a_beat_that_nobody_heard_is_sent_again_at_once_and_not_when_the_next_is_due() {
    let data = Data::new();
    let blobs = Blobs::open(&data.path().join("blobs")).await.unwrap();
    let (sender, mut beats) = mpsc::unbounded_channel();
    let work = WorkServer::new(Away { beats: sender, asked: AtomicUsize::default() });
    let (lifecycle, _failures) = Lifecycle::new();
    let service = Service::start(Deps {
        config: ExecutorConfig::new(data.path().to_owned(), Path::new(BINARY).to_owned(), blobs),
        reach: None,
        finish: Duration::ZERO,
        work: Channel::local(work),
        home: Channel::later().0,
        lifecycle: lifecycle.clone(),
    });
    let _service = service.await.unwrap();
    let first = beats.recv().await.unwrap();
    for _ in 1..UNHEARD {
        beats.recv().await.unwrap();
    }
    let heard = beats.recv().await.unwrap();
    assert!(heard - first < Duration::from_secs(3), "{:?}", heard - first);
    // One that was heard is followed by the next in its time.
    let next = beats.recv().await.unwrap();
    assert!(next - heard > Duration::from_secs(4), "{:?}", next - heard);
    lifecycle.retire();
}
