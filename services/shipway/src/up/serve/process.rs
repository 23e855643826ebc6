//! What every service's process does: telemetry, start, port, and a stop that hands over first.

use std::{future::Future, pin::Pin, process::ExitCode, time::Duration};

use anyhow::Context;
use shipway_service_kit::{Lifecycle, Server, Telemetry, config::section};
use tokio::{net::TcpListener, sync::mpsc};

/// A service that has started.
pub(super) struct Started {
    /// What its port serves.
    pub(super) server: Server,
    /// Closes what it stands on, once everything else has ended.
    pub(super) close: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Runs a service until it is asked to stop or a part of it fails.
pub(super) fn run<F>(
    service: &'static str,
    port: section::Server,
    telemetry: section::Telemetry,
    start: impl FnOnce(Lifecycle) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<Started>>,
{
    shipway_service_kit::install_crypto();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let code = runtime.block_on(async {
        let telemetry = Telemetry::start(service, &(&telemetry).into())?;
        let code = live(service, port, start).await;
        if let Err(error) = &code {
            tracing::error!(error = format!("{error:#}"), "the service ends");
        }
        telemetry.shutdown();
        code
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(code)
}

async fn live<F>(
    service: &'static str,
    port: section::Server,
    start: impl FnOnce(Lifecycle) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<Started>>,
{
    let (lifecycle, mut failures) = Lifecycle::new();
    // The port first: a second process on it is told before it takes anything.
    let listener =
        TcpListener::bind(port.listen).await.with_context(|| format!("listening on {}", port.listen))?;
    let started = tokio::select! {
        started = start(lifecycle.clone()) => started?,
        signal = Lifecycle::signal() => {
            signal.context("waiting for a signal")?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let stopping = lifecycle.stopping();
    let server = started.server;
    lifecycle.spawn("server", async move { server.serve(listener, stopping).await });
    tracing::info!(service, address = port.address(), "the service is ready");
    let code = end(&mut failures).await?;
    tracing::info!(service, "the service stops");
    lifecycle.retire();
    tokio::select! {
        in_time = stop(&lifecycle, port.linger, port.drain) => if !in_time {
            tracing::warn!("some work did not finish in time; it goes on elsewhere or at the next start");
        },
        _ = Lifecycle::signal() => {
            tracing::warn!("stopping at once");
            // It may still have been handing over: nobody else tells the tasks that what they stand on is closed now.
            lifecycle.stop(Duration::ZERO).await;
        }
    }
    started.close.await;
    Ok(code)
}

/// First it still answers: load balancers notice, others take over, callers go elsewhere.
async fn stop(lifecycle: &Lifecycle, linger: Duration, drain: Duration) -> bool {
    tokio::time::sleep(linger.min(drain)).await;
    lifecycle.stop(drain.saturating_sub(linger)).await
}

/// Waits until somebody asks the service to stop, or a part of it fails.
async fn end(failures: &mut mpsc::Receiver<shipway_service_kit::TaskFailed>) -> anyhow::Result<ExitCode> {
    tokio::select! {
        signal = Lifecycle::signal() => {
            signal.context("waiting for a signal")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(failed) = failures.recv() => {
            tracing::error!(%failed, "a part of the service failed");
            Ok(ExitCode::FAILURE)
        }
    }
}
