//! The schedules for people: when each flow was due and when it will be.

use shipway_contracts::v1;
use shipway_documents::schedule::Schedule;
use shipway_eventing::Log;
use shipway_events::Timestamp;

use super::{TickError, read, wanted};
use crate::hooks::Hooks;

/// How many coming ticks are told at most.
const MOST: usize = 100;

/// Every flow's schedule, by the flow's name, each with so many coming ticks.
pub(crate) async fn list(log: &dyn Log, hooks: &Hooks, coming: u32) -> Result<Vec<v1::Schedule>, TickError> {
    let coming = usize::try_from(coming).unwrap_or(MOST).min(MOST);
    let mut all = Vec::new();
    for wanted in hooks.triggers().filter_map(wanted) {
        let (state, _) = read(log, wanted.flow).await?;
        let schedule = Schedule::parse(&wanted.rule.cron, &wanted.rule.timezone)?;
        let mut next = Vec::new();
        // Ticks that were not dealt with yet are still to come.
        let mut at = if state.set.is_some() { state.through } else { log.now() };
        while next.len() < coming && !wanted.paused {
            let Some(tick) = schedule.after(at) else { break };
            next.push(tick.to_string());
            at = tick;
        }
        let skipped = state.skipped.as_ref();
        let shown = |at: Timestamp| at.to_string();
        all.push(v1::Schedule {
            project: wanted.project.to_string(),
            flow: wanted.flow.to_string(),
            path: wanted.path,
            trigger: wanted.trigger,
            cron: wanted.rule.cron,
            timezone: wanted.rule.timezone,
            missed: wanted.rule.missed,
            paused: wanted.paused,
            next,
            last: state.ticked.as_ref().map(|tick| shown(tick.scheduled_at)).unwrap_or_default(),
            last_run: state.ticked.as_ref().map(|tick| tick.run().to_string()).unwrap_or_default(),
            skipped: skipped.map_or(0, |skipped| skipped.count),
            last_skipped: skipped.map(|skipped| shown(skipped.last)).unwrap_or_default(),
            skip_reason: skipped.map(|skipped| skipped.reason.clone()).unwrap_or_default(),
        });
    }
    all.sort_by(|a, b| (&a.path, &a.project).cmp(&(&b.path, &b.project)));
    Ok(all)
}
