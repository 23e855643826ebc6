//! A bucket of tokens for each hook: a noisy sender is told to slow down before the database is touched.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use shipway_events::HookId;

/// How much a hook may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Deliveries a second, in the long run; above 0.
    pub per_second: u32,
    /// Deliveries at once after a quiet time; above 0.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_second: 20, burst: 100 }
    }
}

/// The buckets of all hooks.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate: Option<Rate>,
    buckets: Mutex<HashMap<HookId, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Buckets {
    /// Without a rate nothing is limited.
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self { rate, buckets: Mutex::default() }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long until there is one, if there is none now.
    pub(crate) fn take(&self, hook: HookId, now: Instant) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let (per_second, burst) = (f64::from(rate.per_second.max(1)), f64::from(rate.burst.max(1)));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(hook).or_insert(Bucket { tokens: burst, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = passed.mul_add(per_second, bucket.tokens).min(burst);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - bucket.tokens) / per_second))
    }

    /// Forgets the buckets of hooks that are no longer.
    pub(crate) fn keep_only(&self, known: impl Fn(HookId) -> bool) {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).retain(|hook, _| known(*hook));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_burst_then_the_rate_and_others_are_not_touched() {
        let buckets = Buckets::new(Some(Rate { per_second: 10, burst: 3 }));
        let (noisy, quiet) = (HookId::new(Uuid::from_u128(1)), HookId::new(Uuid::from_u128(2)));
        let start = Instant::now();
        for _ in 0..3 {
            assert!(buckets.take(noisy, start).is_ok());
        }
        let wait = buckets.take(noisy, start).unwrap_err();
        assert!((0.09..0.11).contains(&wait.as_secs_f64()), "{wait:?}");
        assert!(buckets.take(quiet, start).is_ok());
        assert!(buckets.take(noisy, start + Duration::from_millis(101)).is_ok());
        assert!(buckets.take(noisy, start + Duration::from_millis(102)).is_err());
        let later = start + Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| buckets.take(noisy, later).is_ok()).count(), 3);
        assert!((0..1000).all(|_| Buckets::new(None).take(noisy, start).is_ok()));
    }
}
