//! Where a repository is, read from an address that people or hosts wrote.

use crate::ForgeError;

/// A repository's host and path, whatever way its address has to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryAddress {
    /// The host in small letters.
    pub(crate) name: String,
    /// The port of an HTTP address, if it is not the usual one. An SSH address's says nothing about the API.
    pub(crate) port: Option<u16>,
    /// The address is one for SSH.
    pub(crate) ssh: bool,
    /// The steps of its path, without `.git` at the end.
    pub(crate) path: Vec<String>,
}

impl RepositoryAddress {
    /// Reads `https://host/owner/name(.git)`, `ssh://git@host:22/owner/name` or `git@host:owner/name`.
    ///
    /// # Errors
    /// If it is none of these, or its path has steps that a repository's has not.
    pub fn parse(address: &str) -> Result<Self, ForgeError> {
        let text = address.trim();
        let wrong = || {
            let shown = without_login(text);
            ForgeError::refused(format!(
                "`{shown}` is no address of a repository at a Git host; write it like https://github.com/acme/api"
            ))
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        let (scheme, authority, path) = match text.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').ok_or_else(wrong)?;
                (scheme.to_ascii_lowercase(), authority, path)
            }
            None => {
                let (authority, path) = text.split_once(':').ok_or_else(wrong)?;
                // `ext::…` names a program.
                if path.starts_with(':') {
                    return Err(wrong());
                }
                ("ssh".to_owned(), authority, path)
            }
        };
        let ssh = match scheme.as_str() {
            "https" | "http" => false,
            "ssh" | "git+ssh" | "ssh+git" => true,
            _ => return Err(wrong()),
        };
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() => {
                (name.to_owned(), Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (authority, None),
        };
        let usual = if scheme == "http" { 80 } else { 443 };
        let port = port.filter(|port| !ssh && *port != usual);
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let path: Option<Vec<String>> = path.split('/').map(step).collect();
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || !name.chars().all(is_host) {
            return Err(wrong());
        }
        Ok(Self { name, port, ssh, path: path.ok_or_else(wrong)? })
    }

    /// Its host, with the port if it is not the usual one.
    #[must_use]
    pub fn host(&self) -> String {
        self.port.map_or_else(|| self.name.clone(), |port| format!("{}:{port}", self.name))
    }

    /// The same repository by HTTPS: where SSH leads to, a host has its API too.
    #[must_use]
    pub fn web(&self) -> String {
        let scheme = if matches!(self.name.as_str(), "localhost" | "127.0.0.1") { "http" } else { "https" };
        format!("{scheme}://{}/{}", self.host(), self.full().replace('%', "%25").replace(' ', "%20"))
    }

    /// Its path, in one piece.
    pub(crate) fn full(&self) -> String {
        self.path.join("/")
    }

    /// Owner and name, where the path has just these.
    pub(crate) fn owner_and_name(&self) -> Result<(&str, &str), ForgeError> {
        match &self.path[..] {
            [owner, name] => Ok((owner, name)),
            _ => Err(self.misshapen("owner/name")),
        }
    }

    pub(crate) fn misshapen(&self, shape: &str) -> ForgeError {
        let (host, path) = (self.host(), self.full());
        ForgeError::refused(format!("`{path}` is no repository of {host}: its path has the shape `{shape}`"))
    }
}

/// A step of a path as it reads, if it may be one.
fn step(text: &str) -> Option<String> {
    let read = percent_decoded(text)?;
    let bad = matches!(read.as_str(), "" | "." | "..")
        || read.chars().any(|c| c == '/' || c == '\\' || c.is_control());
    (!bad).then_some(read)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

fn without_login(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_it_names_the_same_repository() {
        for text in [
            "https://github.com/acme/api",
            "https://GitHub.com/acme/api.git",
            "https://token:x@github.com:443/acme/api/",
            "http://github.com:80/acme/api",
            "git@github.com:acme/api.git",
            "ssh://git@github.com:22/acme/api.git",
        ] {
            let read = RepositoryAddress::parse(text).unwrap();
            assert_eq!((read.host().as_str(), read.full().as_str()), ("github.com", "acme/api"), "{text}");
        }
        let read = RepositoryAddress::parse("http://127.0.0.1:3000/a/b%20c").unwrap();
        assert_eq!((read.host().as_str(), read.full().as_str()), ("127.0.0.1:3000", "a/b c"));
        assert_eq!(read.web(), "http://127.0.0.1:3000/a/b%20c");
        let ssh = RepositoryAddress::parse("ssh://git@git.acme.org:7999/acme/api.git").unwrap();
        assert_eq!(ssh.web(), "https://git.acme.org/acme/api");
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused_and_no_login_is_shown() {
        for text in [
            "",
            "api",
            "/srv/git/api",
            "file:///srv/git/api",
            "ext::sh -c id",
            "ext::sh/x",
            "https://github.com/acme/a b",
            "https://github.com",
            "https://github.com/",
            "https://github.com/acme/../api",
            "https://github.com/acme/%2e%2e/api",
            "https://github.com/acme/a%2fb",
            "https://github.com/acme//api",
            "https://github.com/acme/%zz",
            "https:///acme/api",
            "https://gi thub.com/acme/api",
            "https://github.com:x/acme/api",
        ] {
            assert!(RepositoryAddress::parse(text).is_err(), "{text}");
        }
        let refused = RepositoryAddress::parse("https://me:s3cret@github.com/acme/../api").unwrap_err();
        assert!(!refused.message.contains("s3cret"), "{refused}");
    }
}
