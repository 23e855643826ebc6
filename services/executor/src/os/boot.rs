//! Time since the machine's boot, and a timer on it. It goes on while the machine sleeps and nobody can set it: a
//! lease that is counted on it never lasts longer than its giver thinks.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use serde::{Deserialize, Serialize};

/// An instant on `CLOCK_BOOTTIME`: the same to every process of this machine, and to none of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootTime(Duration);

impl BootTime {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let (seconds, nanoseconds) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
        Self(Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds))
    }

    /// That much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }

    /// How long until it comes; zero when it has.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }

    /// Whether it has come.
    #[must_use]
    pub fn has_come(self) -> bool {
        Self::now() >= self
    }
}

/// A timer for one thread, which keeps the time also over a sleep of the machine or of the process.
#[derive(Debug)]
pub(crate) struct Alarm(OwnedFd);

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?))
    }

    /// Sets it to this time; one that has come is told at once.
    pub(crate) fn set(&self, at: BootTime) -> io::Result<()> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let seconds = at.0.as_secs().try_into().unwrap_or(i64::MAX);
        // All zeroes would mean never.
        let nanoseconds = i64::from(at.0.subsec_nanos()).max(i64::from(seconds == 0));
        let it_value = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let spec = Itimerspec { it_interval: zero, it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &spec)?;
        Ok(())
    }

    /// Waits for the time that it is set to, or will be.
    pub(crate) fn wait(&self) -> io::Result<()> {
        loop {
            match rustix::io::read(&self.0, &mut [0_u8; 8]) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_comes_at_its_time_and_not_before_and_can_be_put_off() {
        let alarm = Alarm::new().unwrap();
        let first = BootTime::now().plus(Duration::from_millis(20));
        let later = BootTime::now().plus(Duration::from_millis(60));
        alarm.set(first).unwrap();
        alarm.set(later).unwrap();
        alarm.wait().unwrap();
        assert!(later.has_come() && later.remaining().is_zero());
        // A time in the past comes at once.
        alarm.set(first).unwrap();
        alarm.wait().unwrap();
    }
}
