//! A login that belongs to one host, and how Git gets it: by files in memory that this user's Git alone can read.

use std::{collections::BTreeMap, fmt, io};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{Address, HOSTS_FILE, KEY_FILE, MemoryFile, environment, ssh_command};

/// A login, for one host.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    host: String,
    login: String,
    secret: Secret,
}

/// What proves the login.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A token or password, for https.
    Token(Zeroizing<String>),
    /// A private key, for ssh.
    Key {
        /// The key, as OpenSSH writes it, without a passphrase.
        key: Zeroizing<String>,
        /// Lines of a `known_hosts` file: who the host is.
        known_hosts: String,
    },
}

/// The credential is for another host, or for another protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credential is for {wanted}, and the repository is at {found}: it is sent to no other host")]
pub struct WrongHost {
    /// What it is for.
    pub wanted: String,
    /// Where the repository is.
    pub found: String,
}

impl Credential {
    /// A login for `host`, which is written as in an address: with its port where that is not the protocol's own.
    #[must_use]
    pub fn new(host: &str, login: &str, secret: Secret) -> Self {
        Self { host: host.to_ascii_lowercase(), login: login.to_owned(), secret }
    }

    /// The login that an address of https holds itself.
    #[must_use]
    pub fn of_address(address: &Address) -> Option<Self> {
        let (login, password) = address.login()?;
        let secret = Secret::Token(Zeroizing::new(decoded(password)));
        Some(Self { host: address.host()?, login: decoded(login), secret })
    }

    /// Whether it may be sent there.
    ///
    /// # Errors
    /// [`WrongHost`]: it may not.
    pub fn check(&self, address: &Address) -> Result<(), WrongHost> {
        let key = matches!(self.secret, Secret::Key { .. });
        if key == address.is_ssh() && address.host().as_deref() == Some(self.host.as_str()) {
            return Ok(());
        }
        let by = if key { "ssh" } else { "https" };
        Err(WrongHost { wanted: format!("{by} of {}", self.host), found: address.url() })
    }

    /// What has to be hidden wherever it shows.
    #[must_use]
    pub fn hidden(&self) -> Vec<String> {
        match &self.secret {
            Secret::Token(token) => vec![token.to_string(), self.basic(token)],
            Secret::Key { key, .. } => vec![key.to_string()],
        }
    }

    /// What Git's configuration says for this login; empty where a key proves it.
    #[must_use]
    pub fn config(&self, protocol: &str) -> Zeroizing<String> {
        let Secret::Token(token) = &self.secret else { return Zeroizing::default() };
        let basic = Zeroizing::new(self.basic(token));
        Zeroizing::new(format!(
            "[http \"{protocol}://{}/\"]\n\textraHeader = Authorization: Basic {}\n",
            self.host, *basic
        ))
    }

    fn basic(&self, token: &str) -> String {
        STANDARD.encode(Zeroizing::new(format!("{}:{token}", self.login)).as_bytes())
    }

    /// The token, where one proves it.
    #[must_use]
    pub fn token(&self) -> Option<Zeroizing<String>> {
        match &self.secret {
            Secret::Token(token) => Some(token.clone()),
            Secret::Key { .. } => None,
        }
    }

    /// The private key and the lines of known hosts, where a key proves it.
    #[must_use]
    pub fn key(&self) -> Option<(Zeroizing<String>, &str)> {
        match &self.secret {
            Secret::Token(_) => None,
            Secret::Key { key, known_hosts } => {
                // ssh reads no key whose last line does not end.
                let key = Zeroizing::new(format!("{}\n", key.trim_end()));
                Some((key, known_hosts))
            }
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({} at {})", self.login, self.host)
    }
}

/// A credential's files, as long as one command needs them.
pub(crate) struct Files {
    config: MemoryFile,
    key: Option<(MemoryFile, MemoryFile)>,
}

impl Files {
    pub(crate) fn make(credential: Option<&Credential>, protocol: &str) -> io::Result<Self> {
        let text = credential.map(|credential| credential.config(protocol)).unwrap_or_default();
        let key = match credential.and_then(Credential::key) {
            None => None,
            Some((key, hosts)) => {
                Some((MemoryFile::new(key.as_bytes())?, MemoryFile::new(hosts.as_bytes())?))
            }
        };
        Ok(Self { config: MemoryFile::new(text.as_bytes())?, key })
    }

    /// The environment of a Git that uses them.
    pub(crate) fn environment(&self, protocol: &str) -> BTreeMap<String, String> {
        let ssh = ssh_command(self.key.is_some());
        let mut all = environment(&self.config.path(), protocol, ssh);
        for (name, file) in self.key.iter().flat_map(|(key, hosts)| [(KEY_FILE, key), (HOSTS_FILE, hosts)]) {
            all.insert(name.to_owned(), file.path().to_string_lossy().into_owned());
        }
        all
    }
}

/// An address writes some letters of a login with `%`.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let two = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match two.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Allow;

    fn token(host: &str) -> Credential {
        Credential::new(host, "me", Secret::Token(Zeroizing::new("hunter22".to_owned())))
    }

    fn at(text: &str) -> Address {
        Address::parse(text, Allow::HERE).unwrap()
    }

    #[test]
    fn a_credential_fits_its_host_and_protocol_and_no_other() {
        let github = token("GitHub.com");
        assert_eq!(github.check(&at("https://github.com:443/acme/x")), Ok(()));
        for other in [
            "https://github.com.evil.org/x",
            "https://evil.org/github.com/x",
            "https://github.com@evil.org/x",
            "https://github.com:8443/x",
            "ssh://git@github.com/x",
            "/srv/x",
        ] {
            assert!(github.check(&at(other)).is_err(), "{other}");
        }
        let secret = Secret::Key { key: Zeroizing::new("k".into()), known_hosts: String::new() };
        let key = Credential::new("h:2222", "git", secret);
        assert!(key.check(&at("ssh://git@h:2222/x")).is_ok() && key.check(&at("ssh://git@h/x")).is_err());
        assert!(key.check(&at("https://h:2222/x")).is_err());
    }

    #[test]
    fn it_is_not_printed_and_told_to_git_for_its_host_alone() {
        let credential = token("h:8443");
        assert_eq!(format!("{credential:?}"), "Credential(me at h:8443)");
        assert_eq!(
            *credential.config("https"),
            "[http \"https://h:8443/\"]\n\textraHeader = Authorization: Basic bWU6aHVudGVyMjI=\n"
        );
        let own = Credential::of_address(&at("https://me:a%40b@h/x")).unwrap();
        assert_eq!(own.hidden()[0], "a@b");
        assert_eq!(Credential::of_address(&at("ssh://me@h/x")), None);
    }
}
