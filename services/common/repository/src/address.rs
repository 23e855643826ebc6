//! Where a repository is. An address is taken apart and put together again, so that Git reads what was checked.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

use zeroize::Zeroizing;

/// The longest address.
const LONGEST: usize = 2048;

/// What is allowed beside `https` and `ssh`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// Folders of this machine: `file:///path` and absolute paths.
    pub folders: bool,
    /// `http` to this machine itself.
    pub loopback: bool,
}

impl Allow {
    /// `https` and `ssh` alone.
    pub const NETWORK: Self = Self { folders: false, loopback: false };
    /// Also what is on this machine.
    pub const HERE: Self = Self { folders: true, loopback: true };

    /// What a setting says of this machine's own repositories.
    #[must_use]
    pub const fn local(allowed: bool) -> Self {
        if allowed { Self::HERE } else { Self::NETWORK }
    }
}

/// A repository's address.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Remote(Remote),
    Folder(PathBuf),
}

#[derive(Clone, PartialEq, Eq)]
struct Remote {
    scheme: Scheme,
    user: Option<String>,
    password: Option<Zeroizing<String>>,
    host: String,
    port: Option<u16>,
    /// With the slash that it begins with; without one where it is from the home of the user.
    path: String,
    /// Written `user@host:path`: such a path may be one from the home of the user, which a URL cannot say.
    short: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Https,
    Http,
    Ssh,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
            Self::Ssh => 22,
        }
    }
}

/// Why a text is no address that Git is given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{shown}` is no repository's address: {why}; write https://host/path, ssh://user@host/path or user@host:path"
)]
pub struct AddressError {
    /// The address, without a password and cut where it is long.
    pub shown: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Address {
    /// Reads an address: `https://…`, `ssh://…`, `user@host:path`, and what `allow` allows.
    ///
    /// # Errors
    /// [`AddressError`]: whatever Git could take for an option, a program or another protocol.
    pub fn parse(text: &str, allow: Allow) -> Result<Self, AddressError> {
        let bad = |why| AddressError { shown: masked(text), why };
        if text.len() > LONGEST {
            return Err(bad("it is longer than 2048 bytes"));
        }
        if text.chars().any(|c| c.is_control()) {
            return Err(bad("it holds control characters"));
        }
        if text.starts_with('-') {
            return Err(bad("it begins like an option"));
        }
        let folder = text.strip_prefix("file://").or_else(|| text.starts_with('/').then_some(text));
        if let Some(path) = folder {
            if !allow.folders {
                return Err(bad("folders of this machine are not allowed here"));
            }
            let path = Path::new(path.strip_prefix("localhost").unwrap_or(path));
            if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
                return Err(bad("the path is not absolute or goes up"));
            }
            return Ok(Self(Kind::Folder(path.to_owned())));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("ssh", rest)) => (Scheme::Ssh, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(_) => return Err(bad("only https and ssh are known")),
            None => return Self::short(text).map_err(bad),
        };
        let (authority, path) = rest.split_once('/').ok_or_else(|| bad("it has no path"))?;
        let remote = Remote::read(scheme, authority, path).map_err(bad)?;
        if scheme == Scheme::Http && !(allow.loopback && is_loopback(&remote.host)) {
            return Err(bad("http would show what is sent to everybody on the way"));
        }
        Ok(Self(Kind::Remote(remote)))
    }

