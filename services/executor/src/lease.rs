//! The executor's lease: without a good beat for a while, its work ends by itself.
//!
//! Whoever gives leases counts 30 s from when a beat *arrived*; the executor counts from when it was *sent*, and is
//! done with everything before. So nothing that was given to another executor still runs here. The shims keep the
//! time themselves: no dead, stopped or overloaded executor lets a process outlive it. Keepers are not bound by it:
//! they hold what a target is, and refuse lower fences.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::os::boot::{Alarm, BootTime};

/// How long after the last good beat work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Processes get SIGTERM, and what has no process is given up.
    pub stop_after: Duration,
    /// Nothing is left of any process.
    pub dead_after: Duration,
}

impl Default for LeaseTimes {
    /// 15 s and 20 s: within a lease of 30 s.
    fn default() -> Self {
        Self { stop_after: Duration::from_secs(15), dead_after: Duration::from_secs(20) }
    }
}

/// What a shim is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deadlines {
    /// SIGTERM.
    pub(crate) stop_at: BootTime,
    /// SIGKILL.
    pub(crate) dead_at: BootTime,
}

/// The lease of this executor.
#[derive(Debug)]
pub(crate) struct Lease {
    times: Option<LeaseTimes>,
    state: Mutex<State>,
    alarm: Option<Arc<Alarm>>,
}

#[derive(Debug, Default)]
struct State {
    /// When the newest good beat was sent.
    sent: Option<BootTime>,
    /// Its end was seen, and nothing may go on until the next good beat.
    lapsed: bool,
}

impl Lease {
    /// Nothing is bound by it.
    pub(crate) fn unbound() -> Self {
        Self { times: None, state: Mutex::default(), alarm: None }
    }

    /// As the executor's setting says.
    pub(crate) fn new(times: Option<LeaseTimes>) -> io::Result<Self> {
        let Some(times) = times else { return Ok(Self::unbound()) };
        let alarm = Arc::new(Alarm::new()?);
        Ok(Self { times: Some(times), state: Mutex::default(), alarm: Some(alarm) })
    }

    /// Whether this executor's work is bound by leases at all.
    pub(crate) const fn binds(&self) -> bool {
        self.times.is_some()
    }

    /// Whether work may begin now.
    pub(crate) fn holds(&self) -> bool {
        let Some(times) = self.times else { return true };
        let state = self.lock();
        !state.lapsed && state.sent.is_some_and(|sent| !sent.plus(times.stop_after).has_come())
    }

    /// What a shim that starts now has to keep to.
    pub(crate) fn deadlines(&self) -> Option<Deadlines> {
        let times = self.times?;
        // Before the first good beat nothing is started; a shim would refuse.
        let sent = self.lock().sent?;
        Some(Deadlines { stop_at: sent.plus(times.stop_after), dead_at: sent.plus(times.dead_after) })
    }

    /// Whether the lease has ended just now: tells it once.
    pub(crate) fn ended(&self) -> bool {
        let Some(times) = self.times else { return false };
        let mut state = self.lock();
        let over = state.sent.is_some_and(|sent| sent.plus(times.stop_after).has_come());
        over && !std::mem::replace(&mut state.lapsed, true)
    }

    /// A beat that was sent at `sent` was good. Whoever calls this has dealt with [`Self::ended`] before.
    pub(crate) fn renew(&self, sent: BootTime) {
        let Some(times) = self.times else { return };
        let mut state = self.lock();
        if sent.plus(times.stop_after).has_come() || state.sent.is_some_and(|known| known >= sent) {
            return;
        }
        *state = State { sent: Some(sent), lapsed: false };
        drop(state);
        if let Some(alarm) = &self.alarm
            && let Err(error) = alarm.set(sent.plus(times.stop_after))
        {
            tracing::error!(%error, "the alarm for the lease's end could not be set");
        }
    }

    /// Set to the time at which the lease ends. It comes once more when the lease is gone itself.
    pub(crate) fn alarm(&self) -> Option<Arc<Alarm>> {
        self.alarm.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(alarm) = &self.alarm {
            // Who waits for it finds that there is nothing more to wait for.
            let _ = alarm.set(BootTime::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: LeaseTimes =
        LeaseTimes { stop_after: Duration::from_secs(15), dead_after: Duration::from_secs(20) };

    fn ago(seconds: u64) -> BootTime {
        let mut at = BootTime::now();
        // There is no way back in time but to build it.
        let now = serde_json::to_value(at).unwrap();
        let secs = now["secs"].as_u64().unwrap().saturating_sub(seconds);
        at = serde_json::from_value(serde_json::json!({ "secs": secs, "nanos": now["nanos"] })).unwrap();
        at
    }

    #[test]
    fn it_holds_from_the_first_good_beat_until_its_end_which_is_told_once() {
        let lease = Lease::new(Some(TIMES)).unwrap();
        assert!(!lease.holds() && !lease.ended() && lease.deadlines().is_none());
        lease.renew(ago(14));
        assert!(lease.holds() && !lease.ended());
        // An answer that took too long says nothing any more, an older one nothing new.
        lease.renew(ago(16));
        lease.renew(ago(14));
        assert!(lease.holds());
        lease.alarm().unwrap().wait().unwrap();
        assert!(!lease.holds());
        assert!(lease.ended() && !lease.ended());
        lease.renew(BootTime::now());
        assert!(lease.holds() && !lease.ended());
    }

    #[test]
    fn without_leases_work_is_bound_by_nothing() {
        let lease = Lease::new(None).unwrap();
        assert!(lease.holds() && !lease.ended() && lease.deadlines().is_none() && !lease.binds());
    }
}
