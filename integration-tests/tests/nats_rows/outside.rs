//! A program outside of Shipway, as it is told to be written: a durable consumer, its own position, gaps filled from
//! the log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::StreamExt;
use shipway_eventing::Log;
use shipway_events::Position;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::given::{Member, until};

pub(crate) struct Outside {
    at: Arc<AtomicU64>,
    stop: CancellationToken,
    task: JoinHandle<Report>,
}

/// What it went through.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// How often its consumer had to be made.
    pub(crate) consumers: u64,
    /// How many events it read from the log because they did not come.
    pub(crate) filled: u64,
}

impl Outside {
    pub(crate) async fn start(member: &Member) -> Self {
        let at = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let run = Run {
            jetstream: member.nats.jetstream().clone(),
            stream: member.names().events_stream(),
            log: Arc::clone(&member.log),
            at: Arc::clone(&at),
            report: Report::default(),
        };
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut run = run;
            tokio::select! {
                () = stopped.cancelled() => {}
                () = run.all() => {}
            }
            run.report
        });
        Self { at, stop, task }
    }

    pub(crate) async fn reach(&self, position: Position) {
        let what = format!("a reader outside reaches {position}");
        until(&what, || self.at.load(Ordering::Acquire) >= position || self.task.is_finished()).await;
        assert!(!self.task.is_finished(), "a reader outside failed");
    }

    pub(crate) async fn stop(self) -> Report {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

struct Run {
    jetstream: async_nats::jetstream::Context,
    stream: String,
    log: Arc<dyn Log>,
    at: Arc<AtomicU64>,
    report: Report,
}

impl Run {
    async fn all(&mut self) {
        loop {
            let config = pull::Config {
                durable_name: Some("outside".to_owned()),
                deliver_policy: DeliverPolicy::All,
                ack_policy: AckPolicy::Explicit,
                ..pull::Config::default()
            };
            if let Ok(stream) = self.jetstream.get_stream(&self.stream).await
                && let Ok(consumer) = stream.get_or_create_consumer("outside", config).await
            {
                self.report.consumers += 1;
                let _ended = self.take(consumer).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn take(
        &mut self,
        consumer: async_nats::jetstream::consumer::PullConsumer,
    ) -> Result<(), async_nats::Error> {
        let heartbeat = Duration::from_millis(500);
        let mut messages =
            consumer.stream().heartbeat(heartbeat).expires(Duration::from_secs(2)).messages().await?;
        while let Some(message) = messages.next().await {
            let message = message?;
            let header = |name: &str| -> Position {
                message.headers.as_ref().unwrap().get(name).unwrap().as_str().parse().unwrap()
            };
            let (position, previous) = (header("Shipway-Position"), header("Shipway-Prev"));
            let at = self.at.load(Ordering::Acquire);
            if position > at {
                if previous > at {
                    let missing = self.log.read(at, usize::try_from(previous - at).unwrap()).await?;
                    assert_eq!(missing.last().unwrap().position, previous);
                    self.report.filled += missing.len() as u64;
                }
                self.at.store(position, Ordering::Release);
            }
            message.ack().await?;
        }
        Ok(())
    }
}
