//! Strict doubles of the APIs of Git hosts: commit statuses and comments on pull requests, as their documentation has
//! them. A double refuses whatever the host refuses, and what its documentation does not know: another path, an unknown
//! field, a wrong word, a text that is too long, a credential in the wrong form.
//!
//! One file per host says what is answered; this one serves it and remembers what was asked.

mod azure;
mod bitbucket;
mod bitbucket_dc;
mod gitea;
mod github;
mod gitlab;
mod listing;

pub use listing::{REPOSITORIES, SCOPES};

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// The token that doubles take.
pub const TOKEN: &str = "double-t0ken";
/// The login that goes with it, at hosts that want one.
pub const LOGIN: &str = "shipway-bot";
/// The commit that doubles have.
pub const COMMIT: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
/// The pull request that doubles have.
pub const PULL: u64 = 7;

/// Which host a double stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GitHub, by the paths of GitHub Enterprise.
    GitHub,
    /// GitLab, with the repository in a group of a group.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Bitbucket Data Center.
    BitbucketDataCenter,
    /// Azure DevOps.
    Azure,
}

impl Kind {
    /// The path of its API.
    const fn api(self) -> &'static str {
        match self {
            Self::GitHub => "/api/v3",
            Self::GitLab => "/api/v4",
            Self::Gitea => "/api/v1",
            Self::Bitbucket => "/2.0",
            Self::BitbucketDataCenter => "/rest/api/1.0",
            Self::Azure => "",
        }
    }

    /// The path of its repository.
    const fn repository(self) -> &'static str {
        match self {
            Self::GitHub | Self::Gitea | Self::Bitbucket => "/acme/api.git",
            Self::GitLab => "/acme/tools/api.git",
            Self::BitbucketDataCenter => "/scm/acme/api.git",
            Self::Azure => "/acme/shop%20front/_git/api",
        }
    }

    fn answer(self, held: &mut Held, asked: &Asked) -> Reply {
        match self {
            Self::GitHub => github::answer(held, asked),
            Self::GitLab => gitlab::answer(held, asked),
            Self::Gitea => gitea::answer(held, asked),
            Self::Bitbucket => bitbucket::answer(held, asked),
            Self::BitbucketDataCenter => bitbucket_dc::answer(held, asked),
            Self::Azure => azure::answer(held, asked),
        }
    }
}

/// A request as a double got it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// The steps of its path below the API's, decoded each.
    pub path: Vec<String>,
    /// Its query.
    pub query: BTreeMap<String, String>,
    /// Its headers, their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// Its body; null where there is none.
    pub body: Value,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Method and steps, to be matched.
    fn line(&self) -> (&str, Vec<&str>) {
        (&self.method, self.path.iter().map(String::as_str).collect())
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.query.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }

    /// A field of the body that the documentation does not have.
    fn unknown(&self, known: &[&str]) -> Option<String> {
        self.body.as_object()?.keys().find(|name| !known.contains(&name.as_str())).cloned()
    }
}

/// What a double answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers beside the content's type.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Value,
}

impl Reply {
    /// An answer without headers of its own.
    #[must_use]
    pub const fn new(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// A commit's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRow {
    /// What it is of.
    pub context: String,
    /// The host's word.
    pub state: String,
    /// What people read.
    pub description: String,
    /// Where they are led.
    pub target: Option<String>,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommentRow {
    /// Its id.
    pub id: u64,
    /// How often it was changed.
    pub version: u64,
    /// What it says.
    pub text: String,
}

/// What a double has.
#[derive(Debug, Default)]
pub struct Held {
    /// Every status of the commit, in the order in which they were set.
    pub statuses: Vec<StatusRow>,
    /// The comments of the pull request, oldest first.
    pub comments: Vec<CommentRow>,
    /// Every request.
    pub asked: Vec<Asked>,
    /// Answers that are given before anything is looked at.
    pub next: VecDeque<Reply>,
}

impl Held {
    fn set(&mut self, context: &str, state: &str, description: &str, target: Option<&str>) {
        let (context, state, description) = (context.to_owned(), state.to_owned(), description.to_owned());
        self.statuses.push(StatusRow { context, state, description, target: target.map(str::to_owned) });
    }

    fn add(&mut self, text: &str) -> CommentRow {
        let id = 1_000 + self.comments.len() as u64;
        let row = CommentRow { id, version: 0, text: text.to_owned() };
        self.comments.push(row.clone());
        row
    }

    fn change(&mut self, id: &str, text: &str) -> Option<CommentRow> {
        let row = self.comments.iter_mut().find(|row| row.id.to_string() == id)?;
        row.text = text.to_owned();
        row.version += 1;
        Some(row.clone())
    }
}

/// A running double.
#[derive(Debug)]
pub struct Double {
    kind: Kind,
    address: SocketAddr,
    held: Arc<Mutex<Held>>,
    serving: JoinHandle<()>,
}

impl Double {
    /// Starts a double on 127.0.0.1.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(kind: Kind) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the double of a host")?;
        let address = listener.local_addr()?;
        let held = Arc::new(Mutex::new(Held::default()));
        let router = Router::new().fallback(serve).with_state((kind, Arc::clone(&held)));
        let serving = tokio::spawn(async move {
            drop(axum::serve(listener, router).await);
        });
        Ok(Self { kind, address, held, serving })
    }

    /// Its host, as an account names it.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The address of its API.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://{}{}", self.address, self.kind.api())
    }

    /// The address of its repository.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("http://{}{}", self.address, self.kind.repository())
    }

    /// What it has.
    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next request is answered so, whatever it is.
    pub fn answer(&self, reply: Reply) {
        self.held().next.push_back(reply);
    }

    /// So many comments of other people.
    pub fn chatter(&self, count: usize) {
        let mut held = self.held();
        for number in 0..count {
            // Somebody who quotes a comment of Shipway's has not made it.
            held.add(&format!("> <!-- shipway quoted/{number} -->\nI think so too."));
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    State((kind, held)): State<(Kind, Arc<Mutex<Held>>)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read = read(kind, &method, &uri, &headers, &body);
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    let reply = match read {
        Some(asked) => {
            held.asked.push(asked.clone());
            let next = held.next.pop_front().or_else(|| listing::answer(kind, &asked));
            next.unwrap_or_else(|| kind.answer(&mut held, &asked))
        }
        None => Reply::new(404, Value::String("no such page".to_owned())),
    };
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(reply.body)).into_response();
    for (name, value) in reply.headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The request, if it is one of the API with JSON in it.
fn read(kind: Kind, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Asked> {
    let path = uri.path().strip_prefix(kind.api())?.strip_prefix('/')?;
    let path: Option<Vec<String>> = path.split('/').map(decoded).collect();
    let query = uri.query().unwrap_or_default().split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((decoded(name)?, decoded(value)?))
    });
    let headers: BTreeMap<String, String> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let body = match body {
        [] => Value::Null,
        body if headers.get("content-type").is_some_and(|kind| kind.starts_with("application/json")) => {
            serde_json::from_slice(body).ok()?
        }
        _ => return None,
    };
    Some(Asked { method: method.to_string(), path: path?, query: query.collect(), headers, body })
}

fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// Whether it is an address of the web.
fn is_web(address: &str) -> bool {
    address.starts_with("http://") || address.starts_with("https://")
}

/// A page of a list: from an item on, so many.
fn page<T>(all: &[T], from: usize, count: usize) -> (&[T], bool) {
    let from = from.min(all.len());
    let to = (from + count).min(all.len());
    (&all[from..to], to < all.len())
}
