//! What services with a database stand on: the log and its feed, leases, blobs, and where the others are.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use shipway_contracts::{Channel, Targets};
use shipway_eventing::{
    Blobs, Durable, Feed, Leadership, Leases, Log, OpenError, PostgresLog, PostgresOptions, Views,
    blobs::BlobOptions,
    nats::{Names, Nats, NatsOptions, StreamSettings, check},
};
use shipway_service_kit::{Health, Lifecycle, config::section};
use tokio_util::sync::CancellationToken;

use super::super::{observe, progress};

/// How long a service that starts waits for its database.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it rests between two tries.
const AGAIN: Duration = Duration::from_millis(500);
/// How often a process says that it is there, and looks where the others are.
const BEAT: Duration = Duration::from_millis(500);
/// How long that counts.
const COUNTS: Duration = Duration::from_secs(3);
/// How long a service that starts waits for NATS before it goes on without.
const GREETING: Duration = Duration::from_secs(2);

/// What a service with a database stands on.
pub(super) struct Ground {
    pub(super) log: Arc<dyn Log>,
    pub(super) durable: Durable,
    pub(super) leases: Leases,
    pub(super) feed: Feed,
    pub(super) blobs: Blobs,
    pub(super) nats: Option<Nats>,
    pub(super) names: Names,
    pub(super) streams: StreamSettings,
    /// This start of this process.
    pub(super) id: String,
    /// Where others reach it.
    pub(super) address: String,
    service: &'static str,
    url: String,
}

impl Ground {
    /// Connects to everything; waits for the database, not for NATS.
    pub(super) async fn open(
        service: &'static str,
        server: &section::Server,
        database: &section::Database,
        nats: &section::Nats,
        blobs: &section::Blobs,
    ) -> anyhow::Result<Self> {
        let blobs = open_blobs(blobs).await?;
        let log = Arc::new(open_log(database, &blobs).await?);
        let durable = log.durable().await.context("opening the tables beside the log")?;
        let leases = Leases::open(durable.clone()).await.context("opening the tables of leases")?;
        let names = Names::of(log.id());
        let streams =
            StreamSettings { replicas: nats.replicas.try_into().unwrap_or(1), ..StreamSettings::default() };
        let nats = open_nats(service, nats).await?;
        let log: Arc<dyn Log> = log;
        let feed = match &nats {
            Some(nats) => Feed::over_nats(log.clone(), nats),
            None => Feed::new(log.clone()),
        };
        observe::measure(&log, &feed);
        Ok(Self {
            log,
            durable,
            leases,
            feed,
            blobs,
            nats,
            names,
            streams,
            id: uuid::Uuid::now_v7().to_string(),
            address: server.address(),
            service,
            url: database.url.expose().to_owned(),
        })
    }

