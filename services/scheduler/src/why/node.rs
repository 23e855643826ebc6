//! What a node waits for, with all that is known about it here.

use shipway_contracts::{
    Error,
    blockers::{Facts, Kind},
    v1::{Blocker, ExpectedEnd, NodeApproval},
};
use shipway_engine::{Blocked, Blocker as Found, Holder, RunState};
use shipway_events::{ExecutorId, NodeStatus, RunId, Timestamp};

use super::{at, facts, history::History};
use crate::{registry::Standing, run::present, service::Shared};

impl Shared {
    /// A blocker as people are told of it, with why its holder does not go on.
    pub(super) async fn told(
        &self,
        state: &RunState,
        found: &Found,
        history: &History,
    ) -> Result<Blocker, Error> {
        let mut told = self.told_shallow(state, found, history).await?;
        let holder = told.holder_run.parse::<RunId>().ok().filter(|holder| told.run != holder.to_string());
        if let (Blocked::Lock { .. } | Blocked::Slot { .. }, Some(holder)) = (&found.blocked, holder) {
            told.expected = self.expected_end(holder).await?;
        }
        if let Some(because) = match holder {
            Some(holder) => self.because(holder).await,
            None => None,
        } {
            told.because = because.words;
            // A node ends as the run does that it waits for: what helps that run helps it.
            if matches!(found.blocked, Blocked::Run { .. }) && !because.action.is_empty() {
                (told.action, told.advice, told.who) = (because.action, because.advice, because.who);
            }
        }
        Ok(told)
    }

    /// When a run that has what others wait for may be over, as earlier runs of its flow were.
    async fn expected_end(&self, run: RunId) -> Result<Option<ExpectedEnd>, Error> {
        let Ok(holder) = self.book.look(run).await else { return Ok(None) };
        let (Some(started), Some(began)) = (holder.started(), holder.started_at()) else { return Ok(None) };
        let history = self.history(&started.project.to_string(), &started.path).await?;
        Ok(Some(history.of_run(began)))
    }

    /// The same without asking about the holder.
    pub(super) async fn told_shallow(
        &self,
        state: &RunState,
        found: &Found,
        history: &History,
    ) -> Result<Blocker, Error> {
        let name = &found.reference;
        let facts = facts(state, name);
        let node = state.node(found.node);
        let mut told = match found.blocked {
            Blocked::Nothing => Kind::Stuck.blocker(&facts, &found.words),
            Blocked::Person => Kind::Unknown.blocker(&facts, &found.words),
            Blocked::Steps { .. } => Kind::Steps.blocker(&facts, &found.words),
            Blocked::Time { until } => {
                Blocker { until: at(until), ..Kind::Retry.blocker(&facts, &found.words) }
            }
            Blocked::Freeze { until } => freeze(state, until, &facts, &found.words),
            Blocked::Hold { until } => hold(state, found.node, until, &facts, &found.words),
            Blocked::Condition => Kind::Condition.blocker(&facts, &found.words),
            Blocked::Approval { .. } => self.approval_blocker(state, found, &facts).await?,
            Blocked::Run { run } => held_by(Kind::Child, run, &facts, &found.words),
            Blocked::Lane { .. } => self.lane(state, found, &facts, history).await,
            Blocked::Lock { behind } => lock(behind, &facts, &found.words),
            Blocked::Slot { heavy, only } => self.room(state, found, heavy, only, &facts).await?,
            Blocked::Finish { executor } => self.on(executor, Kind::Finish.blocker(&facts, &found.words)),
            Blocked::Work { executor } => self.at_work(state, found, executor, &facts),
            Blocked::Stop { executor } => self.stopping(state, found, executor, &facts),
        };
        if told.since.is_empty() {
            told.since = at(found.since);
        }
        if told.until.is_empty() {
            told.until = present::text(node.and_then(|node| node.deadline));
        }
        if told.expected.is_none()
            && !matches!(
                found.blocked,
                Blocked::Slot { .. }
                    | Blocked::Lock { .. }
                    | Blocked::Freeze { .. }
                    | Blocked::Hold { .. }
                    | Blocked::Nothing
            )
        {
            let began = node.and_then(|node| node.started_at);
            told.expected = began.map(|began| history.of_node(name, began));
        }
        Ok(told)
    }

    /// Who may approve, and what that is in a command.
    async fn approval_blocker(
        &self,
        state: &RunState,
        found: &Found,
        facts: &Facts,
    ) -> Result<Blocker, Error> {
        let mut told = Kind::Approval.blocker(facts, &found.words);
        let approval = self.approval(state, found.node).await?.unwrap_or_default();
        let NodeApproval { approvers, may, .. } = approval;
        // People with a token are known by name; roles and names of the document say who they would be.
        told.who = match (may.is_empty(), approvers.is_empty()) {
            (false, _) => may,
            (true, false) => approvers,
            (true, true) => told.who,
        };
        told.holder = told.who.join(", ");
        Ok(told)
    }

