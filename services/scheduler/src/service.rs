//! The service: what it needs, what it serves, what runs beside it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use shipway_contracts::{
    Channel, Error,
    v1::{
        events_server::EventsServer, freezes_server::FreezesServer, history_server::HistoryServer,
        holds_server::HoldsServer, peers_server::PeersServer, rollbacks_server::RollbacksServer,
        runs_server::RunsServer, work_server::WorkServer,
    },
};
use shipway_eventing::{Consumer, Durable, DurableError, Feed, Log, People, Views, ViewsError};
use shipway_events::ExecutorId;
use shipway_service_kit::Lifecycle;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{EventsApi, FreezesApi, HistoryApi, HoldsApi, RollbacksApi, RunsApi, WorkApi},
    cluster::{self, Cluster, PeersApi, Together},
    history::Folds,
    hosts::Hosts,
    moved::Plans,
    registry::{Bell, Bells, Registry},
    run::book::Book,
};

/// What the scheduler needs.
pub struct Deps {
    /// The log's feed.
    pub feed: Feed,
    /// The database of read tables.
    pub views: Views,
    /// The log's own database, for checkpoints and backups.
    pub durable: Durable,
    /// The way to projects, flows and secrets.
    pub projects: Channel,
    /// The way to the knowledge of the executor in this process; none where executors are on other machines.
    pub executors: Option<Channel>,
    /// The data folder, for the keys in backups; none where there is none.
    pub data: Option<PathBuf>,
    /// What several schedulers share. Without it this one is alone, and so is the executor in its process: what any
    /// other executor was given is its to do now.
    pub together: Option<Together>,
    /// How executors on other machines are told at once; without it they hear with their beats.
    pub bells: Option<Arc<dyn Bells>>,
    /// Tracks the background tasks.
    pub lifecycle: Lifecycle,
}

/// Why the scheduler could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The read tables could not be made.
    #[error("making the scheduler's read tables")]
    Views(#[from] ViewsError),
    /// The checkpoints of the reactions could not be read.
    #[error("reading where the scheduler's reactions are")]
    Checkpoints(#[from] DurableError),
}

/// The running scheduler.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
    /// Read tables and reactions go on as long as the service is there.
    _consumers: Arc<Vec<Consumer>>,
}

pub(crate) struct Shared {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) people: People,
    pub(crate) durable: Durable,
    pub(crate) views: Views,
    pub(crate) projects: Channel,
    pub(crate) executors: Option<Channel>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) book: Book,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) hosts: Hosts,
    pub(crate) plans: Plans,
    pub(crate) folds: Folds,
    pub(crate) stopping: CancellationToken,
}

impl Service {
    /// Starts the scheduler: read tables, reactions, and every run that goes on.
    ///
    /// # Errors
    /// If the read tables cannot be made or read.
    pub async fn start(deps: Deps) -> Result<Self, StartError> {
        let mut consumers = Vec::new();
        let placing = deps.together.is_some();
        for projection in crate::projections::all(placing) {
            consumers.push(deps.feed.project(&deps.views, projection).await?);
        }
        let log = deps.feed.log().clone();
        let registry = Arc::new(Registry::default());
        if let Some(bells) = deps.bells {
            registry.ring_by(bells);
        }
        if placing {
            // A place that is not known yet is found out when it is chosen a second time.
            registry.set_places(std::collections::BTreeMap::new());
        }
        let cluster = Arc::new(Cluster::new(deps.together.clone()));
        let book = Book::new(log.clone(), registry.clone(), cluster.clone(), TaskTracker::new());
        let shared = Arc::new(Shared {
            people: People::new(log.clone()),
            log,
            durable: deps.durable.clone(),
            views: deps.views,
            projects: deps.projects,
            executors: deps.executors,
            data: deps.data,
            registry,
            book,
            cluster,
            hosts: Hosts::default(),
            plans: Plans::default(),
            folds: Folds::default(),
            stopping: deps.lifecycle.stopping(),
        });
        for reaction in crate::reactions::all(&shared) {
            consumers.push(deps.feed.react(&deps.durable, reaction).await?);
        }
        let watched = shared.clone();
        deps.lifecycle.spawn("watchdog", async move {
            crate::watchdog::watch(watched).await;
            Ok::<(), std::convert::Infallible>(())
        });
        let starting = shared.clone();
        match deps.together {
            None => {
                deps.lifecycle.spawn("open runs", async move {
                    starting.open_all().await;
                    Ok::<(), std::convert::Infallible>(())
                });
            }
            Some(together) => {
                cluster::measure(&shared);
                let stopping = deps.lifecycle.stopping();
                deps.lifecycle
                    .spawn("followed runs", cluster::follow(shared.clone(), deps.feed, stopping.clone()));
                let (watching, members) = (shared.clone(), together.clone());
                let ending = stopping.clone();
                deps.lifecycle.spawn("lost places", async move {
                    cluster::watch_places(watching, members, ending).await;
                    Ok::<(), std::convert::Infallible>(())
                });
                let retiring = deps.lifecycle.retiring();
                deps.lifecycle.spawn("scheduler beats", async move {
                    cluster::keep(starting, together, retiring).await;
                    Ok::<(), std::convert::Infallible>(())
                });
            }
        }
        Ok(Self { shared, _consumers: Arc::new(consumers) })
    }

