//! Commands, and what each makes happen: one fact and everything that follows from it.

use shipway_events::{
    Actor, Asker, Fence, NodeStatus, RunId, RunStatus, Timestamp,
    run::{self, Event, NodeError},
};
use shipway_nodes::workload::Outcome;

use crate::{
    ChildEnd, Language, Needs, Rejection, RunState, Slots, Step,
    shape::{self},
    state::Timer,
};

/// The code of a failure because no executor that is known could ever do the work.
pub const NO_EXECUTOR: &str = "no_executor";

/// What can be asked of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Begin.
    Start {
        /// With this, pinned.
        started: Box<run::Started>,
    },
    /// Begin, and release what is held, too.
    StartDespite {
        /// With this, pinned.
        started: Box<run::Started>,
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// Begin as a branch of another run.
    Resume {
        /// With this, pinned.
        started: Box<run::Started>,
        /// What is kept of the other.
        resumed: Box<run::Resumed>,
    },
    /// An executor says how an attempt ended, or that it has started.
    Complete {
        /// The node's index in the plan.
        node: u32,
        /// The attempt's fence.
        fence: Fence,
        /// What it says.
        outcome: Outcome,
    },
    /// Executors may have room: give them what is ready.
    Assign,
    /// The time of [`RunState::next_due`] has come.
    Due,
    /// Stop.
    Abort {
        /// Why, in words.
        reason: String,
        /// The run that takes its place, if one does: what may not be interrupted is then let finish.
        by: Option<RunId>,
    },
    /// Attempts whose executor's start is over (its lease too), or that it confirmed not to have.
    AttemptsLost {
        /// The attempts' fences; what is not open any more is passed over.
        fences: Vec<Fence>,
        /// Why, in words.
        reason: String,
        /// It is certain that nothing of them was started.
        never_started: bool,
    },
    /// A person approves a node that waits for it.
    Approve {
        /// The node's index in the plan.
        node: u32,
        /// Who.
        by: Asker,
        /// What they say.
        reason: String,
        /// The hash of the plan that they saw, if they say it: another plan is not approved.
        plan: Option<String>,
    },
    /// A person rejects a node that waits for approval.
    Reject {
        /// The node's index in the plan.
        node: u32,
        /// Who.
        by: Asker,
        /// What they say.
        reason: String,
        /// The hash of the plan that they saw, if they say it.
        plan: Option<String>,
    },
    /// A person calls the run something else, or says something else about it: also once it has ended.
    Describe {
        /// What is another from now on.
        words: run::NotedWords,
    },
    /// A person lets the run go on although a freeze holds it.
    OverrideFreeze {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// A person lets the run release what is held.
    OverrideHolds {
        /// Who.
        by: Actor,
        /// Why.
        reason: String,
    },
    /// A run of another flow has ended that a node waits for, or could not be started.
    ChildEnded {
        /// The node's index in the plan.
        node: u32,
        /// The run.
        child: RunId,
        /// How.
        end: Box<ChildEnd>,
    },
    /// A node that waits for the time of its next attempt is tried now.
    TryNow {
        /// The node's index in the plan.
        node: u32,
    },
    /// A person says what became of a node of which nobody could know it.
    Resolve {
        /// The node's index in the plan.
        node: u32,
        /// What became of it.
        resolution: Resolution,
    },
}

/// What a person found out about a node that was `unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It has happened: the node succeeds, without outputs.
    Happened,
    /// It has not, and is not tried again: the node fails with this message.
    Failed(String),
    /// It has not: the node is asked for again.
    Again,
}

/// Decides on a copy of the state: for tests and for looking ahead. Services use [`decide_and_evolve`], which
/// costs what changes instead of the whole run.
///
/// # Errors
/// As [`decide_and_evolve`].
pub fn decide(
    state: &RunState,
    command: &Command,
    language: &dyn Language,
    slots: &mut Slots,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    decide_and_evolve(&mut state.clone(), command, language, slots, now)
}

