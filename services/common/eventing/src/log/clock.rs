//! The log's clock: started at a known instant, carried forward on the clock that also counts suspends.

use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use shipway_events::Timestamp;

/// Never falls and never stands still, whatever is done to the machine's wall clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// What to add to the time since boot, in microseconds. Only grows.
    offset: AtomicI64,
}

impl Clock {
    /// A clock that shows the wall clock's time, but not a time before `last`.
    pub(crate) fn start(last: Timestamp) -> Self {
        let clock = Self { offset: AtomicI64::new(wall() - since_boot()) };
        clock.observe(last);
        clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(since_boot() + self.offset.load(Ordering::Acquire))
    }

    /// Something was known to have happened at `at`: from now on the clock is not behind it.
    pub(crate) fn observe(&self, at: Timestamp) {
        self.offset.fetch_max(at.micros() - since_boot(), Ordering::AcqRel);
    }
}

fn wall() -> i64 {
    micros(clock_gettime(ClockId::Realtime))
}

fn since_boot() -> i64 {
    micros(clock_gettime(ClockId::Boottime))
}

fn micros(time: rustix::time::Timespec) -> i64 {
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_after_the_last_event_and_goes_on_from_there() {
        let ahead = Timestamp::from_micros(wall() + 3_600_000_000);
        let clock = Clock::start(ahead);
        let first = clock.now();
        assert!(first >= ahead);
        while clock.now() <= first {}
    }

    #[test]
    fn an_observed_instant_moves_it_forward_only() {
        let clock = Clock::start(Timestamp::from_micros(0));
        let before = clock.now();
        clock.observe(Timestamp::from_micros(before.micros() - 10_000_000));
        let after = clock.now();
        assert!(after >= before && after.since(before).as_secs() < 5);
        clock.observe(after.plus(std::time::Duration::from_secs(60)));
        assert!(clock.now().since(after).as_secs() >= 60);
    }
}
