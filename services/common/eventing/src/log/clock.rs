//! The log's clock: started at a known instant, carried forward on the clock that also counts suspends.

use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use shipway_events::Timestamp;

/// A clock that leads by less than this is waited for; one that leads by more belongs to a database whose own clock was
/// set back, and nobody waits for that.
const LEAD: i64 = 1_000_000;

/// Never falls, whatever is done to the machine's wall clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// What to add to the time since boot, in microseconds.
    offset: AtomicI64,
    /// The latest time that it has shown.
    shown: AtomicI64,
}

impl Clock {
    /// A clock that shows the wall clock's time, but not a time before `last`.
    pub(crate) fn start(last: Timestamp) -> Self {
        let clock = Self::at(Timestamp::from_micros(wall()));
        clock.observe(last);
        clock
    }

    /// A clock that shows this time now. This machine's wall clock has no part in it.
    pub(crate) fn at(now: Timestamp) -> Self {
        let offset = AtomicI64::new(now.micros() - since_boot());
        Self { offset, shown: AtomicI64::new(i64::MIN) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let at = since_boot() + self.offset.load(Ordering::Acquire);
        Timestamp::from_micros(self.shown.fetch_max(at, Ordering::AcqRel).max(at))
    }

    /// Something was known to have happened at `at`: from now on the clock is not behind it.
    pub(crate) fn observe(&self, at: Timestamp) {
        self.shown.fetch_max(at.micros(), Ordering::AcqRel);
        self.offset.fetch_max(at.micros() - since_boot(), Ordering::AcqRel);
    }

    /// It is `now` by the clock that counts: this one goes on from there, or waits if it has run ahead.
    pub(crate) fn correct(&self, now: Timestamp) {
        let shown = self.shown.load(Ordering::Acquire);
        let set_back = shown.saturating_sub(now.micros()) > LEAD;
        let now = if set_back { shown } else { now.micros() };
        self.offset.store(now - since_boot(), Ordering::Release);
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

    #[test]
    fn a_clock_that_ran_ahead_waits_and_one_that_is_behind_is_set() {
        let second = |n: i64| Timestamp::from_micros(n * 1_000_000);
        // Whatever this machine's wall clock says.
        let clock = Clock::at(second(1_000));
        let first = clock.now();
        assert!(first >= second(1_000) && first < second(1_010), "{first}");
        clock.correct(second(2_000));
        assert!(clock.now() >= second(2_000));
        // It has run ahead by half a second.
        let ahead = clock.now();
        clock.correct(Timestamp::from_micros(ahead.micros() - 500_000));
        let waits = clock.now();
        assert!(
            waits >= ahead && waits.since(ahead).as_millis() < 400,
            "it goes on only when its time has come"
        );
        while clock.now() <= waits {}
        assert!(clock.now() < second(2_010));
    }

    #[test]
    fn nobody_waits_for_a_database_whose_clock_was_set_back() {
        let clock = Clock::at(Timestamp::from_micros(1_000_000_000));
        let before = clock.now();
        clock.correct(Timestamp::from_micros(400_000_000));
        while clock.now() <= before {}
        assert!(clock.now().since(before).as_secs() < 5);
    }
}
