//! Kinds of values that are more than a text or a number.

use std::fmt;

use http::Uri;
use tracing_subscriber::EnvFilter;

use super::{Raw, Value, Wrong, value::quoted};

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// A secret of this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself. What it is handed to must not show it either.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What may be seen: of a URL all but the password and what follows `?`, of anything else nothing.
    #[must_use]
    pub fn masked(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let Some((scheme, rest)) = self.0.split_once("://") else { return "***".to_owned() };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // A password may hold an `@`: the last one is before the host.
        let host = authority.rsplit_once('@');
        let authority = match host {
            Some((user, host)) => {
                let name = user.split_once(':').map_or(user, |(name, _)| name);
                let mask = if user.contains(':') { ":***" } else { "" };
                format!("{name}{mask}@{host}")
            }
            None => authority.to_owned(),
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        // A password with a `/` in it that was not escaped would be in the path.
        if path.contains('@') {
            return format!("{scheme}://***");
        }
        format!("{scheme}://{authority}{path}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "***" })
    }
}

impl Value for Secret {
    const SECRET: bool = true;

    fn expected() -> String {
        "a text".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        raw.text().map(Self::new).ok_or(Wrong::Kind)
    }

    fn show(&self) -> String {
        quoted(&self.masked())
    }
}

macro_rules! url {
    ($(#[$doc:meta])* $name:ident, $secret:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The URL as a text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&Secret::new(&*self.0).masked())
            }
        }

        impl Value for $name {
            const SECRET: bool = $secret;

            fn expected() -> String {
                $expected.to_owned()
            }

            fn read(raw: &Raw) -> Result<Self, Wrong> {
                let text = raw.text().ok_or(Wrong::Kind)?;
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.trim_end_matches('/').to_owned())) } else { Err(Wrong::Kind) }
            }

            fn show(&self) -> String {
                quoted(&Secret::new(&*self.0).masked())
            }
        }
    };
}

url!(
    /// Where something answers by HTTP or gRPC, without a slash at its end.
    HttpUrl, false, "a URL like http://shipway.internal:7400",
    |text| plain(text, &["http", "https"])
);

url!(
    /// Where a NATS server answers. It may hold a password, so it is not shown whole.
    NatsUrl, true, "a URL like nats://127.0.0.1:4222 or tls://nats.internal:4222",
    |text| host(text, &["nats", "tls", "ws", "wss"])
);

url!(
    /// Where blobs are.
    BlobsUrl, false,
    "a URL like file:///var/lib/shipway/blobs, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
    |text| match text.split_once("://") {
        Some(("file", path)) => path.starts_with('/') && path.len() > 1,
        _ => host(text, &["s3", "gs", "az"]) && !text.contains('@'),
    }
);

impl HttpUrl {
    /// The host of it; an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> String {
        let uri = self.0.parse::<Uri>().ok();
        uri.and_then(|uri| Some(uri.host()?.trim_matches(['[', ']']).to_owned())).unwrap_or_default()
    }
}

/// A URL of one of these schemes with a host, and without a password or a question.
fn plain(text: &str, schemes: &[&str]) -> bool {
    host(text, schemes) && !text.contains(['@', '?', '#'])
}

fn host(text: &str, schemes: &[&str]) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| {
        uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme))
            && uri.host().is_some_and(|host| !host.is_empty())
    })
}

/// A count of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const UNITS: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

impl Value for Size {
    fn expected() -> String {
        "a size like 512KiB, 64MiB or 2GiB".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text().ok_or(Wrong::Kind)?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(Wrong::Kind)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| Wrong::Kind)?;
        let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or(Wrong::Kind)?;
        number.checked_mul(*bytes).map(Self).ok_or(Wrong::Kind)
    }

    fn show(&self) -> String {
        let whole = UNITS.iter().rev().find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        let (name, unit) = whole.unwrap_or(&("B", 1));
        quoted(&format!("{}{name}", self.0 / unit))
    }
}

/// What an executor says it can run: `gpu`, `zone=west`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(String);

impl Label {
    /// The label as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Label {
    fn expected() -> String {
        "a label like gpu or zone=west: letters, digits and . _ - / = up to 63 characters".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text().ok_or(Wrong::Kind)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '=');
        let good = !text.is_empty() && text.len() <= 63 && text.chars().all(fits);
        if good { Ok(Self(text.to_owned())) } else { Err(Wrong::Kind) }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

/// Which lines of its own log a process writes, as in `RUST_LOG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter(String);

impl Filter {
    /// The filter as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl Value for Filter {
    fn expected() -> String {
        "a filter like warn, info or info,shipway_scheduler=debug".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text().filter(|text| !text.is_empty()).ok_or(Wrong::Kind)?;
        match EnvFilter::try_new(text) {
            // A single word that is no level would be taken for a module's name, and hide everything.
            Ok(_) if text.split(',').any(|part| !part.contains('=') && !level(part.trim())) => {
                Err(Wrong::Kind)
            }
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(Wrong::Because(error.to_string())),
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

fn level(word: &str) -> bool {
    ["off", "error", "warn", "info", "debug", "trace"].contains(&word.to_ascii_lowercase().as_str())
}