/// Decides, and adds what was decided to the state, with `now` as its time. An empty list says that the command
/// changes nothing (it came before, or nothing is due).
///
/// Once the events are committed, [`RunState::settle`] gives each its position, in order; further commands may be
/// decided before that. If the append fails, the state is to be folded again from the log.
///
/// # Errors
/// If the command cannot be carried out; the state is as before.
pub fn decide_and_evolve(
    state: &mut RunState,
    command: &Command,
    language: &dyn Language,
    slots: &mut Slots,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    if state.started.is_none() && command.started().is_none() {
        return Err(Rejection::NotStarted);
    }
    let mut decision = Decision { state, language, slots, now, events: Vec::new() };
    match command {
        Command::Start { started } | Command::StartDespite { started, .. } => {
            let despite = command.despite();
            decision.may_start(started, despite.is_some())?;
            decision.start(started)?;
            if let Some(despite) = despite {
                decision.record(despite);
            }
        }
        Command::Resume { started, resumed } => {
            decision.start(started)?;
            decision.record((**resumed).clone());
        }
        Command::Complete { node, fence, outcome } => decision.complete(*node, *fence, outcome)?,
        Command::Assign | Command::Due => {}
        Command::Abort { reason, by } => decision.abort(reason, *by)?,
        Command::AttemptsLost { fences, reason, never_started } => {
            decision.attempts_lost(fences, reason, *never_started);
        }
        Command::Resolve { node, resolution } => decision.resolve(*node, resolution)?,
        Command::TryNow { node } => decision.try_now(*node)?,
        Command::Approve { node, by, reason, plan } => {
            decision.approve(*node, by, reason, plan.as_deref())?;
        }
        Command::Reject { node, by, reason, plan } => {
            decision.reject_approval(*node, by, reason, plan.as_deref())?;
        }
        Command::Describe { words } => decision.describe(words),
        Command::OverrideFreeze { by, reason } => decision.override_freeze(by, reason)?,
        Command::OverrideHolds { by, reason } => decision.override_holds(by, reason)?,
        Command::ChildEnded { node, child, end } => decision.child_ended(*node, *child, end)?,
    }
    decision.look_at_holds();
    decision.ask_lane();
    decision.look_at_freezes();
    decision.follow();
    Ok(decision.events)
}

/// A decision being made.
pub(crate) struct Decision<'a> {
    pub(crate) state: &'a mut RunState,
    pub(crate) language: &'a dyn Language,
    pub(crate) slots: &'a mut Slots,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<Event>,
}

