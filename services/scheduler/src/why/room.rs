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
    registry::{Coming, NOBODY, SeatView},
    run::present,
    service::Shared,
};

/// At most so many runs are asked whether they have the slots.
const ASKED: usize = 200;

/// How those stand that could take a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// There is no executor at all.
    Nobody,
    /// There are some, and none has the labels.
    NoLabels,
    /// This one has no free slot.
    Busy(ExecutorId),
    /// This one is stopping.
    Draining(ExecutorId),
    /// This one is away.
    Away(ExecutorId),
}

/// The one that comes closest of those with all labels, or the only one that will do.
fn standing(seats: &[SeatView], labels: &[String], only: Option<ExecutorId>) -> Standing {
    if seats.is_empty() {
        return Standing::Nobody;
    }
    let fits = |seat: &&SeatView| {
        only.is_none_or(|only| only == seat.executor)
            && labels.iter().all(|label| seat.labels.contains(label))
    };
    let fitting: Vec<&SeatView> = seats.iter().filter(fits).collect();
    if let Some(seat) = fitting.iter().find(|seat| seat.away.is_none() && !seat.draining) {
        return Standing::Busy(seat.executor);
    }
    if let Some(seat) = fitting.iter().find(|seat| seat.away.is_none()) {
        return Standing::Draining(seat.executor);
    }
    // Of the only one that will do it is said that it is away only if it is.
    let is_here = |only: &ExecutorId| seats.iter().any(|seat| seat.executor == *only && seat.away.is_none());
    match fitting.first().map(|seat| seat.executor).or(only.filter(|only| !is_here(only))) {
        Some(executor) => Standing::Away(executor),
        None => Standing::NoLabels,
    }
}

/// What a node waits for whose target is brought to another host.
pub(crate) fn waits_for_move(reference: &str) -> String {
    format!("`{reference}` waits for its target, which is being brought to another host")
}

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
            return Ok(self.coming(state, found, facts));
        }
        let labels = state.plan_node(found.node).map_or(&[][..], |plan| plan.runs_on.as_slice());
        let facts = Facts { labels: labels.join(","), ..facts.clone() };
        let (executor, kind) = match standing(&self.registry.seats(), labels, only) {
            Standing::Nobody => {
                let with = match labels {
                    [] => String::new(),
                    labels => format!(" with the labels {}", labels.join(", ")),
                };
                let words = format!("`{name}` waits for an executor{with}: none has said that it is there");
                return Ok(Kind::NoExecutor.blocker(&facts, words));
            }
            Standing::NoLabels => {
                let labels = labels.join(", ");
                let words =
                    format!("`{name}` waits for an executor with the labels {labels}: none has them all");
                return Ok(Kind::Labels.blocker(&facts, words));
            }
            Standing::Busy(executor) => {
                return Ok(self.busy(state, found, heavy, (executor, only.is_some()), &facts).await);
            }
            Standing::Draining(executor) => (executor, Kind::ExecutorDraining),
            Standing::Away(executor) => (executor, Kind::ExecutorAway),
        };
        let facts = Facts { host: self.host_of(executor), ..facts };
        if kind == Kind::ExecutorDraining {
            let words = format!("{}; its executor is stopping and takes nothing more", found.words);
            return Ok(self.on(executor, kind.blocker(&facts, words)));
        }
        let since = present::text(self.registry.away_since(executor));
        let words = match self.away_in_words(executor).await? {
            Some(away) => format!("`{name}`: {away}"),
            None => format!("{}; nobody has heard of that executor", found.words),
        };
        let blocker = match self.lost_addon(state, executor).await? {
            Some(resource) => Kind::HostLost.blocker(&Facts { resource, ..facts }, words),
            None => kind.blocker(&facts, words),
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

    fn coming(&self, state: &RunState, found: &Found, facts: &Facts) -> Blocker {
        let words = waits_for_move(&found.reference);
        let resources = state.plan().map(|plan| &plan.resources);
        let coming = self.registry.coming();
        let by = resources
            .into_iter()
            .flat_map(|resources| resources.values())
            .find_map(|resource| coming.get(&resource.id).copied())
            .or_else(|| coming.values().next().copied());
        match by {
            Some(Coming { run, .. }) => held_by(Kind::Restoring, run, facts, &words),
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn executor(n: u128) -> ExecutorId {
        ExecutorId::new(Uuid::from_u128(n))
    }

    fn seat(n: u128, labels: &[&str]) -> SeatView {
        SeatView {
            executor: executor(n),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            away: None,
            draining: false,
            slots: (1, 1),
        }
    }

    /// What each answer says is done, and the answer is the next one.
    #[test]
    fn an_executor_that_comes_changes_the_answer() {
        let labels = ["gpu".to_owned()];
        let mut seats = Vec::new();
        assert_eq!(standing(&seats, &labels, None), Standing::Nobody);
        seats.push(seat(1, &["eu"]));
        assert_eq!(standing(&seats, &labels, None), Standing::NoLabels);
        seats.push(SeatView { away: Some(Timestamp::from_micros(1)), ..seat(2, &["gpu"]) });
        assert_eq!(standing(&seats, &labels, None), Standing::Away(executor(2)));
        seats.push(SeatView { draining: true, ..seat(3, &["gpu", "eu"]) });
        assert_eq!(standing(&seats, &labels, None), Standing::Draining(executor(3)));
        seats.push(seat(4, &["gpu"]));
        assert_eq!(standing(&seats, &labels, None), Standing::Busy(executor(4)), "it takes it, or is busy");
    }

    #[test]
    fn where_only_one_will_do_the_others_do_not_count() {
        let seats = [SeatView { away: Some(Timestamp::from_micros(1)), ..seat(1, &[]) }, seat(2, &[])];
        assert_eq!(standing(&seats, &[], Some(executor(1))), Standing::Away(executor(1)));
        assert_eq!(standing(&seats, &[], Some(executor(2))), Standing::Busy(executor(2)));
        assert_eq!(
            standing(&seats, &[], Some(executor(3))),
            Standing::Away(executor(3)),
            "nobody has heard of it"
        );
        let labels = ["gpu".to_owned()];
        assert_eq!(
            standing(&seats, &labels, Some(executor(2))),
            Standing::NoLabels,
            "it is here and has not"
        );
        assert_eq!(standing(&seats, &labels, Some(executor(1))), Standing::Away(executor(1)));
    }
}