    /// Gives an executor in this process its way to be told.
    pub fn attach(&self, executor: ExecutorId, bell: mpsc::UnboundedSender<Bell>) {
        self.shared.registry.attach(executor, bell);
    }

    /// `shipway.v1.Runs`.
    #[must_use]
    pub fn runs_server(&self) -> RunsServer<RunsApi> {
        RunsServer::new(RunsApi { shared: self.shared.clone() }).max_decoding_message_size(LARGE)
    }

    /// `shipway.v1.Work`.
    #[must_use]
    pub fn work_server(&self) -> WorkServer<WorkApi> {
        WorkServer::new(WorkApi { shared: self.shared.clone() })
            .max_decoding_message_size(LARGE)
            .max_encoding_message_size(LARGE)
    }

    /// `shipway.v1.Peers`. For other schedulers only.
    #[must_use]
    pub fn peers_server(&self) -> PeersServer<PeersApi> {
        PeersServer::new(PeersApi { shared: self.shared.clone() })
            .max_decoding_message_size(LARGE)
            .max_encoding_message_size(LARGE)
    }

    /// `shipway.v1.Holds`.
    #[must_use]
    pub fn holds_server(&self) -> HoldsServer<HoldsApi> {
        HoldsServer::new(HoldsApi { shared: self.shared.clone() })
    }

    /// `shipway.v1.Freezes`.
    #[must_use]
    pub fn freezes_server(&self) -> FreezesServer<FreezesApi> {
        FreezesServer::new(FreezesApi { shared: self.shared.clone() })
    }

    /// `shipway.v1.History`.
    #[must_use]
    pub fn history_server(&self) -> HistoryServer<HistoryApi> {
        HistoryServer::new(HistoryApi { shared: self.shared.clone() }).max_encoding_message_size(LARGE)
    }

    /// `shipway.v1.Rollbacks`.
    #[must_use]
    pub fn rollbacks_server(&self) -> RollbacksServer<RollbacksApi> {
        RollbacksServer::new(RollbacksApi { shared: self.shared.clone() }).max_encoding_message_size(LARGE)
    }

    /// `shipway.v1.Events`.
    #[must_use]
    pub fn events_server(&self) -> EventsServer<EventsApi> {
        EventsServer::new(EventsApi { shared: self.shared.clone() })
    }
}

/// Between two tries to open what goes on.
const PAUSE: Duration = Duration::from_millis(200);

/// Messages with a whole document or many assignments in them.
const LARGE: usize = 64 << 20;

impl Shared {
    /// Opens every run that is not over, so that its timers and its work go on. Where the read tables have to be made anew
    /// first, of a large log, that takes as long as it takes.
    async fn open_all(&self) {
        loop {
            match self.try_open_all().await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the runs that go on are not opened yet; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    async fn try_open_all(&self) -> Result<(), Error> {
        self.caught_up_in_the_end().await?;
        let open = self.open_runs().await?;
        if !open.is_empty() {
            tracing::info!(runs = open.len(), "runs go on");
        }
        for (run, _) in open {
            if let Err(error) = self.book.open_run(run).await {
                tracing::error!(%run, %error, "an open run could not be read; it is left as it is");
            }
        }
        Ok(())
    }
}