    async fn lane(&self, state: &RunState, found: &Found, facts: &Facts, history: &History) -> Blocker {
        let Blocked::Lane { behind } = found.blocked else {
            return Kind::Stuck.blocker(facts, &found.words);
        };
        let (first, more) = self.book.turn(state).await.unwrap_or((behind, 0));
        let words = shipway_engine::lane::waits_in_words(first, more);
        let mut told = held_by(Kind::Lane, first, facts, &words);
        if let Ok(holder) = self.book.look(first).await {
            told.expected = holder.started_at().map(|began| history.of_run(began));
        }
        told
    }

    fn at_work(&self, state: &RunState, found: &Found, executor: ExecutorId, facts: &Facts) -> Blocker {
        let attempt = state.assignment(found.node);
        let away = attempt
            .filter(|attempt| self.registry.standing(executor, attempt.registration) == Standing::LeaseOver);
        if away.is_none() {
            return self.on(executor, Kind::Work.blocker(facts, &found.words));
        }
        let (host, name) = (self.host_of(executor), &found.reference);
        let since = present::text(self.registry.away_since(executor));
        let words = format!(
            "`{name}` was given to an executor that has been away since {since}: it is asked for again, or nobody can \
             know what it did"
        );
        let facts = Facts { host, ..facts.clone() };
        self.on(executor, Blocker { since, ..Kind::ExecutorAway.blocker(&facts, words) })
    }

    /// Something was told to stop. Whose process does not end is named.
    fn stopping(&self, state: &RunState, found: &Found, executor: ExecutorId, facts: &Facts) -> Blocker {
        let fence = state.assignment(found.node).and_then(|attempt| attempt.fence);
        let process = fence.and_then(|fence| self.registry.process(executor, fence));
        let Some(process) = process else {
            return self.on(executor, Kind::Stop.blocker(facts, &found.words));
        };
        let host = self.host_of(executor);
        let words = format!(
            "`{}` was told to stop, and its process {process} on host {host} does not end, not even when it is killed",
            found.reference
        );
        let facts = Facts { host, process: process.to_string(), ..facts.clone() };
        self.on(executor, Kind::Process.blocker(&facts, words))
    }

    /// With the executor that has it in hand.
    pub(super) fn on(&self, executor: ExecutorId, blocker: Blocker) -> Blocker {
        Blocker { holder: format!("executor {executor}"), ..blocker }
    }
}

/// A blocker that a run has in hand.
pub(super) fn held_by(kind: Kind, run: RunId, facts: &Facts, words: &str) -> Blocker {
    let facts = Facts { holder: run.to_string(), ..facts.clone() };
    Blocker { holder: format!("run {run}"), ..kind.blocker(&facts, words) }
}

/// A freeze, who made it, and when it ends by itself.
fn freeze(state: &RunState, until: Option<Timestamp>, facts: &Facts, words: &str) -> Blocker {
    let Some(freeze) = state.frozen() else { return Kind::Stuck.blocker(facts, words) };
    let kind = if freeze.stops_all { Kind::Stopped } else { Kind::Freeze };
    let facts = Facts { freeze: freeze.name.clone(), ..facts.clone() };
    Blocker {
        holder: freeze.by.name().to_owned(),
        until: present::text(until),
        ..kind.blocker(&facts, words)
    }
}

/// A hold, who made it, and when it ends by itself.
fn hold(state: &RunState, node: u32, until: Option<Timestamp>, facts: &Facts, words: &str) -> Blocker {
    let Some(held) = state.hold_on(node) else { return Kind::Stuck.blocker(facts, words) };
    let facts = Facts { hold: held.name.clone(), ..facts.clone() };
    Blocker {
        holder: held.by.name().to_owned(),
        until: present::text(until),
        ..Kind::Hold.blocker(&facts, words)
    }
}

fn lock(behind: Holder, facts: &Facts, words: &str) -> Blocker {
    let mut told = held_by(Kind::Lock, behind.run, facts, words);
    if facts.run == behind.run.to_string() {
        // It comes first in its own run: there is nothing to abort.
        (told.action, told.who) = (String::new(), Vec::new());
        told.advice = "it comes free when that node of the run has ended".to_owned();
    }
    told
}

/// How a node stands that waits for nothing.
pub(super) fn settled(state: &RunState, n: u32, name: &str) -> String {
    let Some(node) = state.node(n) else { return String::new() };
    let why = node.error.as_ref().filter(|_| node.status == NodeStatus::Failure).map(|error| &*error.message);
    let why = why.or(node.reason.as_deref()).map(|why| format!(": {why}")).unwrap_or_default();
    format!("`{name}` is {}{why}", node.status)
}
