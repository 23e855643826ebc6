//! Receives the messages of the demo's production flow and counts them by their key.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use anyhow::Context;
use axum::{Router, extract::State, http::HeaderMap, routing::post};
use tokio::{net::TcpListener, task::JoinHandle};

type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

/// A receiver on a port of its own.
#[derive(Debug)]
pub(crate) struct Receiver {
    url: String,
    counts: Counts,
    server: JoinHandle<()>,
}

/// What was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Messages, repeats counted.
    pub(crate) all: usize,
    /// Keys.
    pub(crate) keys: usize,
}

impl Receiver {
    /// Starts it.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the demo's messages")?;
        let url = format!("http://{}/released", listener.local_addr()?);
        let counts = Counts::default();
        let app = Router::new().route("/released", post(count)).with_state(counts.clone());
        let server = tokio::spawn(async move {
            // It ends with the demo.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, counts, server })
    }

    /// Where messages go.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Stops it; what was received.
    pub(crate) fn stop(self) -> Received {
        self.server.abort();
        let counts = lock(&self.counts);
        Received { all: counts.values().sum(), keys: counts.len() }
    }
}

async fn count(State(counts): State<Counts>, headers: HeaderMap) {
    let key = headers.get("webhook-id").and_then(|value| value.to_str().ok()).unwrap_or("without a key");
    *lock(&counts).entry(key.to_owned()).or_default() += 1;
}

fn lock(counts: &Counts) -> MutexGuard<'_, BTreeMap<String, usize>> {
    counts.lock().expect("nobody panics while counting")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn repeats_of_a_key_count_once() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let receiver = Receiver::start().await.unwrap();
        for key in ["a", "b", "a"] {
            let request = reqwest::Client::new().post(receiver.url()).header("webhook-id", key).body("x");
            assert!(request.send().await.unwrap().status().is_success());
        }
        assert_eq!(receiver.stop(), Received { all: 3, keys: 2 });
    }
}