    /// `user@host:path`, as ssh has it.
    fn short(text: &str) -> Result<Self, &'static str> {
        let (authority, path) = text.split_once(':').ok_or("only https and ssh are known")?;
        if path.starts_with([':', '-']) || authority.contains('/') {
            return Err("only https and ssh are known");
        }
        let remote = Remote::read(Scheme::Ssh, authority, path.trim_start_matches('/'))?;
        if remote.port.is_some() {
            return Err("user@host:path has no port");
        }
        Ok(Self(Kind::Remote(Remote { path: path.to_owned(), short: true, ..remote })))
    }

    /// What Git is given: put together from its parts, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.0 {
            Kind::Folder(path) => path.to_string_lossy().into_owned(),
            Kind::Remote(remote) => {
                let user = match (&remote.user, remote.scheme) {
                    // A login of https is a credential, and goes where credentials go.
                    (Some(user), Scheme::Ssh) => format!("{user}@"),
                    _ => String::new(),
                };
                if remote.short {
                    return format!("{user}{}:{}", remote.host, remote.path);
                }
                format!("{}://{user}{}{}", remote.scheme.name(), remote.place(), remote.path)
            }
        }
    }

    /// The protocol, as Git calls it: the only one that it may speak for this address.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match &self.0 {
            Kind::Folder(_) => "file",
            Kind::Remote(remote) => remote.scheme.name(),
        }
    }

    /// The folder, where it is one of this machine.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.0 {
            Kind::Folder(path) => Some(path),
            Kind::Remote(_) => None,
        }
    }

    /// The host, in lower case, with its port where that is not the protocol's own; none for a folder.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        match &self.0 {
            Kind::Folder(_) => None,
            Kind::Remote(remote) => Some(remote.place()),
        }
    }

    /// The path on the host, without slashes around it and without `.git`.
    #[must_use]
    pub fn path(&self) -> String {
        let path = match &self.0 {
            Kind::Folder(path) => path.to_string_lossy().into_owned(),
            Kind::Remote(remote) => remote.path.clone(),
        };
        let path = path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path).to_owned()
    }

    /// Whether it is reached by ssh.
    #[must_use]
    pub fn is_ssh(&self) -> bool {
        matches!(&self.0, Kind::Remote(Remote { scheme: Scheme::Ssh, .. }))
    }

    /// The login and the password that the address itself holds, where it is one of https.
    pub(crate) fn login(&self) -> Option<(&str, &str)> {
        match &self.0 {
            Kind::Remote(remote) if remote.scheme != Scheme::Ssh => {
                let user = remote.user.as_deref()?;
                Some((user, remote.password.as_ref().map_or("", |password| password.as_str())))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.url())
    }
}

impl Remote {
    fn read(scheme: Scheme, authority: &str, path: &str) -> Result<Self, &'static str> {
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
                let digits = !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit());
                let port = port.parse().ok().filter(|port| digits && *port > 0);
                (host, Some(port.ok_or("the port is no number from 1 to 65535")?))
            }
            _ => (place, None),
        };
        if !is_host(host) {
            return Err("the host is none");
        }
        let (user, password) = match login {
            None => (None, None),
            Some(login) => {
                let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
                (Some(checked_user(user, scheme)?), password.map(|word| Zeroizing::new(word.to_owned())))
            }
        };
        if scheme == Scheme::Ssh && password.is_some() {
            return Err("an address of ssh has no password; link an account with a key");
        }
        check_path(path)?;
        let port = port.filter(|port| *port != scheme.port());
        let (host, path) = (host.to_ascii_lowercase(), format!("/{path}"));
        Ok(Self { scheme, user, password, host, port, path, short: false })
    }

    fn place(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }
}

fn checked_user(user: &str, scheme: Scheme) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    let fits = match scheme {
        Scheme::Ssh => user.chars().all(plain),
        // It goes into a header: `%40` and the like stay as they are.
        Scheme::Https | Scheme::Http => user.chars().all(|c| plain(c) || "%~!$&'()*,;=".contains(c)),
    };
    if !user.is_empty() && fits && !user.starts_with('-') {
        return Ok(user.to_owned());
    }
    Err("the user is none")
}

