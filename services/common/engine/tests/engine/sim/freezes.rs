//! Freezes that come and go.

use std::sync::Arc;

use shipway_events::{
    Actor, Timestamp,
    run::{Event, Frozen},
};

use super::{World, rng::Rng};
use crate::story::id;

/// A freeze, in force from one moment to another, in milliseconds.
pub(crate) struct Freeze {
    from: u64,
    until: u64,
    stops_all: bool,
    /// Its end is known before; else somebody lifts it then.
    ends: bool,
}

/// None most of the time, else some; all are over when the faults are.
pub(crate) fn some(rng: &mut Rng, before: u64) -> Vec<Freeze> {
    let count = if rng.per_mille(650) { 0 } else { rng.within(1, 4) };
    let freeze = |_| {
        let from = rng.within(0, before + 1);
        let until = rng.within(from, before + 2);
        Freeze { from, until, stops_all: rng.per_mille(400), ends: rng.per_mille(500) }
    };
    (0..count).map(freeze).collect()
}

impl World {
    /// Those that are in force.
    pub(super) fn freezes(&self) -> Arc<[Frozen]> {
        let in_force = self.freezes.iter().enumerate().filter(|(_, freeze)| freeze.holds(self.now));
        in_force
            .map(|(n, freeze)| Frozen {
                freeze: id(n as u32 + 1),
                name: format!("freeze-{n}"),
                by: Actor::nobody(),
                reason: String::new(),
                until: freeze.ends.then(|| Timestamp::from_micros(freeze.until as i64 * 1_000)),
                stops_all: freeze.stops_all,
            })
            .collect()
    }

    /// Nothing of a run began while a freeze was in force, and nothing more while one that stops all was.
    pub(super) fn judge_freezes(&self) -> Result<(), String> {
        let (mut begun, mut aborting) = (false, false);
        for recorded in &self.log {
            let at = recorded.at.millis() as u64;
            let begins = match &recorded.event {
                Event::Ended(_) => return Ok(()),
                Event::Aborting(_) => {
                    aborting = true;
                    continue;
                }
                Event::AttemptRequested(_) | Event::ChildRequested(_) => true,
                Event::NodeSucceeded(_) | Event::WaitStarted(_) | Event::ApprovalRequested(_) => !begun,
                _ => false,
            };
            let held = |freeze: &Freeze| freeze.holds(at) && (freeze.stops_all || !(begun || aborting));
            if begins && self.freezes.iter().any(held) {
                return Err(format!("{:?} at {at} ms, in a freeze", recorded.event));
            }
            begun |= begins;
        }
        Ok(())
    }
}

impl Freeze {
    const fn holds(&self, now: u64) -> bool {
        self.from <= now && now < self.until
    }
}