impl Decision<'_> {
    /// It has happened: everything decided after it sees it.
    pub(crate) fn record(&mut self, event: impl Into<Event>) {
        let event = event.into();
        self.state.apply(&event, self.now, None);
        self.events.push(event);
    }

    fn start(&mut self, started: &run::Started) -> Result<(), Rejection> {
        if self.state.started.is_some() {
            return Err(Rejection::AlreadyStarted);
        }
        shape::check(&started.plan)?;
        self.record(started.clone());
        #[cfg(feature = "next-schema")]
        self.record(run::NotedWriter { shipway: concat!(env!("CARGO_PKG_VERSION"), "+next").to_owned() });
        Ok(())
    }

    /// What gives way gently can still be aborted for good.
    fn abort(&mut self, reason: &str, by: Option<RunId>) -> Result<(), Rejection> {
        let gives_way = self.state.gives_way.is_some();
        match self.state.ended() {
            Some(ended) => Err(Rejection::Ended(ended.status)),
            None if self.state.aborting.is_some() && (by.is_some() || !gives_way) => Ok(()),
            None => {
                self.record(run::Aborting { reason: reason.to_owned(), by });
                Ok(())
            }
        }
    }

    /// Everything that follows, until nothing new does.
    fn follow(&mut self) {
        self.follow_nodes();
        self.cancel_children();
        if self.end() {
            // What goes on after the run's end needs no locks any more.
            self.follow_nodes();
        }
    }

    fn follow_nodes(&mut self) {
        loop {
            self.fire_timers();
            self.assign_waiting();
            let Some(node) = self.state.agenda.fresh.pop_first() else {
                if self.ask_watching() {
                    continue;
                }
                break;
            };
            self.ask(node);
        }
    }

    fn fire_timers(&mut self) {
        while let Some((at, node, timer)) =
            self.state.timers.first().copied().filter(|(at, ..)| *at <= self.now)
        {
            self.state.timers.remove(&(at, node, timer));
            match timer {
                Timer::Due => {
                    self.state.agenda.fresh.insert(node);
                }
                Timer::Deadline => self.time_is_up(node),
            }
        }
    }

    fn time_is_up(&mut self, node: u32) {
        if self.state.at(node).closed || self.state.held.contains(&node) {
            return;
        }
        let attempt = self.state.assignment(node);
        let (runs, fence) = (attempt.is_some(), attempt.and_then(|attempt| attempt.fence));
        self.record(run::NodeTimedOut { node, fence });
        if !runs && !self.state.children.contains(&node) {
            self.fail_timed_out(node, None);
        }
    }

    /// Gives slots to nodes that already said what they want.
    fn assign_waiting(&mut self) {
        // Not every slot will do for these: they are asked for each by itself.
        let agenda = &self.state.agenda;
        let particular: Vec<u32> = agenda.particular.iter().chain(&agenda.locked).copied().collect();
        for node in particular {
            self.state.agenda.remove(node);
            self.ask(node);
        }
        for heavy in [false, true] {
            while self.slots.any(heavy) {
                let agenda = &mut self.state.agenda;
                let waiting = if heavy { &mut agenda.heavy } else { &mut agenda.light };
                let Some(node) = waiting.pop_first() else { break };
                self.ask(node);
            }
        }
    }

    /// Asks a node whose turn has come what it wants, and sees to it or lets it wait for a slot.
    pub(crate) fn ask(&mut self, node: u32) {
        if self.is_frozen(node) {
            return;
        }
        let Some(plan) = self.state.plan_node(node) else { return };
        let (asked_before, is_loop) = (self.state.at(node).attempts > 0, shape::is_loop(plan));
        let waits = self.state.watching.contains(&node);
        if let Some(skip) = plan.skip.as_ref().filter(|_| !asked_before && !waits) {
            match self.language.truthy(self.state, node, skip) {
                Err(error) => return self.record(run::NodeFailed { node, fence: None, error }),
                Ok(true) => {
                    let reason = "skipNodeExecution is true".to_owned();
                    return self.record(run::NodeSkipped { node, reason });
                }
                Ok(false) => {}
            }
        }
        if self.is_held_back(node) || !self.has_locks(node) {
            return;
        }
        if !self.state.is_leaf(node) {
            return if is_loop { self.enter_loop(node) } else { self.record(run::WorkflowEntered { node }) };
        }
        match self.language.step(self.state, node) {
            Ok(Step::Done { outputs }) if !self.state.at(node).trailing => {
                self.record(run::NodeSucceeded { node, fence: None, outputs, effects: Vec::new() });
            }
            Ok(Step::Done { .. }) => self.end_trailing(node, None),
            Ok(Step::Work { work, detached }) => self.request(node, &work, detached),
            Ok(Step::Approve { rule, timeout_seconds }) => {
                self.ask_for_approval(node, rule, timeout_seconds);
            }
            Ok(Step::Wait { watch, timeout_seconds }) => self.wait(node, watch, timeout_seconds),
            Ok(Step::Child(child)) => self.ask_for_child(node, child),
            Err(error) => self.fail_for_good(node, error),
        }
    }

    fn request(&mut self, node: u32, work: &shipway_nodes::workload::Workload, detached: bool) {
        let started = self.state.started.clone();
        let plan = started.as_ref().and_then(|started| started.plan.nodes.get(node as usize));
        let heavy = work.is_heavy();
        let needs = Needs {
            heavy,
            only: self.state.at(node).pinned,
            labels: plan.map_or(&[], |plan| plan.runs_on.as_slice()),
            target: work.target_on_host().map(|target| target.id),
        };
        if !self.slots.could(needs) {
            let error = match self.slots.only_labels(needs) {
                Some(labels) => not_on_its_host(needs.labels, labels),
                None => no_executor(needs.labels, &self.slots.labels()),
            };
            return self.fail_for_good(node, error);
        }
        let Some((executor, registration)) = self.slots.take(needs) else {
            let placed = needs.target.is_some() && self.slots.is_placing();
            let anywhere = needs.only.is_none() && needs.labels.is_empty() && !placed;
            if let Some(target) = needs.target.filter(|_| placed) {
                self.state.nodes[node as usize].waits_for = self.slots.place(target);
            }
            let agenda = &mut self.state.agenda;
            let waiting = match (anywhere, heavy) {
                (false, _) => &mut agenda.particular,
                (true, false) => &mut agenda.light,
                (true, true) => &mut agenda.heavy,
            };
            waiting.insert(node);
            return;
        };
        let limit = plan.and_then(|plan| plan.timeout_seconds).filter(|_| !self.state.at(node).trailing);
        let from_now = limit.map(|limit| self.now.plus(std::time::Duration::from_secs(limit.into())));
        let event = run::AttemptRequested {
            node,
            attempt: self.state.at(node).next_attempt,
            #[cfg(feature = "next-schema")]
            of: plan.and_then(|plan| plan.retry.as_ref()).map_or(3, |rule| rule.max_attempts),
            executor,
            registration,
            effect: plan.and_then(|plan| plan.effect).unwrap_or(work.effect()),
            work: serde_json::to_value(work).expect("a workload's maps have string keys"),
            deadline: self.state.at(node).deadline.or(from_now),
            detached,
        };
        self.record(event);
    }

    /// The run ends when its root has, and when what was told to stop has stopped. Whether it ended now.
    pub(crate) fn end(&mut self) -> bool {
        let state = &*self.state;
        let stops = state.open_nodes().any(|attempt| attempt.stopping);
        if state.ended.is_some() || !state.at(0).closed || stops {
            return false;
        }
        let by = state.gives_way;
        let (status, reason) = match (&state.aborting, state.at(0).status) {
            (Some(reason), _) => (RunStatus::Aborted, Some(reason.to_string())),
            (None, NodeStatus::Success) => (RunStatus::Success, None),
            (None, NodeStatus::Skipped) => {
                (RunStatus::Skipped, state.at(0).reason.as_deref().map(str::to_owned))
            }
            (None, _) => (RunStatus::Failure, self.first_failure()),
        };
        self.record(run::Ended { status, reason, by });
        true
    }

    fn first_failure(&self) -> Option<String> {
        let node = self.state.first_failure?;
        let reference = self.state.name_of(node);
        let code = self.state.at(node).error.as_ref().map_or("failed", |error| error.code.as_str());
        Some(format!("the node `{reference}` failed ({code})"))
    }

    /// No attempt could ever be made, or no further one.
    pub(crate) fn fail_for_good(&mut self, node: u32, error: NodeError) {
        if self.state.at(node).trailing {
            self.end_trailing(node, Some(error));
        } else {
            self.record(run::NodeFailed { node, fence: None, error });
        }
    }

    /// The work of a node that nothing waits for cannot be asked for again.
    fn end_trailing(&mut self, node: u32, error: Option<NodeError>) {
        let fence = self.state.at(node).past.last().map_or(Fence::default(), |(fence, _)| *fence);
        self.record(run::NodeEndedLater { node, fence, effects: Vec::new(), error });
    }
}

