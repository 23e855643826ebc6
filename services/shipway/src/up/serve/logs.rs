//! The logs of nodes for readers anywhere: what is stored, then the live tail of the host that writes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, stream::FuturesUnordered};
use shipway_contracts::{Targets, v1::logs_server::LogsServer};
use shipway_eventing::{
    Leases, NodeLogs,
    node_logs::{LiveTail, Tail, TailError},
};
use shipway_events::RunId;
use shipway_executor::{LogsApi, RemoteTail};
use tokio::time::Instant;

use super::ground::Ground;

/// How long a look at which executors are there is good for.
const FRESH: Duration = Duration::from_millis(500);

/// `shipway.v1.Logs` for all hosts.
pub(super) fn server(ground: &Ground) -> LogsServer<LogsApi<Arc<Tails>>> {
    let tails = Tails { leases: ground.leases.clone(), known: Mutex::default() };
    LogsServer::new(LogsApi::new(NodeLogs::new(&ground.blobs).reader(Arc::new(tails))))
}

/// The executors that may be writing a log.
pub(super) struct Tails {
    leases: Leases,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    at: Option<Instant>,
    executors: BTreeMap<String, RemoteTail>,
}

impl Tails {
    async fn executors(&self) -> Result<Vec<RemoteTail>, TailError> {
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.at.is_some_and(|at| at.elapsed() < FRESH) {
                return Ok(known.executors.values().cloned().collect());
            }
        }
        let members = self.leases.members("executor").await;
        let members =
            members.map_err(|error| TailError(format!("the hosts could not be looked up: {error}")))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut executors = BTreeMap::new();
        for member in members.into_iter().filter(|member| !member.left.is_zero()) {
            let way = known.executors.remove(&member.address).map_or_else(
                || Targets::new(std::slice::from_ref(&member.address)).map(|(_, way)| RemoteTail::new(way)),
                Ok,
            );
            match way {
                Ok(way) => drop(executors.insert(member.address, way)),
                Err(error) => tracing::warn!(%error, "an executor's logs cannot be followed"),
            }
        }
        (known.at, known.executors) = (Some(Instant::now()), executors);
        Ok(known.executors.values().cloned().collect())
    }
}

#[async_trait]
impl LiveTail for Tails {
    /// Asks all of them at once: whoever writes the log answers; the others say at once that they do not.
    async fn tail(
        &self,
        run: RunId,
        node: u32,
        from: u64,
        wait: Duration,
    ) -> Result<Option<Tail>, TailError> {
        let executors = self.executors().await?;
        let ask = |executor: RemoteTail| async move { executor.tail(run, node, from, wait).await };
        let mut asked: FuturesUnordered<_> = executors.into_iter().map(ask).collect();
        let mut unheard = None;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(None) => {}
                Ok(tail) => return Ok(tail),
                Err(error) => unheard = Some(error),
            }
        }
        unheard.map_or(Ok(None), Err)
    }
}
