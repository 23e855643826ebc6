//! The measured cluster's NATS: a server of its own, and how much it took.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Context;
use rustix::process::Signal;
use serde_json::Value;

use super::process::{Process, make};

/// A running server with JetStream.
#[derive(Debug)]
pub(crate) struct Nats {
    process: Process,
    port: u16,
    monitor: u16,
    client: reqwest::Client,
}

/// How many messages the streams have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) events: u64,
    pub(crate) work: u64,
}

impl Nats {
    /// Starts a server in a folder of its own and waits until it is ready.
    pub(crate) async fn start(
        program: &Path,
        folder: &Path,
        port: u16,
        monitor: u16,
    ) -> anyhow::Result<Self> {
        make(folder)?;
        let mut command = Command::new(program);
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-m", &monitor.to_string(), "-js", "-sd"]);
        command.arg(folder.join("store"));
        let mut process = Process::start("nats", &command, Signal::TERM, Some(folder.join("log")))?;
        let client = reqwest::Client::new();
        let health = format!("http://127.0.0.1:{monitor}/healthz");
        let healthy =
            || async { client.get(&health).send().await.is_ok_and(|answer| answer.status().is_success()) };
        process.ready(healthy).await?;
        Ok(Self { process, port, monitor, client })
    }

    /// Its process.
    pub(crate) const fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The URL.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// CPU time of the server.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.process.cpu()
    }

    /// How many messages its streams have taken.
    pub(crate) async fn taken(&self) -> anyhow::Result<Taken> {
        let url = format!("http://127.0.0.1:{}/jsz?accounts=true&streams=true", self.monitor);
        let state: Value =
            self.client.get(url).send().await.context("asking NATS for its streams")?.json().await?;
        Ok(taken(&state))
    }
}

fn taken(state: &Value) -> Taken {
    let accounts = state["account_details"].as_array().into_iter().flatten();
    let streams = accounts.flat_map(|account| account["stream_detail"].as_array().into_iter().flatten());
    let mut taken = Taken::default();
    for stream in streams {
        let last = stream["state"]["last_seq"].as_u64().unwrap_or(0);
        match stream["name"].as_str() {
            Some(name) if name.starts_with("SHIPWAY_EVENTS_") => taken.events += last,
            Some(name) if name.starts_with("SHIPWAY_WORK_") => taken.work += last,
            _ => {}
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_streams_of_shipway_are_counted_and_no_others() {
        let stream =
            |name: &str, last: u64| json!({"name": name, "state": {"messages": 1, "last_seq": last}});
        let state = json!({"account_details": [{"stream_detail":
            [stream("SHIPWAY_EVENTS_0A", 40), stream("SHIPWAY_WORK_0A", 3), stream("FLOOR", 7)]}]});
        assert_eq!(taken(&state), Taken { events: 40, work: 3 });
        assert_eq!(taken(&json!({})), Taken::default());
    }
}
