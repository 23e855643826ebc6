//! The triggers service: built, started and stopped as a whole.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use ipnet::IpNet;
use shipway_contracts::{Channel, v1::triggers_server::TriggersServer};
use shipway_eventing::{Durable, DurableError, Feed, Leadership, Log, People};
use shipway_events::HookId;
use shipway_repository::Allow;
use shipway_service_kit::Guard;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::Api,
    changes::Clones,
    hooks::{self, HookCache},
    http::{self, Ingress},
    inbox::Inbox,
    limits::{Buckets, Memory, Open, Rate},
    matcher,
    reconcile::Reconciler,
    schedules::Ticker,
    sealer::{KeyError, Sealer},
    spool::Spool,
    waiting::Waiter,
};

/// How often old deliveries are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// What the service stands on.
pub struct Deps {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The log's feed.
    pub feed: Feed,
    /// The log's durable tables.
    pub durable: Durable,
    /// Where hooks and triggers are asked for: the pipelines service (`ProjectHome`).
    pub home: Channel,
    /// The folder of keys (`keys/`); the inbox' key is in it, and made if it is missing.
    pub keys: PathBuf,
    /// A folder for what is fetched for a moment.
    pub scratch: PathBuf,
    /// A folder for deliveries that come while the database is away. Several processes may have the same.
    pub spool: PathBuf,
    /// Which of several processes asks repositories, forgets old deliveries and looks at the clock for schedules.
    pub leadership: Leadership,
    /// Settings.
    pub config: Config,
}

