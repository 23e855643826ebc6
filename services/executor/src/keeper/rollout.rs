//! From one set of instances to the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::instance::{Plan, Shared, Slot};

/// The instances that were started from one plan.
pub(super) struct Set {
    pub(super) plan: Arc<Plan>,
    pub(super) slots: Vec<Arc<Slot>>,
}

/// Why a roll-out did not come about.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Set {
    /// Starts all instances; none gets traffic yet.
    pub(super) fn start(plan: Plan, shared: &Arc<Shared>) -> Self {
        let plan = Arc::new(plan);
        let slots = (1..=plan.spec.instances)
            .map(|number| Slot::start(number, Arc::clone(&plan), Arc::clone(shared)))
            .collect();
        Self { plan, slots }
    }

    /// Waits until all are healthy.
    pub(super) fn await_healthy(&self, timeout: Duration, cancelled: &AtomicBool) -> Result<(), Failure> {
        let until = Instant::now() + timeout;
        loop {
            let mut all = true;
            for (index, slot) in self.slots.iter().enumerate() {
                let soon = until.min(Instant::now() + Duration::from_millis(20));
                match slot.await_healthy(soon, cancelled) {
                    Some(Ok(_)) => {}
                    Some(Err(())) => return Err(self.failure(index, None)),
                    None => all = false,
                }
            }
            if cancelled.load(Ordering::SeqCst) {
                let message =
                    "the roll-out was given up: another one took its place, or it was stopped".to_owned();
                return Err(Failure { code: "aborted", message });
            }
            if all {
                return Ok(());
            }
            if Instant::now() >= until {
                let ill = self
                    .slots
                    .iter()
                    .position(|slot| !matches!(slot.await_healthy(Instant::now(), cancelled), Some(Ok(_))));
                return ill.map_or(Ok(()), |index| Err(self.failure(index, Some(timeout))));
            }
        }
    }

    /// All traffic goes to this set.
    pub(super) fn take_over(&self, shared: &Shared) {
        self.slots.iter().for_each(|slot| slot.serve());
        shared.routes.switch(self.slots.iter().filter_map(|slot| slot.endpoint()).collect());
    }

    /// Ends the set once it has finished what it was serving, in a thread of its own.
    pub(super) fn drain(self: Arc<Self>, shared: Arc<Shared>) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            let until = Instant::now() + Duration::from_secs(self.plan.spec.grace_seconds.into());
            let busy = |slot: &Arc<Slot>| slot.endpoint().is_some_and(|endpoint| endpoint.busy() > 0);
            while self.slots.iter().any(busy) && Instant::now() < until {
                thread::sleep(Duration::from_millis(10));
            }
            self.stop(&shared);
        })
    }

    /// Ends the set now.
    pub(super) fn stop(&self, shared: &Shared) {
        self.slots.iter().for_each(|slot| slot.stop(shared));
        self.slots.iter().for_each(|slot| slot.await_stopped());
    }

    fn failure(&self, index: usize, waited: Option<Duration>) -> Failure {
        let slot = &self.slots[index];
        let (seen, tail) = slot.report();
        let what = match waited {
            Some(waited) => format!("was not healthy within {} s: {seen}", waited.as_secs_f64()),
            None => format!("{seen} before it was healthy"),
        };
        let lines =
            if tail.is_empty() { "It wrote nothing.".to_owned() } else { format!("Its last lines:\n{tail}") };
        let message = format!("instance {} of {} {what}. {lines}", index + 1, self.slots.len());
        Failure { code: "unhealthy", message }
    }
}
