//! Whether and when a failed attempt is tried again.

use std::time::Duration;

use shipway_events::{
    RunId,
    plan::{Backoff, Retry},
};

/// The pause before the next attempt, after `attempt` (1 for the first) has failed; none if it was the last.
///
/// Without a rule, errors that may well go away get 3 attempts with 2 s and 4 s between them, all others one. `chance`
/// shortens the pauses of a rule that asks for jitter: the same number shortens alike.
pub(crate) fn pause(rule: Option<&Retry>, transient: bool, attempt: u32, chance: u64) -> Option<Duration> {
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
    let whole = seconds.min(YEAR) * 1_000;
    let shorter = if rule.is_some_and(|rule| rule.jitter) { chance % (whole / 2 + 1) } else { 0 };
    Some(Duration::from_millis(whole - shorter))
}

/// The chance in the pause after an attempt: spread over runs, nodes and attempts, and always the same for one of them.
pub(crate) fn seed(run: RunId, node: u32, attempt: u32) -> u64 {
    let (high, low) = run.uuid().as_u64_pair();
    let mut z = high ^ low.rotate_left(32) ^ (u64::from(node) << 32) ^ u64::from(attempt);
    // The finish of SplitMix64: neighbours end up far apart.
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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
        (1..=4).map(|attempt| pause(rule, transient, attempt, 7).map(|pause| pause.as_secs())).collect()
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
        assert_eq!(pause(Some(&far), false, 4_000_000, 0), Some(Duration::from_secs(YEAR)));
    }

    #[test]
    fn jitter_shortens_a_pause_by_up_to_half_and_the_same_chance_shortens_it_alike() {
        let rule =
            Retry { max_attempts: 3, backoff: Backoff::Fixed, delay: 10, max_delay: None, jitter: true };
        let run = |n: u128| format!("{n:032x}").parse::<RunId>().unwrap();
        let pauses: Vec<u128> =
            (0..200).map(|n| pause(Some(&rule), false, 1, seed(run(n), 3, 1)).unwrap().as_millis()).collect();
        assert!(pauses.iter().all(|pause| (5_000..=10_000).contains(pause)));
        let spread = pauses.iter().filter(|pause| **pause < 7_500).count();
        assert!((60..140).contains(&spread), "{spread} of 200 are in the shorter half");
        assert_eq!(seed(run(5), 3, 1), seed(run(5), 3, 1));
        assert_ne!(seed(run(5), 3, 1), seed(run(5), 3, 2));
        let none = Retry { delay: 0, ..rule };
        assert_eq!(pause(Some(&none), false, 1, 99), Some(Duration::ZERO));
    }
}
