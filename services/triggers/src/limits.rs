//! Buckets of tokens, one for each hook and one for all: a noisy sender is told to slow down before the database is
//! touched. Only who knows the secret takes a token, so that nobody else uses them up.
//!
//! And how many deliveries of one source are open at a time, and how many bytes all open ones hold.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use shipway_events::HookId;

/// How much may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Deliveries a second, in the long run; above 0.
    pub per_second: u32,
    /// Deliveries at once after a quiet time; above 0.
    pub burst: u32,
}

impl Rate {
    /// So many a second, five times as many at once; 0 is no limit.
    #[must_use]
    pub fn of(per_second: u32) -> Option<Self> {
        (per_second > 0).then(|| Self { per_second, burst: per_second.saturating_mul(5) })
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self { per_second: 20, burst: 100 }
    }
}

/// The buckets of all hooks, and the one that all share.
#[derive(Debug)]
pub(crate) struct Buckets {
    rate: Option<Rate>,
    in_all: Option<Rate>,
    buckets: Mutex<HashMap<Option<HookId>, Bucket>>,
}

/// What there is no token in, and how long until there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Busy {
    /// The hook's own bucket.
    Hook(Duration),
    /// The bucket of all.
    All(Duration),
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// Fills it to this time.
    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        let (per_second, burst) = (f64::from(rate.per_second.max(1)), f64::from(rate.burst.max(1)));
        self.tokens = passed.mul_add(per_second, self.tokens).min(burst);
        self.at = now;
    }

    /// How long until there is a token; none if there is one.
    fn wait(&self, rate: Rate) -> Option<Duration> {
        let per_second = f64::from(rate.per_second.max(1));
        (self.tokens < 1.0).then(|| Duration::from_secs_f64((1.0 - self.tokens) / per_second))
    }
}

impl Buckets {
    /// Without a rate nothing is limited.
    pub(crate) fn new(rate: Option<Rate>, in_all: Option<Rate>) -> Self {
        Self { rate, in_all, buckets: Mutex::default() }
    }

    /// Takes a token of the hook's bucket and one of all's.
    ///
    /// # Errors
    /// How long until there is one, if there is none now; nothing is taken then.
    pub(crate) fn take(&self, hook: HookId, now: Instant) -> Result<(), Busy> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = [(self.rate, Some(hook)), (self.in_all, None)];
        for (rate, of) in wanted {
            let Some(rate) = rate else { continue };
            let full = Bucket { tokens: f64::from(rate.burst.max(1)), at: now };
            let bucket = buckets.entry(of).or_insert(full);
            bucket.fill(rate, now);
            if let Some(wait) = bucket.wait(rate) {
                return Err(if of.is_some() { Busy::Hook(wait) } else { Busy::All(wait) });
            }
        }
        for of in [Some(hook), None] {
            if let Some(bucket) = buckets.get_mut(&of) {
                bucket.tokens -= 1.0;
            }
        }
        Ok(())
    }

    /// Forgets the buckets of hooks that are no longer.
    pub(crate) fn keep_only(&self, known: impl Fn(HookId) -> bool) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|of, _| of.is_none_or(&known));
    }
}

/// How many deliveries of each source are open.
#[derive(Debug)]
pub(crate) struct Open {
    most: usize,
    by_source: Mutex<HashMap<IpAddr, usize>>,
}

/// An open delivery; over when it is dropped.
#[derive(Debug)]
pub(crate) struct OpenOne {
    of: Arc<Open>,
    source: IpAddr,
}

impl Open {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, by_source: Mutex::default() }
    }

    /// One more of a source; none if it has as many as it may.
    pub(crate) fn one(self: &Arc<Self>, source: IpAddr) -> Option<OpenOne> {
        let source = source.to_canonical();
        let mut by_source = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_source.entry(source).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(OpenOne { of: Arc::clone(self), source })
    }
}

impl Drop for OpenOne {
    fn drop(&mut self) {
        let mut by_source = self.of.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                by_source.remove(&self.source);
            }
        }
    }
}

/// The bytes that all open deliveries hold together.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    most: usize,
    held: Arc<AtomicUsize>,
}

/// Bytes of one delivery; given back when they are dropped.
#[derive(Debug)]
pub(crate) struct Held {
    of: Memory,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// None of it yet.
    pub(crate) fn none(&self) -> Held {
        Held { of: self.clone(), bytes: 0 }
    }
}

impl Held {
    /// Takes more; false if there is no room for it.
    pub(crate) fn more(&mut self, bytes: usize) -> bool {
        let before = self.of.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.of.most {
            self.of.held.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn hook(number: u128) -> HookId {
        HookId::new(Uuid::from_u128(number))
    }

    #[test]
    fn a_burst_then_the_rate_and_others_are_not_touched() {
        let buckets = Buckets::new(Some(Rate { per_second: 10, burst: 3 }), None);
        let (noisy, quiet) = (hook(1), hook(2));
        let start = Instant::now();
        for _ in 0..3 {
            assert!(buckets.take(noisy, start).is_ok());
        }
        let Busy::Hook(wait) = buckets.take(noisy, start).unwrap_err() else { panic!("not the hook's") };
        assert!((0.09..0.11).contains(&wait.as_secs_f64()), "{wait:?}");
        assert!(buckets.take(quiet, start).is_ok());
        assert!(buckets.take(noisy, start + Duration::from_millis(101)).is_ok());
        assert!(buckets.take(noisy, start + Duration::from_millis(102)).is_err());
        let later = start + Duration::from_secs(60);
        assert_eq!((0..10).filter(|_| buckets.take(noisy, later).is_ok()).count(), 3);
        assert!((0..1000).all(|_| Buckets::new(None, None).take(noisy, start).is_ok()));
    }

    #[test]
    fn all_hooks_together_have_a_limit_and_a_refusal_costs_no_token() {
        let buckets = Buckets::new(Rate::of(1), Some(Rate { per_second: 1, burst: 3 }));
        let start = Instant::now();
        for number in 0..3 {
            assert!(buckets.take(hook(number), start).is_ok());
        }
        assert!(matches!(buckets.take(hook(4), start), Err(Busy::All(_))));
        // The hook's own bucket is as full as it was, and the bucket of all is kept whoever goes away.
        buckets.keep_only(|known| known == hook(4));
        assert!(matches!(buckets.take(hook(4), start), Err(Busy::All(_))));
        let later = start + Duration::from_secs(2);
        assert_eq!((0..9).filter(|_| buckets.take(hook(4), later).is_ok()).count(), 2);
    }

    #[test]
    fn open_deliveries_are_counted_by_source() {
        let open = Arc::new(Open::new(2));
        let source = IpAddr::from([10, 0, 0, 1]);
        let both = (open.one(source).unwrap(), open.one("::ffff:10.0.0.1".parse().unwrap()).unwrap());
        assert!(open.one(source).is_none());
        assert!(open.one(IpAddr::from([10, 0, 0, 2])).is_some());
        drop(both);
        assert!(open.one(source).is_some());
        assert!(open.by_source.lock().unwrap().is_empty());
    }

    #[test]
    fn bytes_that_are_held_have_a_limit_and_come_back() {
        let memory = Memory::new(100);
        let (mut one, mut other) = (memory.none(), memory.none());
        assert!(one.more(60) && !other.more(41) && other.more(40) && !one.more(1));
        drop(one);
        assert!(other.more(60));
        drop(other);
        assert_eq!(memory.held.load(Ordering::Relaxed), 0);
    }
}
