//! `serve scheduler`: runs and their lanes; hosts the relay.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use prost::Message;
use shipway_eventing::{
    Leadership,
    nats::{BellRinger, Relay},
};
use shipway_events::ExecutorId;
use shipway_scheduler::{Bell, Bells, Deps, Service, Settings, Together};
use shipway_service_kit::{Lifecycle, Server};

use super::{
    ground::Ground,
    process::{self, Started},
};

pub(super) fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    process::run("scheduler", settings.server.clone(), settings.telemetry.clone(), |lifecycle| async move {
        let Settings { server, database, nats, blobs, .. } = settings;
        let ground = Ground::open("scheduler", &server, &database, &nats, &blobs).await?;
        ground.check_streams().await?;
        relay(&ground, &lifecycle).await?;
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
            .grpc(service.runs_server())
            .grpc(service.events_server())
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
    let stopping = lifecycle.stopping();
    lifecycle.spawn("relay", async move {
        tokio::select! {
            error = relay.failed() => Err(error),
            () = stopping.cancelled() => {
                relay.stop().await;
                Ok(())
            }
        }
    });
    Ok(())
}

/// Executors are told over NATS; what is not sent they hear with their beats.
struct OverNats(BellRinger);

impl Bells for OverNats {
    fn ring(&self, executor: ExecutorId, bell: Bell) {
        let executor = executor.to_string();
        let sent = match bell {
            Bell::Assign(assignment) => self.0.ring(&executor, assignment.encode_to_vec().into()),
            Bell::Stop(fence) => self.0.stop(&executor, fence.raw().to_be_bytes().to_vec().into()),
        };
        tracing::trace!(executor, sent, "an executor's bell");
    }
}