/// A name of letters, digits, dots and hyphens, or an address of IPv6 in brackets.
fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && !label.starts_with('-') && label.chars().all(plain)
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// Whether only this machine is meant.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || host == "[::1]"
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if path.trim_matches('/').is_empty() {
        return Err("it has no path");
    }
    if !path.bytes().all(|c| c.is_ascii_graphic()) {
        return Err("the path holds spaces or letters that an address writes with %");
    }
    if path.contains(['?', '#', '\\', '"', '<', '>', '^', '`', '{', '|', '}']) {
        return Err("the path holds a character that an address writes with %");
    }
    if path.starts_with('-') || path.split('/').any(|step| matches!(step, "." | "..")) {
        return Err("the path begins like an option or goes up");
    }
    Ok(())
}

/// A text that was to be an address, as it may be shown.
fn masked(text: &str) -> String {
    let shown = match text.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        None => text.to_owned(),
    };
    shown.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn here(text: &str) -> Result<Address, AddressError> {
        Address::parse(text, Allow::HERE)
    }

    #[test]
    fn an_address_is_put_together_from_its_parts() {
        for (text, url, host, path) in [
            ("https://github.com/acme/api.git", "https://github.com/acme/api.git", "github.com", "acme/api"),
            ("https://GitHub.com:443/acme/api", "https://github.com/acme/api", "github.com", "acme/api"),
            ("https://me:pw@h.example:8443/x", "https://h.example:8443/x", "h.example:8443", "x"),
            ("ssh://git@h:2222/~me/x", "ssh://git@h:2222/~me/x", "h:2222", "~me/x"),
            ("git@GitHub.com:acme/api.git", "git@github.com:acme/api.git", "github.com", "acme/api"),
            ("host:/srv/x", "host:/srv/x", "host", "srv/x"),
            ("http://127.0.0.1:80/a", "http://127.0.0.1/a", "127.0.0.1", "a"),
            ("http://[::1]:8080/a", "http://[::1]:8080/a", "[::1]:8080", "a"),
        ] {
            let address = here(text).unwrap();
            assert_eq!(address.url(), url);
            assert_eq!(address.host().as_deref(), Some(host), "{text}");
            assert_eq!(address.path(), path, "{text}");
        }
        assert_eq!(here("file:///srv/a").unwrap().folder(), Some(Path::new("/srv/a")));
        assert_eq!(here("/srv/a b").unwrap().url(), "/srv/a b");
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let address = here("https://me:hunter2@h/x").unwrap();
        assert_eq!(address.login(), Some(("me", "hunter2")));
        assert!(!format!("{address} {address:?} {}", address.url()).contains("hunter2"));
        let error = here("https://me:hunter2@-h/x").unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("https://-h/x"), "{error}");
    }

    #[test]
    fn what_is_on_this_machine_needs_leave() {
        for text in ["/srv/a", "file:///srv/a", "http://127.0.0.1/a", "http://localhost:3000/a"] {
            assert!(here(text).is_ok(), "{text}");
            assert!(Address::parse(text, Allow::NETWORK).is_err(), "{text}");
        }
        for text in ["http://example.org/x", "http://127.0.0.1.evil.org/x", "http://10.0.0.1/x"] {
            assert!(here(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// Whatever is taken is put together to something that reads the same, and that Git takes for nothing else.
        #[test]
        fn what_is_taken_is_stable_and_plain(text in "(https|ssh|http|ext|git|file)?(://|::|:)?[-a-z@:./%~ $(]{0,40}") {
            if let Ok(address) = here(&text) {
                let url = address.url();
                prop_assert_eq!(here(&url).map(|again| again.url()), Ok(url.clone()));
                let scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
                prop_assert!(!url.trim_start_matches(scheme).starts_with("::"), "{url}");
                prop_assert!(!url.starts_with('-'), "{url}");
                if let Some((protocol, rest)) = url.split_once("://") {
                    prop_assert!(["https", "http", "ssh"].contains(&protocol), "{url}");
                    prop_assert!(!rest.starts_with(['-', '/']), "{url}");
                }
            }
        }
    }
}
