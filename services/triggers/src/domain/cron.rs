//! When a flow is due by its schedule, and what becomes of ticks that nobody was there for.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use shipway_documents::{
    flow::Missed,
    schedule::{Schedule, UTC},
};
use shipway_events::{
    FlowId, ProjectId, Timestamp,
    schedule::{Event, Set, Skipped, Stopped, Ticked},
};

/// A tick that is seen later than this was missed. A change of leaders and a short restart take less.
pub const GRACE_MICROS: i64 = 60_000_000;

/// As many missed ticks start runs at most, where all do: the newest.
pub const MOST_MISSED: usize = 100;

/// The schedule as the document says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CronRule {
    /// The five fields.
    pub cron: String,
    /// The time zone's name in the IANA database.
    pub timezone: String,
    /// What becomes of ticks that nobody was there for.
    pub missed: String,
}

impl Default for CronRule {
    fn default() -> Self {
        Self { cron: String::new(), timezone: UTC.to_owned(), missed: Missed::default().as_str().to_owned() }
    }
}

/// The schedule that a flow has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The flow's project.
    pub project: ProjectId,
    /// The flow.
    pub flow: FlowId,
    /// The flow by the names people use: `shop/development`.
    pub path: String,
    /// The trigger's ref.
    pub trigger: String,
    /// The schedule.
    pub rule: CronRule,
    /// Whether the flow's triggers are switched off.
    pub paused: bool,
}

/// What the stream of a flow's schedule says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The schedule; none when it is stopped.
    pub set: Option<Set>,
    /// Every tick up to here was dealt with.
    pub through: Timestamp,
    /// The newest tick that started a run.
    pub ticked: Option<Ticked>,
    /// The newest ticks that started none.
    pub skipped: Option<Skipped>,
}

/// Applies an event.
#[must_use]
pub fn evolve(mut state: State, event: Event) -> State {
    match event {
        Event::Set(set) => {
            state.through = set.from;
            state.set = Some(set);
        }
        Event::Ticked(ticked) => {
            state.through = state.through.max(ticked.scheduled_at);
            state.ticked = Some(ticked);
        }
        Event::Skipped(skipped) => {
            state.through = state.through.max(skipped.last);
            state.skipped = Some(skipped);
        }
        Event::Stopped(_) => state.set = None,
    }
    state
}

/// What follows at a time for a flow that has this schedule now, or none any more. The schedule is the wanted one's, read.
#[must_use]
pub fn decide(state: &State, wanted: Option<(&Wanted, &Schedule)>, now: Timestamp) -> Vec<Event> {
    let stopped = |reason: &str| match &state.set {
        Some(_) => vec![Event::from(Stopped { reason: reason.to_owned() })],
        None => Vec::new(),
    };
    let Some((wanted, schedule)) = wanted else { return stopped("the flow has no schedule any more") };
    if wanted.paused {
        return stopped("the flow is paused");
    }
    let (mut events, mut through) = (Vec::new(), state.through);
    if let Some(set) = set(state, wanted, now) {
        through = set.from;
        events.push(Event::from(set));
    }
    events.extend(due(wanted, schedule, through, now));
    events
}

/// The schedule as an event, if it is another than the one that is set.
fn set(state: &State, wanted: &Wanted, now: Timestamp) -> Option<Set> {
    let CronRule { cron, timezone, missed } = wanted.rule.clone();
    let (project, flow, trigger) = (wanted.project, wanted.flow, wanted.trigger.clone());
    let mut set = Set { project, flow, trigger, cron, timezone, missed, from: now };
    if let Some(is) = &state.set {
        if *is == (Set { from: is.from, ..set.clone() }) {
            return None;
        }
        // The same times: none is lost because another policy holds for those that were missed.
        if (&is.trigger, &is.cron, &is.timezone) == (&set.trigger, &set.cron, &set.timezone) {
            set.from = state.through;
        }
    }
    Some(set)
}

/// What becomes of the ticks after one instant and up to another.
fn due(wanted: &Wanted, schedule: &Schedule, through: Timestamp, now: Timestamp) -> Vec<Event> {
    let mut ticks = Ticks::default();
    let mut at = through;
    while let Some(next) = schedule.after(at).filter(|next| *next <= now) {
        ticks.add(next);
        at = next;
    }
    let late = |tick: Timestamp| now.micros() - tick.micros() > GRACE_MICROS;
    let missed = Missed::parse(&wanted.rule.missed).unwrap_or_default();
    let mut run: VecDeque<Timestamp> = ticks.newest.clone();
    let reason = match missed {
        Missed::Skip => {
            run.retain(|tick| !late(*tick));
            "nobody was there for it, and `missed` is `skip`".to_owned()
        }
        Missed::One => {
            // The newest run does what all of them would have done.
            if run.iter().any(|tick| late(*tick)) {
                run.drain(..run.len() - 1);
            }
            "nobody was there for it, and `missed` is `one`: a later one runs".to_owned()
        }
        Missed::All => format!("nobody was there for it, and no more than {MOST_MISSED} are made up for"),
    };
    let skipped = ticks.skipped(wanted, run.front().copied(), reason);
    let ticked = |scheduled_at: Timestamp| {
        let after = if late(scheduled_at) { ", made up for" } else { "" };
        let CronRule { cron, timezone, .. } = &wanted.rule;
        Event::from(Ticked {
            flow: wanted.flow,
            path: wanted.path.clone(),
            trigger: wanted.trigger.clone(),
            scheduled_at,
            summary: format!("due at {} by `{cron}` ({timezone}){after}", to_the_second(scheduled_at)),
        })
    };
    skipped.map(Event::from).into_iter().chain(run.into_iter().map(ticked)).collect()
}

fn to_the_second(at: Timestamp) -> String {
    at.to_string().replace(".000000Z", "Z")
}

/// Ticks in their order: however many there are, the newest are kept.
#[derive(Default)]
struct Ticks {
    count: u64,
    first: Timestamp,
    newest: VecDeque<Timestamp>,
    /// The last one before the newest.
    before: Timestamp,
}

impl Ticks {
    fn add(&mut self, tick: Timestamp) {
        if self.count == 0 {
            self.first = tick;
        }
        self.count += 1;
        self.newest.push_back(tick);
        if self.newest.len() > MOST_MISSED
            && let Some(older) = self.newest.pop_front()
        {
            self.before = older;
        }
    }

    /// Those before the first that runs.
    fn skipped(&self, wanted: &Wanted, runs: Option<Timestamp>, reason: String) -> Option<Skipped> {
        let skipped = self.newest.iter().take_while(|tick| runs.is_none_or(|first| **tick < first));
        let last = skipped.clone().last().copied();
        let runs = self.newest.len() - skipped.count();
        let count = self.count - u64::try_from(runs).unwrap_or(0);
        let last = last.unwrap_or(self.before);
        (count > 0).then(|| Skipped {
            trigger: wanted.trigger.clone(),
            count,
            first: self.first,
            last,
            reason,
        })
    }
}

#[cfg(test)]
mod tests;