/// Settings of the service.
#[derive(Clone, Debug)]
pub struct Config {
    /// The largest body in bytes.
    pub max_body: usize,
    /// How much each hook may send; none: no limit.
    pub rate: Option<Rate>,
    /// How much all hooks together may send; none: no limit.
    pub rate_in_all: Option<Rate>,
    /// How many deliveries of one source may be open at a time.
    pub open: usize,
    /// How many bytes of bodies all open deliveries may hold.
    pub memory: usize,
    /// Addresses of proxies: the source of a delivery is whom they name.
    pub proxies: Vec<IpNet>,
    /// The most bytes that may wait in the spool.
    pub spool_max: u64,
    /// How often repositories are asked for pushes that nobody told of; none: never.
    pub reconcile_every: Option<Duration>,
    /// How long a repository may take to answer.
    pub ask_time: Duration,
    /// Whether repositories may be folders of this machine, or be reached by http on it.
    pub local_repositories: bool,
    /// How many bytes the clones of repositories may take that are kept to ask what was changed.
    pub clones: u64,
    /// How long deliveries are kept; not below 30 days, in which replays are recognised.
    pub retention: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_body: 1024 * 1024,
            rate: Some(Rate::default()),
            rate_in_all: Rate::of(2_000),
            open: 64,
            memory: 256 << 20,
            proxies: Guard::default().proxies,
            spool_max: 1 << 30,
            reconcile_every: Some(Duration::from_secs(30)),
            ask_time: Duration::from_secs(20),
            local_repositories: true,
            clones: 2 << 30,
            retention: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key of the inbox is missing or damaged.
    #[error("the inbox cannot be encrypted")]
    Key(#[from] KeyError),
    /// The inbox's tables could not be made.
    #[error("the inbox could not be opened")]
    Inbox(#[from] DurableError),
    /// The folder for the time without a database cannot be used.
    #[error("the spool could not be opened")]
    Spool(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The running service.
pub struct Service {
    ingress: Arc<Ingress>,
    tasks: TaskTracker,
}

/// Starts the service; it stops when `shutdown` is cancelled.
///
/// # Errors
/// See [`StartError`]. The home of the hooks may be away: then deliveries are answered with 503 until it is there.
pub async fn start(deps: Deps, shutdown: CancellationToken) -> Result<Service, StartError> {
    let Deps { log, feed, durable, home, keys, scratch, spool, leadership, config } = deps;
    let sealer = Arc::new(Sealer::open(&keys)?);
    let spool = Spool::open(&spool, config.spool_max, Arc::clone(&sealer));
    let spool = spool.map_err(|error| StartError::Spool(error.into()))?;
    let inbox = Inbox::open(durable, Arc::clone(&log)).await?;
    let (hooks, listen, ask) = hooks::keep(feed, home);
    let buckets = Arc::new(Buckets::new(config.rate, config.rate_in_all));
    let allow = Allow::local(config.local_repositories);
    let tasks = TaskTracker::new();
    spawn(&tasks, &shutdown, listen);
    spawn(&tasks, &shutdown, ask);
    spawn(&tasks, &shutdown, prune(hooks.clone(), Arc::clone(&buckets)));
    spawn(&tasks, &shutdown, forget(inbox.clone(), Arc::clone(&log), config.retention));
    tasks.spawn(matcher::run(inbox.clone(), Arc::clone(&log), shutdown.clone()));
    let clones = Clones::new(scratch.join("repositories"), config.clones, config.ask_time, allow);
    let waiter = Waiter {
        hooks: hooks.clone(),
        inbox: inbox.clone(),
        log: Arc::clone(&log),
        sealer: Arc::clone(&sealer),
        clones: clones.clone(),
        limit: config.ask_time,
        allow,
        leadership: leadership.clone(),
    };
    spawn(&tasks, &shutdown, waiter.run());
    let ticker = Ticker { hooks: hooks.clone(), log: Arc::clone(&log), leadership: leadership.clone() };
    spawn(&tasks, &shutdown, ticker.run());
    if let Some(every) = config.reconcile_every {
        let reconciler = Reconciler {
            hooks: hooks.clone(),
            inbox: inbox.clone(),
            log: Arc::clone(&log),
            sealer: Arc::clone(&sealer),
            every,
            limit: config.ask_time,
            allow,
            scratch,
            clones,
            leadership,
        };
        spawn(&tasks, &shutdown, reconciler.run());
    }
    let ingress = Arc::new(Ingress {
        hooks,
        inbox,
        spool,
        sealer,
        log,
        buckets,
        open: Arc::new(Open::new(config.open)),
        memory: Memory::new(config.memory),
        proxies: config.proxies,
        max_body: config.max_body,
        ask_time: config.ask_time.min(Duration::from_secs(5)),
        allow,
    });
    spawn(&tasks, &shutdown, Arc::clone(&ingress).drain());
    tasks.close();
    Ok(Service { ingress, tasks })
}

impl Service {
    /// The ingress: `/hooks/…`.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.ingress))
    }

    /// The gRPC contract.
    #[must_use]
    pub fn triggers_server(&self) -> TriggersServer<Api> {
        let people = Arc::new(People::new(Arc::clone(&self.ingress.log)));
        TriggersServer::new(Api { ingress: Arc::clone(&self.ingress), people })
    }

    /// Waits, once the token given at the start is cancelled, until everything in the background has ended.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

/// Runs until it ends or the service stops, whichever is first.
fn spawn(
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let shutdown = shutdown.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = task => {}
        }
    })
}

/// Forgets the buckets of hooks that went away.
async fn prune(hooks: HookCache, buckets: Arc<Buckets>) {
    let mut known = hooks.watch();
    while known.changed().await.is_ok() {
        let hooks = known.borrow_and_update().clone();
        if let Some(hooks) = hooks {
            let ids = hooks.ids();
            buckets.keep_only(|hook: HookId| ids.contains(&hook));
        }
    }
}

async fn forget(inbox: Inbox, log: Arc<dyn Log>, retention: Duration) {
    let retention = retention.max(crate::domain::heads::MEMORY);
    let mut rounds = tokio::time::interval(FORGET_EVERY);
    loop {
        rounds.tick().await;
        let age = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let before = shipway_events::Timestamp::from_micros(log.now().micros().saturating_sub(age));
        loop {
            match inbox.forget(before).await {
                Ok(0) => break,
                Ok(gone) => tracing::info!(gone, "old deliveries were forgotten"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "old deliveries could not be forgotten");
                    break;
                }
            }
        }
    }
}
