//! Whether and when a failed attempt is tried again.

use std::time::Duration;

use shipway_events::plan::{Backoff, Retry};

/// The pause before the next attempt, after `attempt` (1 for the first) has failed; none if it was the last.
///
/// Without a rule, errors that may well go away get 3 attempts with 2 s and 4 s between them, all others one.
pub(crate) fn pause(rule: Option<&Retry>, transient: bool, attempt: u32) -> Option<Duration> {
    const ATTEMPTS: u32 = 3;
    const FIRST: u64 = 2;
    let doubled = |first: u64| first.saturating_mul(1 << attempt.saturating_sub(1).min(32));
    let seconds = match rule {
        Some(rule) if attempt >= rule.max_attempts => return None,
        Some(Retry { backoff: Backoff::Fixed, delay, .. }) => u64::from(*delay),
        Some(Retry { backoff: Backoff::Exponential, delay, max_delay, .. }) => {
            doubled(u64::from(*delay)).min(max_delay.map_or(u64::MAX, u64::from))
        }
        None if transient && attempt < ATTEMPTS => doubled(FIRST),
        None => return None,
    };
    Some(Duration::from_secs(seconds.min(YEAR)))
}

/// The pause before a node is asked for again, after `losses` of its attempts were lost: none after the first,
/// growing to 5 s, so that an executor that refuses everything does not fill the log.
pub(crate) fn pause_after_loss(losses: u32) -> Duration {
    match losses {
        0 | 1 => Duration::ZERO,
        2 => Duration::from_millis(500),
        3 => Duration::from_secs(2),
        _ => Duration::from_secs(5),
    }
}

const YEAR: u64 = 365 * 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(rule: Option<&Retry>, transient: bool) -> Vec<Option<u64>> {
        (1..=4).map(|attempt| pause(rule, transient, attempt).map(|pause| pause.as_secs())).collect()
    }

    #[test]
    fn without_a_rule_only_transient_errors_are_tried_again() {
        assert_eq!(pauses(None, true), [Some(2), Some(4), None, None]);
        assert_eq!(pauses(None, false), [None, None, None, None]);
    }

    #[test]
    fn a_rule_counts_attempts_for_every_error() {
        let fixed =
            Retry { max_attempts: 3, backoff: Backoff::Fixed, delay: 60, max_delay: None, jitter: false };
        assert_eq!(pauses(Some(&fixed), false), [Some(60), Some(60), None, None]);
        let once = Retry { max_attempts: 1, ..fixed };
        assert_eq!(pauses(Some(&once), true), [None, None, None, None]);
    }

    #[test]
    fn an_exponential_pause_doubles_up_to_its_limit() {
        let rule = Retry {
            max_attempts: 9,
            backoff: Backoff::Exponential,
            delay: 5,
            max_delay: Some(12),
            jitter: false,
        };
        assert_eq!(pauses(Some(&rule), false), [Some(5), Some(10), Some(12), Some(12)]);
        let far = Retry {
            max_attempts: u32::MAX,
            backoff: Backoff::Exponential,
            delay: 5,
            max_delay: None,
            jitter: false,
        };
        assert_eq!(pause(Some(&far), false, 4_000_000), Some(Duration::from_secs(YEAR)));
    }
}