    /// Refuses streams on NATS that are not what they must be.
    pub(super) async fn check_streams(&self) -> anyhow::Result<()> {
        let Some(nats) = &self.nats else { return Ok(()) };
        match check(nats, &self.names, self.streams).await {
            Err(error) if error.is_final() => Err(error).context("looking at the streams on NATS"),
            Err(error) => {
                tracing::warn!(%error, "the streams on NATS could not be looked at yet");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// The read tables of this service, in a schema of their own.
    pub(super) async fn views(&self, schema: &str) -> anyhow::Result<Views> {
        Views::connect(&self.url, schema, &*self.log).await.context("opening the read tables")
    }

    /// Which of several processes does what only one should.
    pub(super) fn leadership(&self, of: &str) -> Leadership {
        Leadership::elect(self.leases.clone(), of, &self.id, &self.address)
    }

    /// The feed, with the consumers of this service run by one process of it.
    pub(super) fn led_feed(&self) -> Feed {
        self.feed.clone().with_leadership(self.leadership(&format!("consumers/{}", self.service)))
    }

    /// Ready is who reaches the log and has kept up with it.
    pub(super) fn health(&self, lifecycle: &Lifecycle, lag: u64) -> Health {
        let health = Health::new(lifecycle.retiring());
        observe::judge(&health, self.log.clone(), self.feed.clone(), lag);
        observe::count_parked(self.durable.clone(), lifecycle);
        progress::tell(&self.feed, lifecycle, |line| tracing::info!("{line}"));
        health
    }

    /// A way to all processes of another service, kept up to date.
    pub(super) fn way_to(&self, service: &'static str, lifecycle: &Lifecycle) -> anyhow::Result<Channel> {
        let (targets, channel) = Targets::new(&[])?;
        let (leases, stopping) = (self.leases.clone(), lifecycle.stopping());
        lifecycle.spawn("addresses", async move {
            look_up(leases, service, targets, &stopping).await;
            Ok::<(), Infallible>(())
        });
        Ok(channel)
    }

    /// Says where this process is, until it hands over.
    pub(super) fn announce(&self, lifecycle: &Lifecycle) {
        let (leases, service) = (self.leases.clone(), self.service);
        let (id, address, retiring) = (self.id.clone(), self.address.clone(), lifecycle.retiring());
        lifecycle.spawn("presence", async move {
            let mut beats = tokio::time::interval(BEAT);
            loop {
                tokio::select! {
                    _ = beats.tick() => {}
                    () = retiring.cancelled() => break,
                }
                if let Err(error) = leases.beat(service, &id, &address, "{}", COUNTS).await {
                    tracing::warn!(%error, "the others were not told where this process is; trying again");
                }
            }
            // Not told, they notice by themselves.
            let _ = leases.leave(service, &id).await;
            Ok::<(), Infallible>(())
        });
    }
}

async fn look_up(leases: Leases, service: &'static str, targets: Targets, stopping: &CancellationToken) {
    let mut looks = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stopping.cancelled() => return,
        }
        let members = match leases.members(service).await {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, service, "the addresses of a service could not be looked up; trying again");
                continue;
            }
        };
        let live = members.into_iter().filter(|member| !member.left.is_zero());
        let addresses: Vec<String> = live.map(|member| member.address).collect();
        // Better an old address than none.
        if !addresses.is_empty()
            && let Err(error) = targets.set(&addresses)
        {
            tracing::error!(%error, service, "a service says an address that cannot be used");
        }
    }
}

/// Connects to the place of blobs.
pub(super) async fn open_blobs(settings: &section::Blobs) -> anyhow::Result<Blobs> {
    let Some(url) = &settings.url else { bail!("blobs.url is not set") };
    let secret = settings.secret_key.expose();
    let options = BlobOptions {
        endpoint: settings.endpoint.as_ref().map(|url| url.as_str().to_owned()),
        region: settings.region.clone(),
        access_key: settings.access_key.clone(),
        secret_key: (!secret.is_empty()).then(|| secret.to_owned()),
        credentials_file: settings.credentials_file.clone().map(Into::into),
        path_style: settings.path_style,
        allow_http: settings.allow_http,
        ..BlobOptions::default()
    };
    Blobs::connect(url.as_str(), &options).await.context("opening the blobs")
}

async fn open_log(settings: &section::Database, blobs: &Blobs) -> anyhow::Result<PostgresLog> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let options = PostgresOptions {
            blobs: Some(blobs.clone()),
            readers: settings.readers,
            connections: settings.connections,
            connect_timeout: settings.connect_time,
            ..PostgresOptions::default()
        };
        match PostgresLog::connect(settings.url.expose(), options).await {
            Ok(log) => return Ok(log),
            Err(error @ OpenError::Database { .. }) if tokio::time::Instant::now() < until => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(%error, cause, "the log's database does not answer yet; trying again");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(error).context("opening the log"),
        }
    }
}

/// Begins to connect to NATS, if there is any.
pub(super) async fn open_nats(
    service: &'static str,
    settings: &section::Nats,
) -> anyhow::Result<Option<Nats>> {
    if settings.urls.is_empty() {
        return Ok(None);
    }
    let certificate = settings.certificate_file.clone().map(Into::into);
    let options = NatsOptions {
        urls: settings.urls.iter().map(|url| url.as_str().to_owned()).collect(),
        credentials_file: settings.credentials_file.clone().map(Into::into),
        root_certificates: settings.ca_file.clone().map(Into::into),
        client_certificate: certificate.zip(settings.key_file.clone().map(Into::into)),
        require_tls: settings.tls_required,
        name: format!("shipway {service}"),
    };
    let nats = Nats::connect(options).await.context("connecting to NATS")?;
    let mut link = nats.link();
    let there = tokio::time::timeout(GREETING, link.wait_for(|link| link.connected)).await;
    if !matches!(there, Ok(Ok(_))) {
        tracing::warn!("NATS does not answer yet; everything works without it, only slower");
    }
    Ok(Some(nats))
}
