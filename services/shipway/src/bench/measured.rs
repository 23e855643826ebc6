//! What is measured: a Shipway that is looked at from outside only, whichever way it runs.

use std::time::Duration;

use anyhow::Context;
use shipway_contracts::v1::{GetLogReply, GetLogRequest, events_client::EventsClient};
use tonic::transport::{Channel, Endpoint};

use super::report::Report;

/// A Shipway and its counters.
pub(crate) trait Measured {
    /// What had been spent at one moment.
    type Mark;

    /// Where runs are started and watched, and the log is.
    fn runs(&self) -> &Channel;

    /// Where projects are declared.
    fn projects(&self) -> &Channel;

    /// The address of the webhook ingress.
    fn ingress(&self) -> &str;

    /// Prints how long each process took to become ready, and the memory that they hold.
    fn report_start(&self, report: &Report) -> anyhow::Result<()>;

    /// Resident memory of all of Shipway's own processes in MB.
    fn rss_mb(&self) -> anyhow::Result<f64>;

    /// What has crossed from process to process so far, once all of it has.
    async fn traffic(&mut self) -> anyhow::Result<Traffic>;

    /// Remembers what has been spent until now.
    async fn mark(&mut self) -> anyhow::Result<Self::Mark>;

    /// What has been spent since, once readers have caught up with the log.
    async fn spent_since(&mut self, mark: Self::Mark) -> anyhow::Result<Spent>;

    /// Prints what the machine takes for what this Shipway is made of.
    async fn floor(&mut self, report: &Report) -> anyhow::Result<()>;

    /// Stops all of it.
    async fn stop(self) -> anyhow::Result<()>;
}

/// What a workload took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent {
    /// CPU time of all processes, the load driver's not included.
    pub(crate) cpu: Duration,
    /// By whose processes, where there are several: a name and its time.
    pub(crate) cpu_of: Vec<(&'static str, Duration)>,
    /// Transactions of the databases.
    pub(crate) transactions: f64,
    /// How many of them there would have been without the workload.
    pub(crate) transactions_at_rest: f64,
    /// Bytes that the databases wrote ahead.
    pub(crate) wal: u64,
    /// By whom, where it can be told apart: a name and its bytes.
    pub(crate) wal_of: Vec<(&'static str, i64)>,
    /// Bytes that are stored: a name and its bytes.
    pub(crate) stored: Vec<(&'static str, i64)>,
}

/// What has crossed from process to process, and the log's commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Commits of the log by the process that decides runs.
    pub(crate) commits: u64,
    /// Messages that JetStream took.
    pub(crate) messages: u64,
    /// How many of them were offers of work.
    pub(crate) bells: u64,
    /// Calls by which executors told of outcomes.
    pub(crate) completions: u64,
}

impl Traffic {
    /// What has come since.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            commits: self.commits - before.commits,
            messages: self.messages - before.messages,
            bells: self.bells - before.bells,
            completions: self.completions - before.completions,
        }
    }

    /// How often something went from a process to the next on the way of so many nodes: an offer to NATS and from
    /// there to the executor; the call that tells an outcome, and its answer where that brings the next work, which
    /// is how every node came that no offer brought.
    pub(crate) const fn hops(self, nodes: u64) -> u64 {
        if self.completions == 0 {
            return 0;
        }
        2 * self.bells + self.completions + nodes.saturating_sub(self.bells)
    }
}

/// Connects to a service that is there.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Channel> {
    Endpoint::from_shared(url.to_owned())?.connect().await.with_context(|| format!("connecting to {url}"))
}

/// The log's counters of the process that answers.
pub(crate) async fn log(channel: &Channel) -> anyhow::Result<GetLogReply> {
    let mut events = EventsClient::new(channel.clone());
    Ok(events.get_log(GetLogRequest {}).await.context("reading the log's counters")?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_offers_outcomes_and_answers_that_bring_work() {
        // One run of ten nodes in sequence: the first is offered, nine come with answers.
        let sequence = Traffic { commits: 11, messages: 25, bells: 1, completions: 10 };
        assert_eq!(sequence.hops(10), 2 + 10 + 9);
        // Ten side by side, each offered, outcomes told in two calls.
        let parallel = Traffic { bells: 10, completions: 2, ..Traffic::default() };
        assert_eq!(parallel.hops(10), 20 + 2);
        // In one process nothing crosses.
        assert_eq!(Traffic { commits: 11, ..Traffic::default() }.hops(10), 0);
        assert_eq!(sequence.since(sequence), Traffic::default());
    }
}
