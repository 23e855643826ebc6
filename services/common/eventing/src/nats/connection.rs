//! The connection to NATS, which may be away at any time without anything but speed being lost.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, Event, jetstream};
use tokio::sync::watch;

/// A silent server is asked so often whether it is there; after two questions without an answer it is not.
const PING: Duration = Duration::from_secs(2);

/// The longest pause between two tries to connect.
const RETRY: Duration = Duration::from_secs(1);

/// How long a request to JetStream, and the ack of a publish, may take.
const ANSWER: Duration = Duration::from_secs(2);

/// How many messages of one subscription may wait to be taken.
const WAITING: usize = 16 * 1024;

/// Where NATS is and how it is entered.
#[derive(Clone, Debug, Default)]
pub struct NatsOptions {
    /// The servers' URLs: `nats://host:4222`, or `tls://…`. At least one.
    pub urls: Vec<String>,
    /// A credentials file (a JWT and a seed).
    pub credentials_file: Option<PathBuf>,
    /// The certificates of the authorities that the servers' ones must come from; none: the system's.
    pub root_certificates: Option<PathBuf>,
    /// This process' own certificate and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Refuses a server without TLS, whatever the URL says.
    pub require_tls: bool,
    /// What the connection is called in the server's lists.
    pub name: String,
}

/// Why there cannot be a connection, now or later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NatsError {
    /// The credentials file could not be used.
    #[error("the NATS credentials file {} could not be read", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A setting cannot be right.
    #[error("the settings of the connection to NATS are not valid")]
    Settings(#[source] async_nats::ConnectError),
    /// There is no URL.
    #[error("no URL of a NATS server is given; without NATS leave the whole connection out")]
    NoUrl,
}

/// Whether the server is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Whether it is there now.
    pub connected: bool,
    /// How often it has come: another number than before means that something may have been missed.
    pub times: u64,
}

/// A connection to NATS. Clones share it.
#[derive(Clone)]
pub struct Nats {
    client: Client,
    jetstream: jetstream::Context,
    link: Arc<watch::Sender<Link>>,
}

impl Nats {
    /// Begins to connect, and tries for ever, also after each loss. Returns at once, whether a server is there or not.
    ///
    /// # Errors
    /// See [`NatsError`]: only what no waiting would mend.
    pub async fn connect(options: NatsOptions) -> Result<Self, NatsError> {
        if options.urls.is_empty() {
            return Err(NatsError::NoUrl);
        }
        let link = Arc::new(watch::Sender::new(Link::default()));
        let mut connect = ConnectOptions::new();
        if let Some(path) = options.credentials_file {
            let read = connect.credentials_file(&path).await;
            connect = read.map_err(|source| NatsError::Credentials { path, source })?;
        }
        if let Some(path) = options.root_certificates {
            connect = connect.add_root_certificates(path);
        }
        if let Some((certificate, key)) = options.client_certificate {
            connect = connect.add_client_certificate(certificate, key);
        }
        if options.require_tls {
            connect = connect.require_tls(true);
        }
        let told = Arc::clone(&link);
        let client = connect
            .name(options.name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|tries| {
                let tries = u32::try_from(tries).unwrap_or(u32::MAX);
                Duration::from_millis(25).saturating_mul(tries).min(RETRY)
            })
            .connection_timeout(ANSWER)
            .request_timeout(Some(ANSWER))
            .ping_interval(PING)
            .subscription_capacity(WAITING)
            .event_callback(move |event| {
                tell(&told, &event);
                std::future::ready(())
            })
            .connect(options.urls)
            .await
            .map_err(NatsError::Settings)?;
        let jetstream = jetstream::context::ContextBuilder::new()
            .timeout(ANSWER)
            .ack_timeout(ANSWER)
            .max_ack_inflight(4 * super::relay::IN_FLIGHT)
            .build(client.clone());
        Ok(Self { client, jetstream, link })
    }

    /// Whether the server is there; changes whenever it comes or goes.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Whether the server is there now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.borrow().connected
    }

    /// The server's version; none until it was reached once.
    #[must_use]
    pub fn server_version(&self) -> Option<String> {
        self.client.try_server_info().map(|info| info.version).filter(|version| !version.is_empty())
    }

    /// The client, for what has no method here.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// JetStream's interface.
    #[must_use]
    pub const fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// Waits until the server is there; which time it is that it came.
    pub(crate) async fn connected(&self) -> u64 {
        // It cannot fail: the sender is in `self`.
        self.link().wait_for(|link| link.connected).await.map_or(0, |link| link.times)
    }

    /// Waits until what came that time went, whether it came again or not.
    pub(crate) async fn interrupted(&self, times: u64) {
        drop(self.link().wait_for(|link| !link.connected || link.times != times).await);
    }
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").field("link", &*self.link.borrow()).finish_non_exhaustive()
    }
}

fn tell(link: &watch::Sender<Link>, event: &Event) {
    match event {
        Event::Connected => {
            tracing::info!("NATS is there");
            link.send_modify(|link| *link = Link { connected: true, times: link.times + 1 });
        }
        Event::Disconnected => {
            tracing::warn!("NATS is away; the log is read instead until it is back");
            link.send_modify(|link| link.connected = false);
        }
        // This process has let go of it: it stops.
        Event::Closed => {
            tracing::debug!("the connection to NATS is closed");
            link.send_modify(|link| link.connected = false);
        }
        // Of this kind is every failed try to connect.
        Event::ClientError(error) => tracing::debug!(%error, "the connection to NATS reports an error"),
        other => tracing::warn!(event = %other, "the connection to NATS reports"),
    }
}
