//! A shim's share of its executor's lease: the command ends in time, whatever has become of the executor.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    lease::Deadlines,
    os::boot::{Alarm, BootTime},
};

/// The newest deadlines, kept by a thread that waits for them.
#[derive(Debug)]
pub(super) struct Guard {
    deadlines: Mutex<Option<Deadlines>>,
    alarm: Alarm,
}

impl Guard {
    /// Without deadlines nothing ends.
    pub(super) fn new(deadlines: Option<Deadlines>) -> io::Result<Self> {
        let alarm = Alarm::new()?;
        if let Some(deadlines) = deadlines {
            alarm.set(deadlines.stop_at)?;
        }
        Ok(Self { deadlines: Mutex::new(deadlines), alarm })
    }

    /// Whether the command's time is up.
    pub(super) fn is_over(&self) -> bool {
        self.lock().is_some_and(|deadlines| deadlines.stop_at.has_come())
    }

    /// Takes later deadlines. What is over stays over: the work may have been given to another by now, also when
    /// this process was asleep and has not noticed yet.
    pub(super) fn renew(&self, new: Deadlines) -> bool {
        let mut known = self.lock();
        let Some(old) = *known else { return false };
        if old.stop_at.has_come() {
            return false;
        }
        if new.stop_at > old.stop_at && self.alarm.set(new.stop_at).is_ok() {
            *known = Some(new);
        }
        true
    }

    /// Waits until the time is up; gives the time at which nothing may be left.
    pub(super) fn wait(&self) -> io::Result<BootTime> {
        loop {
            self.alarm.wait()?;
            if let Some(deadlines) = *self.lock()
                && deadlines.stop_at.has_come()
            {
                return Ok(deadlines.dead_at);
            }
        }
    }

    /// Waits, once the time is up, until nothing may be left.
    pub(super) fn wait_dead(&self, dead_at: BootTime) -> io::Result<()> {
        self.alarm.set(dead_at)?;
        while !dead_at.has_come() {
            self.alarm.wait()?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Deadlines>> {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn deadlines(stop_ms: u64) -> Deadlines {
        let stop_at = BootTime::now().plus(Duration::from_millis(stop_ms));
        Deadlines { stop_at, dead_at: stop_at.plus(Duration::from_millis(20)) }
    }

    #[test]
    fn what_is_over_stays_over_however_late_that_is_noticed() {
        let guard = Guard::new(Some(deadlines(60_000))).unwrap();
        assert!(!guard.is_over());
        assert!(guard.renew(deadlines(90_000)));
        let guard = Guard::new(Some(deadlines(0))).unwrap();
        assert!(guard.is_over());
        assert!(!guard.renew(deadlines(90_000)) && guard.is_over());
        let dead_at = guard.wait().unwrap();
        guard.wait_dead(dead_at).unwrap();
        assert!(dead_at.has_come());
    }

    #[test]
    fn an_earlier_deadline_takes_nothing_back() {
        let guard = Guard::new(Some(deadlines(60_000))).unwrap();
        assert!(guard.renew(deadlines(0)));
        assert!(!guard.is_over());
    }

    #[test]
    fn a_command_without_a_lease_gets_none_later() {
        let guard = Guard::new(None).unwrap();
        assert!(!guard.renew(deadlines(0)) && !guard.is_over());
    }
}
