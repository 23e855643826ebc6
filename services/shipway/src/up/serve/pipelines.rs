//! `serve pipelines`: projects, resources, pipelines, flows and secrets.

use std::process::ExitCode;

use anyhow::Context;
use shipway_pipelines::{Deps, Settings};
use shipway_service_kit::Server;

use super::{
    ground::Ground,
    process::{self, Started},
};

pub(super) fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    process::run("pipelines", settings.server.clone(), settings.telemetry.clone(), |lifecycle| async move {
        let Settings { server, database, nats, blobs, keys, ports, repositories, statuses, .. } = settings;
        let ground = Ground::open("pipelines", &server, &database, &nats, &blobs).await?;
        let deps = Deps {
            log: ground.log.clone(),
            feed: ground.led_feed(),
            durable: ground.durable.clone(),
            views: ground.views("shipway_pipelines").await?,
            keys: keys.folder,
            ports: ports.first..=ports.last,
            local_repositories: repositories.local,
            statuses: statuses.config(),
        };
        let service = shipway_pipelines::start(deps, lifecycle.stopping())
            .await
            .context("starting the pipelines service")?;
        ground.announce(&lifecycle);
        let server = Server::new()
            .health(ground.health(&lifecycle, server.ready_lag))
            .grpc(service.projects_server())
            .grpc(service.pipelines_server())
            .grpc(service.accounts_server())
            .grpc(service.tokens_server())
            .grpc(service.project_home_server());
        let close = Box::pin(async move {
            drop(service);
            ground.log.close().await;
        });
        Ok(Started { server, close })
    })
}
