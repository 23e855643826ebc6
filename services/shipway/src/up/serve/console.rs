//! `serve console`: what a browser finds. It asks the other services.

use std::process::ExitCode;

use anyhow::Context;
use shipway_console::{Deps, Settings};
use shipway_contracts::Targets;
use shipway_service_kit::{Health, Server};

use super::process::{self, Started};

pub(super) fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    process::run("console", settings.server.clone(), settings.telemetry.clone(), |lifecycle| async move {
        let urls: Vec<String> = settings.shipway.urls.iter().map(|url| url.as_str().to_owned()).collect();
        let (_, runs) = Targets::new(&urls).context("reading shipway.urls")?;
        let health = Health::new(lifecycle.retiring());
        let asked = runs.clone();
        health.check("scheduler", move || shipway_console::answers(asked.clone()));
        let console = shipway_console::router(Deps { runs, version: env!("CARGO_PKG_VERSION") });
        Ok(Started { server: Server::new().health(health).http(console), close: Box::pin(async {}) })
    })
}
