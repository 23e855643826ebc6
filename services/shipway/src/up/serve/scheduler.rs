//! `serve scheduler`: runs and their lanes; hosts the relay.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use prost::Message;
use shipway_eventing::{
    Leadership, Log,
    nats::{BellRinger, Relay, RelayStatus},
};
use shipway_events::{ExecutorId, Position};
use shipway_scheduler::{Bell, Bells, Deps, Service, Settings, Together};
use shipway_service_kit::{Lifecycle, Server, metrics};
use tokio::sync::watch;

use super::{
    super::old_logs,
    ground::Ground,
    process::{self, Started},
};

pub(super) fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    process::run("scheduler", settings.server.clone(), settings.telemetry.clone(), |lifecycle| async move {
        let Settings { server, database, nats, blobs, logs, .. } = settings;
        let ground = Ground::open("scheduler", &server, &database, &nats, &blobs).await?;
        ground.check_streams().await?;
        relay(&ground, &lifecycle).await?;
        let leadership = ground.leadership("logs");
        old_logs::forget(&ground.blobs, ground.log.clone(), leadership, logs.retention, &lifecycle);
        let bells = ground
            .nats
            .as_ref()
            .map(|nats| -> Arc<dyn Bells> { Arc::new(OverNats(BellRinger::new(nats, &ground.names))) });
        let service = Service::start(Deps {
            feed: ground.led_feed(),
            views: ground.views("shipway_scheduler").await?,
            durable: ground.durable.clone(),
            projects: ground.way_to("pipelines", &lifecycle)?,
            executors: None,
            data: None,
            together: Some(Together {
                leases: ground.leases.clone(),
                id: ground.id.clone(),
                address: ground.address.clone(),
            }),
            bells,
            lifecycle: lifecycle.clone(),
        })
        .await
        .context("starting the scheduler")?;
        let server = Server::new()
            .health(ground.health(&lifecycle, server.ready_lag))
            .grpc(service.runs_server())
            .grpc(service.events_server())
            .grpc(service.freezes_server())
            .grpc(service.holds_server())
            .grpc(service.history_server())
            .grpc(service.rollbacks_server())
            .grpc(super::logs::server(&ground))
            .grpc(service.work_server())
            .grpc(service.peers_server());
        let close = Box::pin(async move {
            drop(service);
            ground.log.close().await;
        });
        Ok(Started { server, close })
    })
}

/// One of all schedulers publishes the log on NATS.
async fn relay(ground: &Ground, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let Some(nats) = &ground.nats else { return Ok(()) };
    let leadership: Leadership = ground.leadership("relay");
    let relay = Relay::start(nats, &ground.feed, &ground.durable, leadership, ground.streams)
        .await
        .context("starting the relay")?;
    measure_relay(&relay, &ground.log);
    let lost = count_lost(relay.status());
    let stopping = lifecycle.stopping();
    lifecycle.spawn("relay", async move {
        tokio::select! {
            error = relay.failed() => Err(error),
            () = lost => Ok(()),
            () = stopping.cancelled() => {
                relay.stop().await;
                Ok(())
            }
        }
    });
    Ok(())
}

/// Counts how often the relay was this process' and then another's, as long as there is a relay.
async fn count_lost(mut status: watch::Receiver<RelayStatus>) {
    let mut counted = 0;
    loop {
        let lost = status.borrow_and_update().lost;
        metrics::LEASES_LOST.add(lost.saturating_sub(counted), &["relay"]);
        counted = lost;
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// How far the relay is behind, where it is this process'. One that leads and cannot publish is behind too: that NATS is
/// away is what is to be seen.
fn measure_relay(relay: &Relay, log: &Arc<dyn Log>) {
    let (status, log) = (relay.status(), Arc::downgrade(log));
    let places = move || {
        let status = status.borrow();
        let head = *log.upgrade()?.tail().borrow();
        Some((if status.leads { status.position } else { head }, head))
    };
    let since = places.clone();
    metrics::RELAY_LAG.observe(move |seen| {
        let (position, head) = places()?;
        seen.value(head.saturating_sub(position) as f64, &[]);
        Some(())
    });
    let mark = Mutex::new(Mark::default());
    metrics::RELAY_LAG_SECONDS.observe(move |seen| {
        let (position, head) = since()?;
        let mut mark = mark.lock().unwrap_or_else(PoisonError::into_inner);
        seen.value(mark.age(position, head, Instant::now()).as_secs_f64(), &[]);
        Some(())
    });
    let status = relay.status();
    metrics::LEASES_HELD.observe(move |seen| {
        seen.value(f64::from(u8::from(status.borrow().leads)), &["relay"]);
        Some(())
    });
}

/// An end of the log that the relay has yet to come to, and when it was seen. A busy relay is always a little behind; one
/// that is late has not come to where the log ended a while ago.
#[derive(Debug, Default)]
struct Mark(Option<(Position, Instant)>);

impl Mark {
    /// How long ago the end was seen that a relay at this position has yet to come to.
    fn age(&mut self, position: Position, head: Position, now: Instant) -> Duration {
        if self.0.is_none_or(|(end, _)| position >= end) {
            self.0 = (position < head).then_some((head, now));
        }
        self.0.map_or(Duration::ZERO, |(_, at)| now.saturating_duration_since(at))
    }
}

/// Executors are told over NATS; what is not sent they hear with their beats.
struct OverNats(BellRinger);

impl Bells for OverNats {
    fn ring(&self, executor: ExecutorId, bell: Bell) {
        let executor = executor.to_string();
        let sent = match bell {
            Bell::Assign(assignment) => self.0.ring(&executor, assignment.encode_to_vec().into()),
            // What is no fence makes it ask.
            Bell::Ask => self.0.stop(&executor, bytes::Bytes::new()),
            Bell::Stop(fence) => self.0.stop(&executor, fence.raw().to_be_bytes().to_vec().into()),
        };
        tracing::trace!(executor, sent, "an executor's bell");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_late_by_the_age_of_the_end_that_it_has_not_come_to() {
        let (mut mark, begin) = (Mark::default(), Instant::now());
        let mut age =
            |position, head, second| mark.age(position, head, begin + Duration::from_secs(second)).as_secs();
        assert_eq!(age(10, 10, 0), 0, "it is at the end");
        // Busy: never quite at the end, and always beyond where that was.
        assert_eq!([age(10, 12, 15), age(15, 17, 30), age(20, 22, 45)], [0, 0, 0]);
        // It stands still, whether there is more to come or not.
        assert_eq!([age(20, 22, 60), age(20, 90, 75), age(20, 90, 90)], [15, 30, 45]);
        // It goes on, and has not yet come to where the log ended since.
        assert_eq!([age(30, 90, 91), age(60, 90, 95)], [0, 4]);
        assert_eq!([age(90, 90, 96), age(90, 90, 200)], [0, 0]);
    }
}
