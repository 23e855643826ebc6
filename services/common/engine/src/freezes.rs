//! Freezes: a run that one is about waits instead of failing, and goes on when it has ended.
//!
//! A freeze holds a run of which nothing has begun; one that stops all holds whatever has not begun, of any run. Which
//! freezes are in force, and about which runs, is known outside. That a run is held is an event, with the time at which the
//! freeze ends by itself: the run looks again then.

use shipway_events::{Actor, run};

use crate::{Command, Rejection, RunState, decide::Decision};

impl Decision<'_> {
    /// Notes that the run is held no more, or by another freeze.
    pub(crate) fn look_at_freezes(&mut self) {
        let Some(holds) = self.state.frozen.clone() else { return };
        match self.freeze() {
            None => self.record(run::Thawed {}),
            Some(freeze) if freeze != *holds => self.record(freeze),
            Some(_) => {}
        }
    }

    /// Whether a node whose turn has come has to wait for the end of a freeze.
    pub(crate) fn is_frozen(&mut self, node: u32) -> bool {
        // What waits for something in the run has begun to.
        if self.state.watching.contains(&node) {
            return false;
        }
        let Some(freeze) = self.freeze() else { return false };
        if self.state.frozen.as_deref() != Some(&freeze) {
            self.record(freeze);
        }
        self.state.agenda.frozen.insert(node);
        true
    }

    /// The freeze that holds the run now: of several the one that stops most, and ends last.
    fn freeze(&self) -> Option<run::Frozen> {
        let state = &*self.state;
        if state.ended.is_some() {
            return None;
        }
        let may_begin = state.begun || state.overrides || state.aborting.is_some();
        let in_force = self.slots.freezes().iter().filter(|freeze| {
            freeze.until.is_none_or(|until| until > self.now) && (freeze.stops_all || !may_begin)
        });
        let rank =
            |freeze: &&run::Frozen| (freeze.stops_all, freeze.until.is_none(), freeze.until, freeze.freeze);
        in_force.max_by_key(rank).cloned()
    }

    pub(crate) fn override_freeze(&mut self, by: &Actor, reason: &str) -> Result<(), Rejection> {
        if let Some(ended) = self.state.ended() {
            return Err(Rejection::Ended(ended.status));
        }
        match self.freeze().filter(|_| self.state.frozen.is_some()) {
            None => Err(Rejection::NotFrozen),
            Some(freeze) if freeze.stops_all => Err(Rejection::StopsAll(freeze.name)),
            Some(_) => {
                self.record(run::FreezeOverridden { by: by.clone(), reason: reason.to_owned() });
                Ok(())
            }
        }
    }
}

impl Command {
    /// What a run is to begin with, if that is the command.
    #[must_use]
    pub fn started(&self) -> Option<&run::Started> {
        match self {
            Self::Start { started } | Self::StartDespite { started, .. } | Self::Resume { started, .. } => {
                Some(started)
            }
            _ => None,
        }
    }
}

impl RunState {
    /// The freeze that holds the run.
    #[must_use]
    pub fn frozen(&self) -> Option<&run::Frozen> {
        self.frozen.as_deref()
    }

    /// What waited for the end of the freeze is asked again.
    pub(crate) fn thaw(&mut self) {
        self.frozen = None;
        let agenda = &mut self.agenda;
        agenda.fresh.append(&mut agenda.frozen);
    }
}

/// Why a run waits, with what would let it go on: `is held by the freeze …`.
#[must_use]
pub fn held_in_words(freeze: &run::Frozen) -> String {
    let run::Frozen { name, by, reason, until, stops_all, .. } = freeze;
    let ends = match until {
        Some(until) => format!("until {until}"),
        None => "until somebody lifts it".to_owned(),
    };
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    let way_out = match stops_all {
        true => format!("`shipway unfreeze {name}`"),
        false => format!("`shipway unfreeze {name}`, or for this run alone `shipway unfreeze --run`"),
    };
    let of = if by.is_nobody() { String::new() } else { format!(" of {}", by.name()) };
    format!("is held by the freeze `{name}`{of}{reason} {ends}; {way_out}")
}
