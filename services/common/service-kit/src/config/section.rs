//! The sections that services share.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{BlobsUrl, Filter, HttpUrl, NatsUrl, Reader, Secret, Section};

const SECOND: Duration = Duration::from_secs(1);

crate::keys! {
    /// The port: gRPC and HTTP on one.
    pub struct Server in "server" {
        /// Where it listens.
        pub listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 7400));
        /// Where others reach this process; none: at `http://<listen>`.
        pub advertise: Option<HttpUrl> = None;
        /// How long what is going on may take to finish once the process is asked to stop.
        pub drain: Duration = Duration::from_secs(20), in Duration::ZERO..=Duration::from_secs(600);
        /// How long it goes on serving, not ready any more, before it stops taking calls.
        pub linger: Duration = Duration::from_secs(2), in Duration::ZERO..=Duration::from_secs(60);
        /// How many events its consumers may be behind the log before it says that it is not ready.
        pub ready_lag: u64 = 1_000;
    }
}

impl Server {
    /// The address at which others reach this process.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.advertise {
            Some(url) => url.as_str().to_owned(),
            None => format!("http://{}", self.listen),
        }
    }

    /// The host at which others reach this machine.
    #[must_use]
    pub fn host(&self) -> String {
        self.advertise.as_ref().map_or_else(|| self.listen.ip().to_string(), HttpUrl::host)
    }
}

impl Section for Server {
    fn check(&self, reader: &mut Reader) {
        if self.advertise.is_none() && self.listen.ip().is_unspecified() {
            let message =
                format!("others cannot reach this process at {}, which means any address", self.listen);
            let help = "say where they can: http://<its name or address>:<port>".to_owned();
            reader.wrong("server", "advertise", message, Some(help));
        }
    }
}

crate::keys! {
    /// The database of the log and of the read tables.
    pub struct Database in "database" {
        /// Where it is: `postgres://user:password@host:port/database`.
        pub url: Secret = Secret::default();
        /// How many readers of the log work at the same time.
        pub readers: u32 = 4, in 1..=200;
        /// How many connections the tables beside the log share.
        pub connections: u32 = 8, in 2..=200;
        /// How long a connection may take to come about.
        pub connect_time: Duration = Duration::from_secs(3), in SECOND..=Duration::from_secs(60);
    }
}

impl Section for Database {
    fn check(&self, reader: &mut Reader) {
        let expected = "a URL like postgres://user:password@host:5432/shipway";
        if self.url.is_empty() {
            reader.missing("database", "url", expected);
        } else if !["postgres://", "postgresql://"].iter().any(|scheme| self.url.expose().starts_with(scheme))
        {
            reader.wrong("database", "url", format!("expected {expected}"), None);
        }
    }
}

crate::keys! {
    /// NATS JetStream, which carries events and wakes executors.
    pub struct Nats in "nats" {
        /// Its servers, tried in turn, with a login if they want one; none: without NATS.
        pub urls: Vec<NatsUrl> = Vec::new();
        /// A file of credentials (`.creds`).
        pub credentials_file: Option<String> = None;
        /// A file of certificates (PEM) that servers are checked with, besides those that the program brings.
        pub ca_file: Option<String> = None;
        /// A file with the certificate (PEM) that says who this client is.
        pub certificate_file: Option<String> = None;
        /// A file with the certificate's key (PEM).
        pub key_file: Option<String> = None;
        /// Refuses a connection without TLS.
        pub tls_required: bool = false;
        /// How many servers keep each stream.
        pub replicas: u32 = 1, in 1..=5;
    }
}

impl Section for Nats {
    fn check(&self, reader: &mut Reader) {
        match (&self.certificate_file, &self.key_file) {
            (Some(_), None) => {
                reader.missing("nats", "key_file", "the key of the certificate in certificate_file");
            }
            (None, Some(_)) => {
                reader.missing("nats", "certificate_file", "the certificate of the key in key_file");
            }
            _ => {}
        }
        let files = [
            ("credentials_file", &self.credentials_file),
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ];
        for (name, file) in files {
            if let Some(Err(error)) = file.as_ref().map(std::fs::File::open) {
                reader.wrong("nats", name, format!("the file cannot be read: {error}"), None);
            }
        }
    }
}

crate::keys! {
    /// Where artifacts, backups, logs of nodes and large event data are.
    pub struct Blobs in "blobs" {
        /// The place.
        pub url: Option<BlobsUrl> = None;
        /// The address of the service, where it is not the cloud's own.
        pub endpoint: Option<HttpUrl> = None;
        /// The region of the bucket.
        pub region: Option<String> = None;
        /// The name of the access key (S3), or of the account (Azure); none: what the machine itself may do.
        pub access_key: Option<String> = None;
        /// The access key's secret.
        pub secret_key: Secret = Secret::default();
        /// A file of credentials (Google Cloud).
        pub credentials_file: Option<String> = None;
        /// Puts the bucket into the path instead of the host's name.
        pub path_style: bool = false;
        /// Allows an endpoint without TLS.
        pub allow_http: bool = false;
    }
}

impl Section for Blobs {
    fn check(&self, reader: &mut Reader) {
        if self.url.is_none() {
            reader.missing("blobs", "url", &<BlobsUrl as super::Value>::expected());
        }
        if self.access_key.is_some() && self.secret_key.is_empty() {
            reader.missing("blobs", "secret_key", "the secret of the key in access_key");
        }
        let plain = self.endpoint.as_ref().is_some_and(|url| url.as_str().starts_with("http://"));
        if plain && !self.allow_http {
            let message = "the endpoint is without TLS, and allow_http is false".to_owned();
            let help = "use https://, or set allow_http = true where nobody else listens".to_owned();
            reader.wrong("blobs", "endpoint", message, Some(help));
        }
        if let Some(Err(error)) = self.credentials_file.as_ref().map(std::fs::File::open) {
            reader.wrong("blobs", "credentials_file", format!("the file cannot be read: {error}"), None);
        }
    }
}

crate::keys! {
    /// The keys that secrets and deliveries are encrypted with.
    pub struct Keys in "keys" {
        /// The folder; the same for every process of pipelines and triggers.
        pub folder: PathBuf = PathBuf::from("/var/lib/shipway/keys");
    }
}

impl Section for Keys {}

crate::keys! {
    /// Where Shipway's own services answer.
    pub struct Shipway in "shipway" {
        /// Addresses, tried in turn; a load balancer in front is one.
        pub urls: Vec<HttpUrl> = Vec::new();
    }
}

impl Section for Shipway {
    fn check(&self, reader: &mut Reader) {
        if self.urls.is_empty() {
            reader.missing("shipway", "urls", "addresses like [\"http://shipway.internal:7400\"]");
        }
    }
}

crate::keys! {
    /// What the process tells about itself.
    pub struct Telemetry in "telemetry" {
        /// Which lines of its log it writes.
        pub filter: Filter = Filter::default();
        /// Writes the log as JSON lines.
        pub json: bool = false;
        /// Where traces and metrics are sent by OTLP over gRPC; none: nowhere.
        pub otlp: Option<HttpUrl> = None;
        /// How often metrics are sent.
        pub interval: Duration = Duration::from_secs(15), in SECOND..=Duration::from_secs(600);
    }
}

impl Section for Telemetry {}
