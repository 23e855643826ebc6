//! Sends what [`hosts`](crate::hosts) ask for.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Url, header::HeaderMap};

use crate::{
    Account, AddressError, Answer, Comment, ForgeError, Outbound, Pull, RepositoryAddress, Request, Status,
    hosts::{self, Host},
};

/// The time that a host has to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most of an answer that is read.
const LARGEST: usize = 16 << 20;

/// Redirects of one question that are followed, all at the API's own address: repositories that were renamed.
const REDIRECTS: usize = 3;

/// Pages of comments that are looked through.
const PAGES: usize = 100;

/// What became of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was not there and was added.
    Added,
    /// It was there and says something else now.
    Changed,
    /// It was there and says this.
    Same,
}

/// Says things to Git hosts.
#[derive(Clone, Debug)]
pub struct Client {
    outbound: Outbound,
}

impl Client {
    /// A client whose requests leave that way.
    #[must_use]
    pub const fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    /// Sets a commit's status. Setting it again changes nothing.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn set_status(
        &self,
        account: &Account,
        repository: &str,
        commit: &str,
        status: &Status,
    ) -> Result<(), ForgeError> {
        let (host, at) = place(account, repository)?;
        if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ForgeError::refused(format!("`{commit}` is not the whole id of a commit")));
        }
        let request = host.status(&at, commit, status)?;
        let answer = self.send(account, &request).await?;
        if answer.is_good() || host.was_set(&answer, status) {
            return Ok(());
        }
        Err(refused(account, &request, &answer))
    }

    /// Puts one comment on a pull request: the first time it is added, after that it is changed. It is known by `key`,
    /// which is in it where nobody sees it.
    ///
    /// # Errors
    /// See [`ForgeError`].
    pub async fn put_comment(
        &self,
        account: &Account,
        repository: &str,
        pull: Pull,
        key: &str,
        text: &str,
    ) -> Result<Put, ForgeError> {
        let (host, at) = place(account, repository)?;
        let marker = host.marker(key);
        let text = format!("{marker}{text}");
        let (length, longest) = (text.chars().count(), host.longest());
        if length > longest {
            let name = account.kind().name();
            return Err(ForgeError::refused(format!(
                "the comment has {length} characters, and {name} takes {longest}; make the message shorter"
            )));
        }
        let old = self.find(account, host, &at, pull, marker.trim_end()).await?;
        let (request, put) = match &old {
            None => (host.add(&at, pull, &text)?, Put::Added),
            Some(old) if old.text.trim_end() == text.trim_end() => return Ok(Put::Same),
            Some(old) => (host.change(&at, pull, old, &text)?, Put::Changed),
        };
        let answer = self.send(account, &request).await?;
        if answer.is_good() { Ok(put) } else { Err(refused(account, &request, &answer)) }
    }

    /// The comment that begins with the marker. Who quotes it has something before it.
    async fn find(
        &self,
        account: &Account,
        host: &dyn Host,
        at: &RepositoryAddress,
        pull: Pull,
        marker: &str,
    ) -> Result<Option<Comment>, ForgeError> {
        let mut page = None;
        for _ in 0..PAGES {
            let request = host.comments(at, pull, page)?;
            let answer = self.send(account, &request).await?;
            if !answer.is_good() {
                return Err(refused(account, &request, &answer));
            }
            let found = host.read_comments(&answer, page);
            if let Some(comment) = found.comments.into_iter().find(|comment| comment.text.starts_with(marker))
            {
                return Ok(Some(comment));
            }
            // A next page that is not further would be asked for ever.
            match found.next {
                Some(next) if page.is_none_or(|page| next > page) => page = Some(next),
                _ => break,
            }
        }
        Ok(None)
    }

    /// Sends one request to the account's API and gives its answer, whatever it is.
    ///
    /// # Errors
    /// If there was no answer, or one that leads away from the API: the credential does not go with it.
    pub async fn send(&self, account: &Account, request: &Request) -> Result<Answer, ForgeError> {
        let mut url = request.url(&account.api)?;
        for _ in 0..=REDIRECTS {
            let answer = self.once(account, request, &url).await?;
            if !matches!(answer.status, 301 | 302 | 307 | 308) {
                return Ok(answer);
            }
            let next = answer.header("location").and_then(|to| url.join(to).ok());
            let Some(next) = next.filter(|next| next.origin() == account.api.origin()) else {
                let (attempting, host) = (request.attempting, account.host());
                return Err(ForgeError::refused(format!(
                    "{attempting} on {host} failed: it leads to another address, where the account's token must not go"
                )));
            };
            url = next;
        }
        let (attempting, host) = (request.attempting, account.host());
        Err(ForgeError::refused(format!("{attempting} on {host} failed: it leads in a circle")))
    }

    async fn once(&self, account: &Account, request: &Request, url: &Url) -> Result<Answer, ForgeError> {
        let (attempting, host) = (request.attempting, account.host());
        let failed = |why: &str| ForgeError::transient(format!("{attempting} on {host} failed: {why}"));
        let client = self.outbound.client(url).await.map_err(|problem| match problem {
            AddressError::Unknown(_) => failed(&problem.to_string()),
            refused => ForgeError::refused(format!("{attempting} on {host} failed: {refused}")),
        })?;
        let mut asked = client.request(request.method.clone(), url.clone()).timeout(TIMEOUT);
        asked = asked.header("user-agent", concat!("shipway/", env!("CARGO_PKG_VERSION")));
        for (name, value) in hosts::of(account.kind()).headers(account) {
            asked = asked.header(name, value);
        }
        if let Some(body) = &request.body {
            asked = asked.json(body);
        }
        let mut answer = asked.send().await.map_err(|problem| failed(&unanswered(&problem)))?;
        let (status, headers) = (answer.status().as_u16(), read(answer.headers()));
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(None) => return Ok(Answer { status, headers, body }),
                Ok(Some(chunk)) if body.len() + chunk.len() <= LARGEST => body.extend_from_slice(&chunk),
                Ok(Some(_)) => {
                    return Err(ForgeError::refused(format!(
                        "{attempting} on {host} failed: the answer is larger than {} MiB",
                        LARGEST >> 20
                    )));
                }
                Err(problem) => return Err(failed(&unanswered(&problem))),
            }
        }
    }
}

/// The account's host and the repository at it: a token is not shown to another host, nor another host's repository
/// looked for at this one.
fn place(account: &Account, repository: &str) -> Result<(&'static dyn Host, RepositoryAddress), ForgeError> {
    let at = RepositoryAddress::parse(repository)?;
    if !account.covers(&at) {
        return Err(ForgeError::refused(format!(
            "the repository is at {}, and the account is one of {}",
            at.host(),
            account.host()
        )));
    }
    Ok((hosts::of(account.kind()), at))
}

pub(crate) fn refused(account: &Account, request: &Request, answer: &Answer) -> ForgeError {
    ForgeError::read(account, request, answer, Timestamp::now())
}

fn read(headers: &HeaderMap) -> Vec<(String, String)> {
    let read = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(read).collect()
}

fn unanswered(problem: &reqwest::Error) -> String {
    if problem.is_timeout() {
        format!("no answer within {} s", TIMEOUT.as_secs())
    } else if problem.is_connect() {
        "it could not be connected to".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}
