//! The service: what it needs, what it serves, what runs beside it.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc};

use shipway_contracts::v1::{
    accounts_server::AccountsServer, pipelines_server::PipelinesServer,
    project_home_server::ProjectHomeServer, projects_server::ProjectsServer, tokens_server::TokensServer,
};
use shipway_eventing::{
    People,
    durable::{Durable, DurableError},
    feed::{Consumer, Feed},
    log::Log,
    views::{Views, ViewsError},
};
use shipway_repository::Allow;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    api::{AccountsApi, HomeApi, PipelinesApi, ProjectsApi, TokensApi},
    change::Shared,
    delivery::Deliveries,
    projections,
    secrets::{OpenError, Secrets},
    statuses::{self, Rows, StatusConfig, StatusError, Voices},
    world::{World, WorldError},
};

/// Messages with a whole document or many resources in them.
const LARGE: usize = 64 << 20;

/// What the service needs.
pub struct Deps {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Its feed.
    pub feed: Feed,
    /// The durable tables beside the log: secrets are kept there.
    pub durable: Durable,
    /// The read tables.
    pub views: Views,
    /// The folder of keys: `<data>/keys`.
    pub keys: PathBuf,
    /// Ports of this machine that services and addons are given, each once: 7500 to 7999 unless the operator says
    /// otherwise.
    pub ports: RangeInclusive<u16>,
    /// Whether repositories that people look into may be folders of this machine, or be reached by http on it.
    pub local_repositories: bool,
    /// How Git hosts are told of runs.
    pub statuses: StatusConfig,
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The secrets' home could not be opened.
    #[error("opening the secrets' home")]
    Secrets(#[from] OpenError),
    /// The projects could not be read.
    #[error("reading the projects")]
    World(#[from] WorldError),
    /// The checkpoint of what follows from runs could not be read.
    #[error("reading how far the pipelines service has followed the runs")]
    Durable(#[from] DurableError),
    /// The read tables could not be made.
    #[error("making the read tables of the pipelines service")]
    Views(#[from] ViewsError),
    /// Git hosts cannot be told of runs.
    #[error("following the runs for commit statuses")]
    Statuses(#[from] StatusError),
}

/// The running service. Clones are the same.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
    /// End with the last clone.
    _consumers: Arc<Vec<Consumer>>,
}

/// Starts the service: opens the secrets' home, reads the projects and follows the feed until `stopping`.
///
/// # Errors
/// If the key of the secrets cannot be used, or the log or a table cannot be read.
pub async fn start(deps: Deps, stopping: CancellationToken) -> Result<Service, StartError> {
    let Deps { log, feed, durable, views, keys, ports, local_repositories, statuses } = deps;
    let repositories = Allow::local(local_repositories);
    let secrets = Secrets::open(durable.clone(), &keys).await?;
    let world = Arc::new(World::open(log.clone()).await?);
    let mut consumers = Vec::new();
    for projection in projections::all() {
        consumers.push(feed.project(&views, projection).await?);
    }
    let following = world.clone();
    let (followed, stop) = (feed.clone(), stopping.clone());
    tokio::spawn(async move { following.follow(followed, stop).await });
    let told = statuses.on.then(|| Rows::new(durable.clone()));
    let turn = Mutex::new(());
    let shared = Arc::new(Shared {
        people: People::new(log.clone()),
        log,
        views,
        world,
        secrets,
        told,
        ports,
        repositories,
        turn,
    });
    let deliveries = Arc::new(Deliveries { shared: Arc::clone(&shared) });
    consumers.push(feed.react(&durable, deliveries).await?);
    let voices: Arc<dyn Voices> = Arc::clone(&shared) as _;
    consumers.extend(statuses::start(voices, &feed, durable, statuses, stopping).await?);
    Ok(Service { shared, _consumers: Arc::new(consumers) })
}

impl Service {
    /// `shipway.v1.Projects`.
    #[must_use]
    pub fn projects_server(&self) -> ProjectsServer<ProjectsApi> {
        ProjectsServer::new(ProjectsApi { shared: self.shared.clone() })
            .max_decoding_message_size(LARGE)
            .max_encoding_message_size(LARGE)
    }

    /// `shipway.v1.Pipelines`.
    #[must_use]
    pub fn pipelines_server(&self) -> PipelinesServer<PipelinesApi> {
        PipelinesServer::new(PipelinesApi { shared: self.shared.clone() }).max_encoding_message_size(LARGE)
    }

    /// `shipway.v1.Accounts`.
    #[must_use]
    pub fn accounts_server(&self) -> AccountsServer<AccountsApi> {
        AccountsServer::new(AccountsApi { shared: self.shared.clone() }).max_encoding_message_size(LARGE)
    }

    /// `shipway.v1.Tokens`.
    #[must_use]
    pub fn tokens_server(&self) -> TokensServer<TokensApi> {
        TokensServer::new(TokensApi { shared: self.shared.clone() })
    }

    /// `shipway.v1.ProjectHome`. For Shipway's own services only: it answers values of secrets.
    #[must_use]
    pub fn project_home_server(&self) -> ProjectHomeServer<HomeApi> {
        ProjectHomeServer::new(HomeApi { shared: self.shared.clone() }).max_encoding_message_size(LARGE)
    }
}
