//! Why no executor takes a node whose turn has come: busy, away, or none that ever could.

use shipway_contracts::{
    Error,
    blockers::{Facts, Kind},
    v1::Blocker,
};
use shipway_engine::{Blocker as Found, RunState};
use shipway_events::{ExecutorId, RunId, Timestamp, project::ResourceKind};

use super::node::held_by;
use crate::{
    queries::PlaceRow,
    registry::{NOBODY, SeatView},
    run::present,
    service::Shared,
};

/// At most so many runs are asked whether they have the slots.
const ASKED: usize = 200;

impl Shared {
    pub(super) async fn room(
        &self,
        state: &RunState,
        found: &Found,
        heavy: bool,
        only: Option<ExecutorId>,
        facts: &Facts,
    ) -> Result<Blocker, Error> {
        let name = &found.reference;
        if only == Some(NOBODY) {
            return Ok(self.restoring(state, found, facts));
        }
        let labels = state.plan_node(found.node).map_or(&[][..], |plan| plan.runs_on.as_slice());
        let facts = Facts { labels: labels.join(","), ..facts.clone() };
        let seats = self.registry.seats();
        if seats.is_empty() {
            let with = match labels {
                [] => String::new(),
                labels => format!(" with the labels {}", labels.join(", ")),
            };
            let words = format!("`{name}` waits for an executor{with}: none has said that it is there");
            return Ok(Kind::NoExecutor.blocker(&facts, words));
        }
        let fits = |seat: &&SeatView| {
            only.is_none_or(|only| only == seat.executor)
                && labels.iter().all(|label| seat.labels.contains(label))
        };
        let fitting: Vec<&SeatView> = seats.iter().filter(fits).collect();
        if let (true, None) = (fitting.is_empty(), only) {
            let words = format!(
                "`{name}` waits for an executor with the labels {}: none has them all",
                labels.join(", ")
            );
            return Ok(Kind::Labels.blocker(&facts, words));
        }
        if let Some(seat) = fitting.iter().find(|seat| seat.away.is_none() && !seat.draining) {
            return Ok(self.busy(state, found, heavy, (seat.executor, only.is_some()), &facts).await);
        }
        // Those that will do are not there; the one that is only stopping is the nearest.
        let draining = fitting.iter().find(|seat| seat.draining && seat.away.is_none());
        let executor = draining.or(fitting.first()).map(|seat| seat.executor).or(only).unwrap_or(NOBODY);
        let facts = Facts { host: self.host_of(executor), ..facts };
        if draining.is_some() {
            let words = format!("{}; its executor is stopping and takes nothing more", found.words);
            return Ok(self.on(executor, Kind::ExecutorDraining.blocker(&facts, words)));
        }
        let since = present::text(self.registry.away_since(executor));
        let words = match self.away_in_words(executor).await? {
            Some(away) => format!("`{name}`: {away}"),
            None => format!("{}; nobody has heard of that executor", found.words),
        };
        let blocker = match self.lost_addon(state, executor).await? {
            Some(resource) => Kind::HostLost.blocker(&Facts { resource, ..facts }, words),
            None => Kind::ExecutorAway.blocker(&facts, words),
        };
        Ok(self.on(executor, Blocker { since, ..blocker }))
    }

    /// All slots that would do are taken: by whom, as far as is known here.
    async fn busy(
        &self,
        state: &RunState,
        found: &Found,
        heavy: bool,
        (executor, only): (ExecutorId, bool),
        facts: &Facts,
    ) -> Blocker {
        let own = state.started().map(|started| started.run);
        let mut oldest: Option<(Timestamp, RunId)> = None;
        for run in self.book.open_runs().into_iter().filter(|run| Some(*run) != own).take(ASKED) {
            let Ok(other) = self.book.look(run).await else { continue };
            let held = other
                .open_attempts()
                .filter(|open| open.attempt.heavy == heavy && (!only || open.attempt.executor == executor));
            let first = held.map(|open| (open.attempt.requested_at, run)).min();
            oldest = match (oldest, first) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        let seats = self.registry.seats();
        let total: u32 = seats
            .iter()
            .filter(|seat| seat.away.is_none() && (!only || seat.executor == executor))
            .map(|seat| if heavy { seat.slots.1 } else { seat.slots.0 })
            .sum();
        let words = format!("{}; all {total} are taken", found.words);
        if let Some((_, run)) = oldest {
            return held_by(Kind::Room, run, facts, &words);
        }
        // The run itself has them, or runs of other schedulers.
        let more = Kind::NoExecutor.blocker(facts, "");
        let room = Kind::Room.blocker(facts, words);
        Blocker { action: more.action, advice: more.advice, who: more.who, ..room }
    }

    fn restoring(&self, state: &RunState, found: &Found, facts: &Facts) -> Blocker {
        let words = format!("`{}` waits for its addon's content, which is being restored", found.reference);
        let resources = state.plan().map(|plan| &plan.resources);
        let restored = self.registry.restored_by();
        let by = resources
            .into_iter()
            .flat_map(|resources| resources.values())
            .find_map(|resource| restored.get(&resource.id).copied())
            .or_else(|| restored.values().next().copied());
        match by {
            Some(run) => held_by(Kind::Restoring, run, facts, &words),
            None => Kind::Restoring.blocker(facts, words),
        }
    }

    /// The addon of a run's plan that is on a host which is given up: a person may have it moved.
    async fn lost_addon(&self, state: &RunState, executor: ExecutorId) -> Result<Option<String>, Error> {
        let Some(plan) = state.plan().filter(|_| self.cluster.together().is_some()) else { return Ok(None) };
        let places = self.all_places().await?;
        let is_lost = |id| {
            places.get(id).is_some_and(|place: &PlaceRow| place.executor == executor && place.lost.is_some())
        };
        let mut addons = plan.resources.iter().filter(|(_, resource)| resource.kind == ResourceKind::Addon);
        Ok(addons.find(|(_, resource)| is_lost(&resource.id)).map(|(slug, _)| slug.clone()))
    }
}
