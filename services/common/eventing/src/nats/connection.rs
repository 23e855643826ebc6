//! The connection to NATS, which may be away at any time without anything but speed being lost.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_nats::{Client, ConnectOptions, Event, ServerAddr, jetstream};
use percent_encoding::percent_decode_str;
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
#[derive(Clone, Default)]
pub struct NatsOptions {
    /// The servers' URLs: `nats://host:4222`, or `tls://…`. At least one. They may hold a login, the same in each:
    /// `nats://user:password@host:4222` or `nats://token@host:4222`, with `%40` for an `@` in it.
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
    /// A URL is none. What it is stays unsaid: it may hold a password.
    #[error(
        "a URL of a NATS server is not valid; it is like nats://user:password@10.0.0.4:4222, with %40 for an @ in it"
    )]
    Url,
    /// One connection has one login, whichever server it goes to.
    #[error(
        "the URLs of NATS hold different logins; give all servers the same user, or use a credentials file"
    )]
    Logins,
    /// There is no URL.
    #[error("no URL of a NATS server is given; without NATS leave the whole connection out")]
    NoUrl,
}

impl std::fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the URLs, for they may hold a password.
        f.debug_struct("NatsOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a URL says of who enters. Without a password the user is a token.
#[derive(PartialEq, Eq)]
struct Login {
    user: String,
    password: Option<String>,
}

/// The servers, and the login that their URLs hold: the client itself passes over it.
fn entered(urls: &[String]) -> Result<(Vec<ServerAddr>, Option<Login>), NatsError> {
    let mut servers = Vec::with_capacity(urls.len());
    let mut logins = Vec::with_capacity(urls.len());
    for url in urls {
        let mut url = url.parse::<ServerAddr>().map_err(|_| NatsError::Url)?.into_inner();
        logins.push(login(url.username(), url.password())?);
        let bare = url.set_username("").and_then(|()| url.set_password(None));
        bare.map_err(|()| NatsError::Url)?;
        servers.push(ServerAddr::from_url(url).map_err(|_| NatsError::Url)?);
    }
    let last = logins.pop().flatten();
    if logins.iter().any(|other| *other != last) {
        return Err(NatsError::Logins);
    }
    Ok((servers, last))
}

fn login(user: &str, password: Option<&str>) -> Result<Option<Login>, NatsError> {
    let text = |part: &str| match percent_decode_str(part).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(NatsError::Url),
    };
    match (text(user)?, password.map(text).transpose()?) {
        (user, None) if user.is_empty() => Ok(None),
        (user, password) => Ok(Some(Login { user, password })),
    }
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
        let (servers, login) = entered(&options.urls)?;
        let mut connect = match login {
            None => ConnectOptions::new(),
            Some(Login { user, password: Some(password) }) => {
                ConnectOptions::with_user_and_password(user, password)
            }
            Some(Login { user: token, password: None }) => ConnectOptions::with_token(token),
        };
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
            .connect(servers)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_taken_out_of_the_urls_and_is_one() {
        let of = |urls: &[&str]| {
            let urls: Vec<_> = urls.iter().map(|url| (*url).to_owned()).collect();
            let (servers, login) = entered(&urls)?;
            let servers: Vec<_> = servers.iter().map(|server| server.as_url_str().to_owned()).collect();
            Ok::<_, NatsError>((servers.join(" "), login.map(|login| (login.user, login.password))))
        };
        let login = |user: &str, password: Option<&str>| Some((user.to_owned(), password.map(str::to_owned)));
        for (urls, servers, expected) in [
            (&["nats://10.0.0.4:4222"][..], "nats://10.0.0.4:4222", None),
            (
                &["nats://shipway:p%40ss%2Fword@a:4222", "tls://shipway:p%40ss%2Fword@b:4222"],
                "nats://a:4222 tls://b:4222",
                login("shipway", Some("p@ss/word")),
            ),
            (&["nats://a-token@a:4222"], "nats://a:4222", login("a-token", None)),
        ] {
            assert_eq!(of(urls).unwrap(), (servers.to_owned(), expected), "{urls:?}");
        }
        let error = of(&["nats://one:secret@a:4222", "nats://b:4222"]).unwrap_err();
        assert!(matches!(error, NatsError::Logins) && !error.to_string().contains("secret"), "{error}");
        let error = of(&["nats://one:secret@a:port"]).unwrap_err();
        assert!(matches!(error, NatsError::Url) && !error.to_string().contains("secret"), "{error}");
        let options = NatsOptions { urls: vec!["nats://one:secret@a".into()], ..NatsOptions::default() };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
