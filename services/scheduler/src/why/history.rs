//! How long things took before: what is expected of them now.

use std::{collections::HashMap, time::Duration};

use shipway_contracts::{Error, v1::ExpectedEnd};
use shipway_events::{NodeStatus, RunStatus, Timestamp};

use crate::service::Shared;

/// So many successes are looked at.
const LOOKED_AT: usize = 20;
/// Fewer tell nothing.
const ENOUGH: usize = 3;
/// No further run is read once so many nodes have been: an answer must not take minutes.
const NODES: usize = 20_000;

/// How long the last successes of a flow took, and those of its nodes.
#[derive(Debug, Default)]
pub(super) struct History {
    runs: Vec<Duration>,
    nodes: HashMap<String, Vec<Duration>>,
}

impl Shared {
    /// What the last runs of a flow that ended well took.
    pub(super) async fn history(&self, project: &str, path: &str) -> Result<History, Error> {
        let mut history = History::default();
        let mut read = 0;
        for run in self.last_of(project, path, RunStatus::Success, LOOKED_AT).await? {
            let Ok(state) = self.book.look(run).await else { continue };
            if let (Some(started), Some(ended)) = (state.started_at(), state.ended_at()) {
                history.runs.push(ended.since(started));
            }
            for (n, node) in (0..).zip(state.nodes()) {
                if let (NodeStatus::Success, Some(began), Some(ended)) =
                    (node.status, node.started_at, node.ended_at)
                {
                    history.nodes.entry(state.name_of(n)).or_default().push(ended.since(began));
                }
            }
            read += state.nodes().len();
            if read > NODES {
                break;
            }
        }
        Ok(history)
    }
}

impl History {
    /// When a run would end that began then.
    pub(super) fn of_run(&self, since: Timestamp) -> ExpectedEnd {
        expected(self.runs.clone(), since)
    }

    /// When a node would end that began then.
    pub(super) fn of_node(&self, name: &str, since: Timestamp) -> ExpectedEnd {
        expected(self.nodes.get(name).cloned().unwrap_or_default(), since)
    }
}

/// The median and the 90th percentile, by the nearest rank.
fn expected(mut took: Vec<Duration>, since: Timestamp) -> ExpectedEnd {
    took.sort_unstable();
    let successes = u32::try_from(took.len()).unwrap_or(u32::MAX);
    if took.len() < ENOUGH {
        return ExpectedEnd { successes, ..ExpectedEnd::default() };
    }
    let rank = |percent: usize| took[(took.len() * percent).div_ceil(100).max(1) - 1];
    let (median, p90) = (rank(50), rank(90));
    let ms = |took: Duration| i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    ExpectedEnd {
        median_at: since.plus(median).to_string(),
        p90_at: since.plus(p90).to_string(),
        median_ms: ms(median),
        p90_ms: ms(p90),
        successes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_what_most_took_and_too_few_tell_nothing() {
        let since = Timestamp::from_micros(0);
        let seconds = |all: &[u64]| expected(all.iter().copied().map(Duration::from_secs).collect(), since);
        assert_eq!(seconds(&[1, 9]), ExpectedEnd { successes: 2, ..ExpectedEnd::default() });
        let few = seconds(&[9, 1, 2]);
        assert_eq!((few.median_ms, few.p90_ms, few.successes), (2_000, 9_000, 3));
        assert_eq!(few.median_at, "1970-01-01T00:00:02.000000Z");
        let all: Vec<u64> = (1..=20).rev().collect();
        let many = seconds(&all);
        assert_eq!((many.median_ms, many.p90_ms, many.successes), (10_000, 18_000, 20));
    }
}