fn list<'a>(labels: impl IntoIterator<Item = &'a str>) -> String {
    labels.into_iter().collect::<Vec<_>>().join(", ")
}

fn no_executor(needed: &[String], known: &std::collections::BTreeSet<&str>) -> NodeError {
    let known = match known.is_empty() {
        true => "no executor has any label".to_owned(),
        false => format!("their labels are: {}", list(known.iter().copied())),
    };
    let needed = list(needed.iter().map(String::as_str));
    let message = format!(
        "no executor could ever run it: it needs `runsOn` {needed}, and none has all of that; {known}. \
         Start an executor with these labels, or change `runsOn`"
    );
    NodeError { code: NO_EXECUTOR.to_owned(), message, transient: false }
}

/// Where only one host will do, and its executor is another.
fn not_on_its_host(needed: &[String], has: &std::collections::BTreeSet<String>) -> NodeError {
    let has = match has.is_empty() {
        true => "no label".to_owned(),
        false => format!("the labels {}", list(has.iter().map(String::as_str))),
    };
    let needed = list(needed.iter().map(String::as_str));
    let message = format!(
        "no executor could ever run it: it needs `runsOn` {needed}, and has to run on the host of its target, whose \
         executor has {has}. Start that one with these labels, or change `runsOn`"
    );
    NodeError { code: NO_EXECUTOR.to_owned(), message, transient: false }
}
