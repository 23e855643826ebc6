//! `serve triggers`: the webhook ingress and its inbox.

use std::process::ExitCode;

use anyhow::Context;
use shipway_service_kit::Server;
use shipway_triggers::{Deps, Settings};

use super::{
    ground::Ground,
    process::{self, Started},
};

pub(super) fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    process::run("triggers", settings.server.clone(), settings.telemetry.clone(), |lifecycle| async move {
        let config = settings.config();
        let guard = settings.hooks.guard();
        let Settings { server, database, nats, blobs, keys, hooks, reconcile, .. } = settings;
        let ground = Ground::open("triggers", &server, &database, &nats, &blobs).await?;
        let deps = Deps {
            log: ground.log.clone(),
            feed: ground.feed.clone(),
            durable: ground.durable.clone(),
            home: ground.way_to("pipelines", &lifecycle)?,
            keys: keys.folder,
            scratch: reconcile.scratch,
            spool: hooks.spool,
            leadership: ground.leadership("triggers"),
            config,
        };
        let service = shipway_triggers::start(deps, lifecycle.stopping())
            .await
            .context("starting the triggers service")?;
        ground.announce(&lifecycle);
        let server = Server::new()
            .health(ground.health(&lifecycle, server.ready_lag))
            .guard(guard)
            .http(service.router())
            .grpc(service.triggers_server());
        let close = Box::pin(async move {
            service.stopped().await;
            ground.log.close().await;
        });
        Ok(Started { server, close })
    })
}
