//! `up`, `down`, `serve`, keeper and shim: Shipway's own processes.

mod args;
mod down;
mod folder;
mod observe;
mod old_logs;
mod port;
mod progress;
mod restore;
mod serve;
mod wire;

use std::{ffi::OsString, path::Path, process::ExitCode, time::Duration};

use anyhow::Context;
use shipway_service_kit::{Lifecycle, Telemetry, TelemetryOptions};

pub(crate) use args::{DownArgs, Given, ServeArgs, Service, UpArgs};
pub(crate) use down::down;
use folder::{Folder, Note};
pub(crate) use restore::{Target, restore};
pub(crate) use serve::{serve, settings};
use wire::Shipway;

/// How long what is going on may take to finish when Shipway stops.
const DEADLINE: Duration = Duration::from_secs(20);

/// How often metrics are sent, where they are.
const METRICS_EVERY: Duration = Duration::from_secs(15);

/// Keeps a service or an addon, outliving Shipway.
pub(crate) fn keeper(folder: &Path) -> ExitCode {
    shipway_executor::keeper::main(folder)
}

/// Runs one build, job or command, outliving Shipway.
pub(crate) fn shim(folder: &Path) -> ExitCode {
    shipway_executor::shim::main(folder)
}

/// Leads to targets on other hosts, outliving Shipway.
pub(crate) fn way(folder: &Path) -> ExitCode {
    shipway_executor::ways::main(folder)
}

/// Starts a program as another user in a view of its own.
pub(crate) fn sandbox(words: &[OsString]) -> ExitCode {
    shipway_executor::sandbox::main(words)
}

/// Everything in one process, until it is asked to stop.
pub(crate) fn up(args: UpArgs) -> anyhow::Result<ExitCode> {
    shipway_service_kit::install_crypto();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let code = runtime.block_on(run(args))?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(code)
}

async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".to_owned());
    let telemetry = Telemetry::start(
        "shipway",
        &TelemetryOptions {
            filter: &filter,
            json: args.log_json,
            otlp: args.otlp.as_deref(),
            interval: METRICS_EVERY,
        },
    )?;
    let folder = Folder::open(&args.data)?;
    let (lifecycle, mut failures) = Lifecycle::new();
    let (listener, taken) = port::listen(args.listen, args.port).await?;
    let mut shipway = Shipway::start(&folder, &args, &lifecycle).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let server = shipway.take_server().context("the server is started once")?;
    let stopping = lifecycle.stopping();
    lifecycle.spawn("server", async move { server.serve(listener, stopping).await });
    let version = env!("CARGO_PKG_VERSION").to_owned();
    folder.announce(&Note { url: url.clone(), pid: std::process::id(), version })?;
    greet(&url, taken, &folder, args.demo);
    progress::tell(&shipway.feed, &lifecycle, |line| eprintln!("{line}"));

    let mut code = ExitCode::SUCCESS;
    let mut leave_all = true;
    if args.demo {
        let binary = std::env::current_exe()?;
        tokio::select! {
            done = crate::demo::run(&url, folder.root(), &binary) => {
                let serving_on = rustix::termios::isatty(std::io::stdout());
                if let Err(error) = done {
                    eprintln!("error: {error:#}");
                    code = ExitCode::FAILURE;
                }
                if serving_on {
                    eprintln!("Shipway goes on at {url}. Ctrl-C stops it.");
                    end(&mut failures, &mut code).await?;
                } else {
                    leave_all = false;
                }
            }
            ended = end(&mut failures, &mut code) => ended?,
        }
    } else {
        end(&mut failures, &mut code).await?;
    }
    let running = shipway.executor.running().await;
    if leave_all {
        farewell(&running, &folder);
    } else {
        for stopped in shipway.executor.down().await {
            eprintln!("stopped {stopped}");
        }
    }
    folder.retract();
    lifecycle.retire();
    tokio::select! {
        in_time = lifecycle.stop(DEADLINE) => if !in_time {
            eprintln!("some work did not finish in {} s; it goes on at the next start", DEADLINE.as_secs());
        },
        _ = Lifecycle::signal() => eprintln!("stopping at once"),
    }
    shipway.close().await;
    telemetry.shutdown();
    Ok(code)
}

/// Waits until somebody asks Shipway to stop, or a part of it fails.
async fn end(
    failures: &mut tokio::sync::mpsc::Receiver<shipway_service_kit::TaskFailed>,
    code: &mut ExitCode,
) -> anyhow::Result<()> {
    tokio::select! {
        signal = Lifecycle::signal() => signal.context("waiting for a signal")?,
        Some(failed) = failures.recv() => {
            eprintln!("error: {failed}");
            *code = ExitCode::FAILURE;
        }
    }
    Ok(())
}

fn greet(url: &str, taken: Option<u16>, folder: &Folder, demo: bool) {
    if let Some(port) = taken {
        eprintln!("Port {port} is taken; this is the next free one.");
    }
    eprintln!("Shipway {} runs at {url}", env!("CARGO_PKG_VERSION"));
    eprintln!("  in one process: pipelines, triggers, scheduler, executor, console; log in SQLite");
    eprintln!("  data    {}", folder.root().display());
    eprintln!("  keepers of services and addons are processes of their own and outlive it");
    if !demo {
        eprintln!("Try next, in another terminal:");
        eprintln!("  shipway demo                  a small shop from its first commit to production");
        eprintln!("  shipway apply -f shop.yaml    your own project");
        eprintln!("  shipway status                what runs where");
        eprintln!("Ctrl-C stops Shipway and leaves what it deployed running; `shipway down` stops all.");
    }
}

fn farewell(running: &[String], folder: &Folder) {
    if running.is_empty() {
        eprintln!("Shipway stops. Nothing that it deployed is running.");
    } else {
        eprintln!("Shipway stops. These go on running: {}.", running.join(", "));
        eprintln!(
            "`shipway down --data {}` stops them; `up` again goes on where it was.",
            folder.root().display()
        );
    }
}
