//! Clients that ask a service every 20 ms, on one connection and on a new one each time, and count what they
//! were told. Nothing is tried twice: whatever goes wrong is counted.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    task::JoinSet,
};

use crate::cli::{Style, Table, short_commit};

const EVERY: Duration = Duration::from_millis(20);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients that ask until they are stopped.
#[derive(Debug)]
pub(crate) struct Asking {
    stop: watch::Sender<bool>,
    clients: JoinSet<Answers>,
    asked: Arc<AtomicUsize>,
}

/// What all clients were told.
#[derive(Debug)]
pub(crate) struct Told(Vec<Answers>);

/// What one client was told.
#[derive(Clone, Debug, Default)]
struct Answers {
    service: String,
    keep: bool,
    asked: usize,
    good: usize,
    refused: usize,
    broken: usize,
    server_errors: usize,
    slowest: Duration,
    commits: BTreeSet<String>,
    last: String,
}

impl Asking {
    /// Starts two clients for each service.
    pub(crate) fn start(services: Vec<(String, String)>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        let asked = Arc::new(AtomicUsize::new(0));
        for (service, address) in services {
            for keep in [true, false] {
                let answers = Answers { service: service.clone(), keep, ..Answers::default() };
                clients.spawn(ask(answers, address.clone(), stopped.clone(), asked.clone()));
            }
        }
        Self { stop, clients, asked }
    }

    /// Waits until all clients together have asked so many times more.
    pub(crate) async fn settle(&self, times: usize) {
        let until = self.asked.load(Ordering::Relaxed) + times;
        while self.asked.load(Ordering::Relaxed) < until {
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Stops them; what they were told.
    pub(crate) async fn stop(self) -> Told {
        self.stop.send_replace(true);
        let mut all = self.clients.join_all().await;
        all.sort_by(|a, b| (&a.service, !a.keep).cmp(&(&b.service, !b.keep)));
        Told(all)
    }
}

impl Told {
    /// For people.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&[
            "ASKED",
            "CONNECTIONS",
            "REQUESTS",
            "GOOD",
            "REFUSED",
            "BROKEN",
            "5XX",
            "SLOWEST",
            "COMMITS SEEN",
        ]);
        for answers in &self.0 {
            let number = |count: usize, bad: bool| {
                (count.to_string(), if bad && count > 0 { Style::Bad } else { Style::Plain })
            };
            let commits: Vec<_> = answers.commits.iter().map(|commit| short_commit(commit)).collect();
            table.styled([
                (answers.service.clone(), Style::Plain),
                (if answers.keep { "kept" } else { "new" }.to_owned(), Style::Plain),
                number(answers.asked, false),
                number(answers.good, false),
                number(answers.refused, true),
                number(answers.broken, true),
                number(answers.server_errors, true),
                (format!("{} ms", answers.slowest.as_millis()), Style::Plain),
                (commits.join(" "), Style::Plain),
            ]);
        }
        table
    }

    /// Everything that a client should not have seen.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for answers in &self.0 {
            let bad = answers.asked - answers.good;
            if bad > 0 || answers.asked == 0 {
                wrong.push(format!(
                    "a client of {} ({} connections) asked {} times: {} refused, {} broken, {} answers of 500 and \
                     above{}",
                    answers.service,
                    if answers.keep { "kept" } else { "new" },
                    answers.asked,
                    answers.refused,
                    answers.broken,
                    answers.server_errors,
                    if answers.last.is_empty() { String::new() } else { format!("; the last: {}", answers.last) }
                ));
            }
        }
        wrong
    }
}

async fn ask(
    mut answers: Answers,
    address: String,
    mut stopped: watch::Receiver<bool>,
    asked: Arc<AtomicUsize>,
) -> Answers {
    let mut kept = None;
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopped.changed() => return answers,
        }
        let started = Instant::now();
        let result =
            tokio::time::timeout(PATIENCE, exchange(&address, "/version", answers.keep, &mut kept)).await;
        answers.slowest = answers.slowest.max(started.elapsed());
        answers.asked += 1;
        asked.fetch_add(1, Ordering::Relaxed);
        match result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(reply) if reply.status >= 500 => {
                answers.server_errors += 1;
                answers.last = format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body));
            }
            Ok(reply) => {
                answers.good += 1;
                let version: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                if let Some(commit) = version["commit"].as_str() {
                    answers.commits.insert(commit.to_owned());
                }
            }
            Err(error) => {
                kept = None;
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                *(if refused { &mut answers.refused } else { &mut answers.broken }) += 1;
                answers.last = error.to_string();
            }
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// Asks once, on a connection of its own.
pub(crate) async fn once(address: &str, path: &str) -> io::Result<Reply> {
    tokio::time::timeout(PATIENCE, exchange(address, path, false, &mut None))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(address: &str, path: &str, keep: bool, kept: &mut Option<TcpStream>) -> io::Result<Reply> {
    let host = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(host).await?;
            stream.set_nodelay(true)?;
            stream
        }
    };
    let connection = if keep { "keep-alive" } else { "close" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (reply, closes) = read(&mut stream).await?;
    if keep && !closes {
        *kept = Some(stream);
    }
    Ok(reply)
}

async fn read(stream: &mut TcpStream) -> io::Result<(Reply, bool)> {
    let mut buffer = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let parsed = head.parse(&buffer).map_err(io::Error::other)?;
        if let httparse::Status::Complete(begin) = parsed {
            let header = |name: &str| {
                let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                found.map(|header| String::from_utf8_lossy(header.value).to_ascii_lowercase())
            };
            let closes = header("connection").is_some_and(|value| value.contains("close"));
            let length = header("content-length").and_then(|value| value.trim().parse::<usize>().ok());
            let length = length.ok_or_else(|| io::Error::other("an answer without a length"))?;
            let status = head.code.unwrap_or(0);
            if buffer.len() >= begin + length {
                return Ok((Reply { status, body: buffer[begin..begin + length].to_vec() }, closes));
            }
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    async fn serve(app: Router) -> (String, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        (address, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
    }

    async fn told(address: String) -> Told {
        let asking = Asking::start(vec![("shop".to_owned(), address)]);
        tokio::time::timeout(Duration::from_secs(20), asking.settle(10)).await.unwrap();
        asking.stop().await
    }

    #[tokio::test]
    async fn a_service_that_answers_is_never_wrong() {
        let app = Router::new().route("/version", get(|| async { r#"{"commit":"abc"}"# }));
        let (address, server) = serve(app).await;
        let told = told(address).await;
        server.abort();
        assert!(told.wrong().is_empty(), "{:?}", told.wrong());
        assert!(told.0.iter().all(|answers| answers.commits.contains("abc")), "{told:?}");
    }

    #[tokio::test]
    async fn errors_and_refusals_are_counted() {
        let app = Router::new().route("/version", get(|| async { StatusCode::BAD_GATEWAY }));
        let (address, server) = serve(app).await;
        let bad = told(address.clone()).await;
        assert!(bad.0.iter().all(|answers| answers.server_errors == answers.asked), "{bad:?}");
        server.abort();
        let _ = server.await;
        let gone = told(address).await;
        assert!(gone.0.iter().all(|answers| answers.refused == answers.asked), "{gone:?}");
        assert_eq!(gone.wrong().len(), 2);
    }
}
