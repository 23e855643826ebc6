//! Simulated schedulers: two that decide on what they have cached, over one log that may fail them.

use shipway_engine::{Command, Free, Rejection, Resolution, RunState, Slots, decide_and_evolve, invariants};
use shipway_events::{Fence, NodeStatus, Position, RunStatus, StreamEvent, Timestamp, run::Event};
use shipway_nodes::workload::Outcome;

use super::{Happening, Point, World, executor::Offer, fold};
use crate::{
    language::Toy,
    story::{id, recorded},
};

/// After so many milliseconds without a beat an executor's start is over.
const LEASE: u64 = 6_000;

#[derive(Default)]
pub(crate) struct Scheduler {
    pub(crate) state: RunState,
    /// How much of the log the state holds; none if it has to be loaded.
    version: Option<usize>,
    /// How often locks had been written to when it decided.
    lock_version: usize,
    /// Decided and not committed.
    events: Vec<(Event, Timestamp)>,
    /// The commands of these events, to be decided again if another scheduler was first.
    commands: Vec<Command>,
    /// Who is told when they are committed.
    replies: Vec<(usize, Fence, bool)>,
}

impl World {
    /// Time passes: what is due, leases that are over, a person who looks at what is unknown.
    pub(crate) fn tick(&mut self, s: usize) {
        self.later(400, Happening::Tick(s));
        self.load(s);
        let state = &self.schedulers[s].state;
        if state.started().is_none() {
            let started = self.started.clone();
            return self.command(s, Command::Start { started }, None);
        }
        let over = |open: &shipway_engine::OpenAttempt<'_>| {
            let e = self.executor_of(open.attempt.executor);
            let (registration, beat) = self.leases[e];
            // What a new start found still running is stopped by it, not given up.
            let told = open.attempt.stopping && self.survives(e, open.node, open.fence);
            beat + LEASE < self.now || (open.attempt.registration != id(registration) && !told)
        };
        let fences: Vec<Fence> = state.open_attempts().filter(over).map(|open| open.fence).collect();
        if !fences.is_empty() {
            let reason = "its executor's start is over".to_owned();
            self.command(s, Command::AttemptsLost { fences, reason, never_started: false }, None);
        }
        self.look_at_unknown(s);
        if self.schedulers[s].state.next_due().is_some_and(|due| due <= self.time()) {
            self.command(s, Command::Due, None);
        } else if self.schedulers[s].state.ready().next().is_some() {
            self.command(s, Command::Assign, None);
        }
        self.commit(s);
    }

    /// An executor says something.
    pub(crate) fn said(&mut self, e: usize, fence: Fence, started: bool, node: u32, outcome: Outcome) {
        let s = self.any_scheduler();
        self.command(s, Command::Complete { node, fence, outcome }, Some((e, fence, started)));
    }

    pub(crate) fn abort(&mut self) {
        let s = self.any_scheduler();
        self.load(s);
        if self.schedulers[s].state.started().is_some() {
            self.note_abort(s);
            let by = self.replaced.then(|| id(78));
            self.command(s, Command::Abort { reason: "somebody said so".to_owned(), by }, None);
            self.commit(s);
            let asked = self.observer.aborting().is_some() || self.observer.ended().is_some();
            if !asked {
                self.later(100, Happening::Abort);
            } else if self.replaced && self.rng.per_mille(300) {
                self.replaced = false;
                let patience = self.rng.within(1, 2_000);
                self.later(patience, Happening::Abort);
            }
        } else {
            self.later(100, Happening::Abort);
        }
    }

    /// What to hold and what to stop.
    pub(crate) fn answer_beat(&mut self, e: usize) {
        let s = self.any_scheduler();
        self.commit(s);
        self.load(s);
        let registration = self.executors[e].registration;
        let here = |open: &shipway_engine::OpenAttempt<'_>| open.attempt.executor == id(e as u32 + 1);
        let open: Vec<(Offer, bool)> = self.schedulers[s]
            .state
            .open_attempts()
            .filter(here)
            .map(|open| (offer(e, &open), open.attempt.stopping))
            .collect();
        for (offer, stopping) in &open {
            match stopping {
                true => self.send(Happening::Stop(e, offer.fence, offer.node, offer.registration)),
                false if offer.registration == registration => self.send(Happening::Offered(*offer)),
                false => {}
            }
        }
        let held: Vec<Offer> = self.executors[e].held.values().copied().collect();
        for held in held.into_iter().filter(|held| !open.iter().any(|(open, _)| open.fence == held.fence)) {
            self.send(Happening::Stop(e, held.fence, held.node, held.registration));
        }
    }

    pub(crate) fn forget(&mut self, s: usize) {
        self.schedulers[s] = Scheduler::default();
    }

    /// Decides; commits at once or with what comes next.
    pub(crate) fn command(&mut self, s: usize, command: Command, reply: Option<(usize, Fence, bool)>) {
        if !self.decide(s, &command) {
            return;
        }
        self.schedulers[s].commands.push(command);
        self.schedulers[s].replies.extend(reply);
        if !self.faulty(self.rates.linger) {
            self.commit(s);
        }
    }

    /// False if the command is refused.
    fn decide(&mut self, s: usize, command: &Command) -> bool {
        self.load(s);
        let mut slots = self.slots(s).with_locks(self.locks.clone()).with_freezes(self.freezes());
        if self.schedulers[s].events.is_empty() {
            self.schedulers[s].lock_version = self.lock_version;
        }
        let now = self.time();
        let result = decide_and_evolve(&mut self.schedulers[s].state, command, &Toy, &mut slots, now);
        match result {
            Ok(events) => {
                self.schedulers[s].events.extend(events.into_iter().map(|event| (event, now)));
                true
            }
            Err(
                Rejection::Ended(_)
                | Rejection::AlreadyStarted
                | Rejection::NothingToResolve(_)
                | Rejection::NothingToRetry(_)
                | Rejection::NoApprovalWanted(_),
            ) => false,
            Err(_) if self.schedulers[s].version != Some(self.log.len()) => {
                self.forget(s);
                self.decide(s, command)
            }
            Err(Rejection::NotStarted) => false,
            Err(rejection) => {
                self.broken(format!("{command:?} was refused: {rejection}"));
                false
            }
        }
    }

    pub(crate) fn commit(&mut self, s: usize) {
        if self.schedulers[s].version.is_none() {
            return;
        }
        let others_locked = self.schedulers[s].lock_version != self.lock_version;
        let decided = !self.schedulers[s].events.is_empty();
        if self.schedulers[s].version.is_some_and(|version| version != self.log.len())
            || (decided && others_locked)
        {
            // Another scheduler was first: everything is decided again on what is so now.
            let behind = std::mem::take(&mut self.schedulers[s]);
            if behind.events.is_empty() && behind.replies.is_empty() {
                return;
            }
            for command in &behind.commands {
                self.decide(s, command);
            }
            self.schedulers[s].commands = behind.commands;
            self.schedulers[s].replies = behind.replies;
        }
        let events = std::mem::take(&mut self.schedulers[s].events);
        self.schedulers[s].commands.clear();
        let replies = std::mem::take(&mut self.schedulers[s].replies);
        let requests = events.iter().any(|(event, _)| matches!(event, Event::AttemptRequested(_)));
        let succeeds =
            events.iter().any(|(event, _)| matches!(event, Event::NodeSucceeded(e) if e.node == 1));
        if self.faulty(self.rates.append_fails) || (requests && self.crashes_here(Point::BeforeIntent)) {
            return self.forget(s);
        }
        self.append(s, &events);
        if (succeeds && self.crashes_here(Point::AfterAck))
            || (requests && self.crashes_here(Point::AfterIntent))
        {
            self.forget(s);
            return self.crash(0);
        }
        if !events.is_empty() && self.faulty(self.rates.lost_ack) {
            return self.forget(s);
        }
        self.ring(s, &events);
        for (e, fence, started) in replies {
            if !self.faulty(self.rates.drop) {
                self.heard(e, fence, started);
            }
        }
    }

    fn append(&mut self, s: usize, events: &[(Event, Timestamp)]) {
        for (event, at) in events {
            let position =
                self.log.last().map_or(0, |last| last.position) + self.rng.within(1, 4) as Position;
            self.schedulers[s].state.settle(event, position, 0);
            self.trace_event(event, position);
            let recorded = recorded(event.clone(), position, *at);
            self.observer.evolve(&recorded, 0);
            if std::env::var_os("SHIPWAY_SEED").is_some() {
                println!("{:>6}   #{position} {event:?}", self.now);
            }
            self.log.push(recorded);
            self.others_hear(event);
        }
        self.grow();
        self.write_locks(s);
        self.check_locks();
        self.schedulers[s].version = Some(self.log.len());
        if events.is_empty() {
            return;
        }
        if let Err(broken) = invariants::check(&self.observer) {
            self.broken(broken.to_string());
        }
        if self.rng.per_mille(100) && self.observer.nodes() != self.schedulers[s].state.nodes() {
            self.broken("the scheduler's state is not the fold of its log".to_owned());
        }
        if events.iter().any(|(event, _)| matches!(event, Event::Ended(e) if e.status == RunStatus::Aborted))
        {
            self.judge_abort();
        }
    }

    /// The executors' bells: hints that may be lost.
    fn ring(&mut self, s: usize, events: &[(Event, Timestamp)]) {
        let requested = events.iter().filter_map(|(event, _)| match event {
            Event::AttemptRequested(e) => Some(e.node),
            _ => None,
        });
        for node in requested {
            let open = self.schedulers[s].state.open_attempts().find(|open| open.node == node);
            if let Some(open) = open {
                let offer = offer(self.executor_of(open.attempt.executor), &open);
                self.send(Happening::Offered(offer));
            }
        }
        let state = &self.schedulers[s].state;
        let stopping: Vec<Offer> = state
            .open_attempts()
            .filter(|open| open.attempt.stopping)
            .map(|open| offer(self.executor_of(open.attempt.executor), &open))
            .collect();
        for Offer { executor, fence, node, registration, .. } in stopping {
            self.send(Happening::Stop(executor, fence, node, registration));
        }
    }

    /// A person says what became of a node, once nothing can be at work on it.
    fn look_at_unknown(&mut self, s: usize) {
        let looks = self.now > self.faults_until + LEASE || self.rng.per_mille(30);
        let unknown = self.schedulers[s].state.held().find(|_| looks);
        let Some(node) = unknown else { return };
        if self.now > self.faults_until + 2 * LEASE {
            self.kill_by_hand(node);
        } else if self.is_at_work(node) {
            return;
        }
        let unheard = |said: &(u32, Outcome)| said.0 == node;
        if self.executors.iter().any(|executor| executor.outbox.values().any(unheard))
            || self.is_in_flight(node)
        {
            return;
        }
        let resolution = match self.target.times(node) {
            0 if self.rng.per_mille(700) => Resolution::Again,
            0 => Resolution::Failed("it had not happened".to_owned()),
            _ => Resolution::Happened,
        };
        self.given_up |= matches!(resolution, Resolution::Failed(_));
        self.command(s, Command::Resolve { node, resolution }, None);
    }

    fn load(&mut self, s: usize) {
        let behind = self.schedulers[s].version != Some(self.log.len());
        if behind && self.schedulers[s].events.is_empty() && self.schedulers[s].replies.is_empty() {
            self.schedulers[s] = Scheduler { version: Some(self.log.len()), ..Scheduler::default() };
            self.schedulers[s].state = fold(&self.log);
        }
    }

    fn slots(&self, s: usize) -> Slots {
        let open = |e: usize, heavy: bool| {
            let state = &self.schedulers[s].state;
            let here = state.nodes().iter().filter_map(|node| node.attempt.as_ref());
            here.filter(|attempt| attempt.executor == id(e as u32 + 1) && attempt.heavy == heavy).count()
                as u32
        };
        let alive = |e: &usize| self.leases[*e].1 + LEASE >= self.now && self.leases[*e].0 > 0;
        Slots::new((0..self.executors.len()).filter(alive).map(|e| {
            let light = self.executors[e].light.saturating_sub(open(e, false));
            let heavy = self.executors[e].heavy.saturating_sub(open(e, true));
            Free::new(id(e as u32 + 1), id(self.leases[e].0), light, heavy)
        }))
    }

    fn note_abort(&mut self, s: usize) {
        for node in self.schedulers[s].state.nodes() {
            let at = match (&node.attempt, node.status) {
                (None, NodeStatus::Ready) => 0,
                (Some(attempt), _) => {
                    let e = self.executor_of(attempt.executor);
                    let holds =
                        attempt.fence.is_some_and(|fence| self.executors[e].held.contains_key(&fence));
                    if holds { 3 } else { 1 }
                }
                (None, NodeStatus::Retrying) => 2,
                _ => continue,
            };
            self.aborted_at[at] += 1;
        }
    }

    pub(crate) fn executor_of(&self, executor: shipway_events::ExecutorId) -> usize {
        (0..self.executors.len()).find(|e| executor == id(*e as u32 + 1)).unwrap()
    }

    pub(crate) fn any_scheduler(&mut self) -> usize {
        self.rng.within(0, self.schedulers.len() as u64) as usize
    }

    fn trace_event(&mut self, event: &Event, position: Position) {
        self.trace(position);
        if self.deep {
            let new = event.encode();
            new.data.bytes().for_each(|byte| self.trace(byte.into()));
            let again = Event::decode(new.kind, new.schema, &new.data);
            if again.ok().as_ref() != Some(event) {
                self.broken(format!("{} does not come back from the log as it was", new.kind));
            }
        } else {
            event.kind().bytes().for_each(|byte| self.trace(byte.into()));
        }
    }
}

fn offer(e: usize, open: &shipway_engine::OpenAttempt<'_>) -> Offer {
    Offer {
        executor: e,
        registration: (1..).find(|start| open.attempt.registration == id(*start)).unwrap_or_default(),
        node: open.node,
        fence: open.fence,
        number: open.attempt.number,
        class: open.attempt.effect,
        detached: open.attempt.detached,
    }
}
