//! All services in one process: each gets the log, its feed and the way to those that it asks.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use shipway_contracts::Channel;
use shipway_eventing::{Blobs, DataLock, Feed, Leadership, Log, SqliteLog, SqliteOptions, Views};
use shipway_executor::ExecutorConfig;
use shipway_scheduler::Bell;
use shipway_service_kit::{Guard, Health, Lifecycle, Server};
use tokio::sync::mpsc;

use super::{args::UpArgs, folder::Folder, observe, old_logs};

/// Everything that runs.
pub(crate) struct Shipway {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) feed: Feed,
    pub(crate) executor: shipway_executor::Service,
    triggers: shipway_triggers::Service,
    /// Their read tables and reactions end with them.
    _scheduler: shipway_scheduler::Service,
    _pipelines: shipway_pipelines::Service,
    server: Option<Server>,
    _lock: DataLock,
}

/// How many events read tables and reactions may be behind the log before Shipway says that it is not ready.
const READY_LAG: u64 = 1_000;

impl Shipway {
    /// Opens the data folder and starts every service on it.
    pub(crate) async fn start(folder: &Folder, args: &UpArgs, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let lock = DataLock::take(folder.root())?;
        let blobs = Blobs::open(&folder.blobs()).await.context("opening the blobs")?;
        let options = SqliteOptions { blobs: Some(blobs.clone()) };
        let log = SqliteLog::open(&folder.log(), options).await?;
        let durable = log.durable().await.context("opening the tables beside the log")?;
        let log: Arc<dyn Log> = Arc::new(log);
        let views = Views::open(&folder.views(), &*log).await.context("opening the read tables")?;
        let feed = Feed::new(log.clone());
        observe::measure(&log, &feed);
        observe::count_parked(durable.clone(), lifecycle);
        let health = Health::new(lifecycle.retiring());
        observe::judge(&health, log.clone(), feed.clone(), READY_LAG);

        let pipelines = shipway_pipelines::start(
            shipway_pipelines::Deps {
                log: log.clone(),
                feed: feed.clone(),
                durable: durable.clone(),
                views: views.clone(),
                keys: folder.keys(),
                ports: args.public_ports(),
                local_repositories: true,
                statuses: shipway_pipelines::StatusConfig {
                    address: args.public_address.clone(),
                    ..shipway_pipelines::StatusConfig::default()
                },
            },
            lifecycle.stopping(),
        )
        .await
        .context("starting the pipelines service")?;
        let keep = Duration::from_secs(args.log_retention * 24 * 3600);
        old_logs::forget(&blobs, log.clone(), Leadership::always(), keep, lifecycle);
        let home = Channel::local(pipelines.project_home_server());
        let (executors, door) = Channel::later();
        let scheduler = shipway_scheduler::Service::start(shipway_scheduler::Deps {
            feed: feed.clone(),
            views,
            durable: durable.clone(),
            projects: Channel::local(
                tonic::service::Routes::new(pipelines.projects_server())
                    .add_service(pipelines.project_home_server())
                    .add_service(pipelines.pipelines_server())
                    .prepare(),
            ),
            executors: Some(executors),
            data: Some(folder.root().to_owned()),
            together: None,
            bells: None,
            lifecycle: lifecycle.clone(),
        })
        .await
        .context("starting the scheduler")?;
        let executor = start_executor(folder, args, lifecycle, &scheduler, blobs, home.clone()).await?;
        door.open(Channel::local(executor.executors_server()));
        let triggers = shipway_triggers::start(
            shipway_triggers::Deps {
                log: log.clone(),
                feed: feed.clone(),
                durable,
                home,
                keys: folder.keys(),
                scratch: folder.root().join("scratch"),
                spool: folder.root().join("spool"),
                leadership: Leadership::always(),
                config: shipway_triggers::Config {
                    rate: shipway_triggers::Rate::of(args.hook_rate),
                    // Whoever lifts the limit of each lifts that of all.
                    rate_in_all: shipway_triggers::Config::default()
                        .rate_in_all
                        .filter(|_| args.hook_rate > 0),
                    reconcile_every: (args.reconcile > 0).then(|| Duration::from_secs(args.reconcile)),
                    ..shipway_triggers::Config::default()
                },
            },
            lifecycle.stopping(),
        )
        .await
        .context("starting the triggers service")?;
        let runs = Channel::local(scheduler.runs_server());
        let asked = runs.clone();
        health.check("scheduler", move || shipway_console::answers(asked.clone()));
        let console =
            shipway_console::router(shipway_console::Deps { runs, version: env!("CARGO_PKG_VERSION") });
        let server = Server::new()
            .health(health)
            .guard(Guard::default())
            .http(triggers.router())
            .http(console)
            .grpc(pipelines.projects_server())
            .grpc(pipelines.pipelines_server())
            .grpc(pipelines.accounts_server())
            .grpc(pipelines.tokens_server())
            .grpc(triggers.triggers_server())
            .grpc(scheduler.runs_server())
            .grpc(scheduler.events_server())
            .grpc(scheduler.freezes_server())
            .grpc(scheduler.holds_server())
            .grpc(scheduler.history_server())
            .grpc(scheduler.rollbacks_server())
            .grpc(executor.executors_server())
            .grpc(executor.logs_server());
        Ok(Self {
            log,
            feed,
            executor,
            triggers,
            _scheduler: scheduler,
            _pipelines: pipelines,
            server: Some(server),
            _lock: lock,
        })
    }

    /// What the port serves; once.
    pub(crate) fn take_server(&mut self) -> Option<Server> {
        self.server.take()
    }

    /// Waits for what is in the background, then closes the log. The lifecycle has been asked to stop.
    pub(crate) async fn close(self) {
        self.triggers.stopped().await;
        self.log.close().await;
    }
}

async fn start_executor(
    folder: &Folder,
    args: &UpArgs,
    lifecycle: &Lifecycle,
    scheduler: &shipway_scheduler::Service,
    blobs: Blobs,
    home: Channel,
) -> anyhow::Result<shipway_executor::Service> {
    let binary: PathBuf = std::env::current_exe().context("finding this program's own file")?;
    let mut config = ExecutorConfig::new(folder.root().to_owned(), binary, blobs);
    config.listen = args.listen;
    let cores =
        std::thread::available_parallelism().map_or(2, |cores| u32::try_from(cores.get()).unwrap_or(2));
    config.heavy_slots = args.heavy_slots.unwrap_or(cores);
    let executor = shipway_executor::Service::start(shipway_executor::Deps {
        config,
        reach: None,
        finish: Duration::ZERO,
        work: Channel::local(scheduler.work_server()),
        home,
        lifecycle: lifecycle.clone(),
    })
    .await
    .context("starting the executor")?;
    let (bell, mut heard) = mpsc::unbounded_channel();
    scheduler.attach(executor.id(), bell);
    let told = executor.clone();
    let stopping = lifecycle.stopping();
    lifecycle.spawn("bell", async move {
        loop {
            tokio::select! {
                bell = heard.recv() => match bell {
                    Some(Bell::Assign(assignment)) => told.offer(assignment),
                    Some(Bell::Stop(fence)) => told.stop(fence),
                    Some(Bell::Ask) => told.ask(),
                    None => return Ok::<(), std::convert::Infallible>(()),
                },
                () = stopping.cancelled() => return Ok(()),
            }
        }
    });
    Ok(executor)
}
