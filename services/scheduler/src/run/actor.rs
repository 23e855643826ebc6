//! One run's task: takes the commands that have come, decides them one after another on the state that
//! includes what is not yet committed, and appends everything at once.

mod append;
mod beside;
mod undone;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shipway_contracts::{Error, v1};
use shipway_engine::{Command, OpenAttempt, Rejection, RunState, decide_and_evolve};
use shipway_eventing::{failpoint, log::AppendError};
use shipway_events::{
    CommandId, ExecutorId, Fence, Meta, Position, RegistrationId, RunId, RunStatus, Version, run,
};
use shipway_service_kit::metrics;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument;

use self::undone::Undone;
use super::{
    book::{Book, Change, Handle, LoadError, load},
    lanes::{self, Asking},
    told::{assignment, offer, ring_all},
};
use crate::{
    cluster::shards::Shard,
    registry::{Bell, Hold, Usage, usage},
};

/// What a run's task is asked.
pub(crate) enum Message {
    /// To decide and append.
    Command(Asked),
    /// To show its state.
    Look(oneshot::Sender<Box<RunState>>),
    /// To read what another process has written, up to this version.
    Refresh(Version),
    /// To stop: the run's lane is another scheduler's.
    Leave(oneshot::Sender<()>),
}

/// A command, who gave it, and who waits for its answer.
pub(crate) struct Asked {
    pub(crate) command: Command,
    /// What it is known by to whoever may give it again; most are given by Shipway itself, and have none.
    pub(crate) id: Option<CommandId>,
    pub(crate) meta: Meta,
    pub(crate) reply: oneshot::Sender<Result<Reply, Error>>,
}

/// The answer to a command that was taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    /// The position of the last event that followed; 0 if nothing had to change.
    pub(crate) position: Position,
    /// Work that followed for the executor that asked.
    pub(crate) next: Vec<v1::Assignment>,
}

/// A command whose decision waits for its commit.
struct Decided {
    asked: Asked,
    /// The executor that completed something: it gets what follows with its answer.
    asker: Option<(ExecutorId, RegistrationId)>,
}

/// At most so many commands are decided for one commit.
const BATCH: usize = 256;
/// How many commands may wait for a run's task.
const QUEUE: usize = 1024;
/// How long a run's task waits after a failed append before it looks again.
const PAUSE: Duration = Duration::from_millis(200);
/// How long it waits after the first of several that fail; twice as long after each, up to [`PAUSE`].
const FIRST: Duration = Duration::from_millis(10);
/// How long what is due by itself rests when it was given up.
const REST: Duration = Duration::from_secs(5);
/// How often commands are decided again after others have written to the run, or after the database was away.
const TRIES: u32 = 10;

pub(crate) struct Actor {
    book: Book,
    run: RunId,
    state: RunState,
    version: Version,
    messages: mpsc::Receiver<Message>,
    changed: watch::Sender<Change>,
    /// The version as the book's other users see it.
    known: Arc<AtomicU64>,
    shard: Shard,
    /// Whether the log did not take what was decided last, however often it was tried.
    gave_up: bool,
    /// The trace in which the run began, once somebody has looked; none within if it began in none.
    began: Option<Option<String>>,
}

impl Actor {
    /// Starts the task of a run whose state has been loaded, or of one that is about to start.
    pub(super) fn spawn(
        book: &Book,
        (state, version): (RunState, Version),
        run: RunId,
        shard: Shard,
    ) -> Handle {
        let (sender, messages) = mpsc::channel(QUEUE);
        let (changed, receiver) = watch::channel(Change::of(&state, 0));
        let registry = &book.shared.registry;
        registry.came_here(&state);
        registry.correct(&Usage::new(), &usage(&state));
        let known = Arc::new(AtomicU64::new(version));
        let handle = Handle { messages: sender, changed: receiver, shard, version: known.clone() };
        let (book_of_it, gave_up, began) = (book.clone(), false, None);
        let actor =
            Self { book: book_of_it, run, state, version, messages, changed, known, shard, gave_up, began };
        let span = tracing::info_span!(parent: None, "run", %run);
        book.shared.tasks.spawn(actor.work().instrument(span));
        handle
    }

    async fn work(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        // What is ready or due when a run is opened has nobody else to say so, nor what its lane says by now, nor what
        // another scheduler wrote after it was read and before anybody here listened for it.
        if self.state.started().is_some() {
            if self.is_behind().await && !self.read_again().await {
                return self.leave(vec![]);
            }
            self.note_turn();
            if !self.decide_batch(vec![]).await {
                return self.leave(vec![]);
            }
            if let Some(flow) = self.lane() {
                self.book.tell_lane(flow);
            }
        }
        loop {
            if self.state.is_over() && self.book.close(self.run, &self.messages) {
                return;
            }
            let due = self.state.next_due().map(|at| at.since(self.book.shared.log.now()));
            // What is due is not tried at every moment while the log takes nothing, as when its disk is full.
            let due = due.map(|due| if self.gave_up { due.max(REST) } else { due });
            tokio::select! {
                count = self.messages.recv_many(&mut batch, BATCH) => if count == 0 { return },
                () = tokio::time::sleep(due.unwrap_or(Duration::MAX / 4)), if due.is_some() => {}
            }
            let (commands, newer, leaving) = self.sort(std::mem::take(&mut batch));
            let readable = newer.is_none_or(|version| version <= self.version) || self.read_again().await;
            // A scheduler that was asleep does not decide for the one that has the lane by now.
            if !readable || !leaving.is_empty() || !self.book.shared.cluster.is_here(self.shard) {
                return self.leave(leaving);
            }
            failpoint!("scheduler.decide");
            if !self.decide_batch(commands).await {
                return self.leave(vec![]);
            }
            if self.state.started().is_none() && self.book.close(self.run, &self.messages) {
                return;
            }
        }
    }

    /// Answers questions; the commands, the newest version that others have written, and who waits for the end here.
    fn sort(&self, messages: Vec<Message>) -> (Vec<Asked>, Option<Version>, Vec<oneshot::Sender<()>>) {
        let mut commands = Vec::with_capacity(messages.len());
        let (mut newer, mut leaving) = (None, Vec::new());
        for message in messages {
            match message {
                Message::Command(asked) => commands.push(asked),
                // Who stopped waiting does not need the answer.
                Message::Look(reply) => drop(reply.send(Box::new(self.state.clone()))),
                Message::Refresh(version) => newer = newer.max(Some(version)),
                Message::Leave(left) => leaving.push(left),
            }
        }
        (commands, newer, leaving)
    }

    /// The run goes on with another scheduler; whoever waits for an answer here asks again there.
    fn leave(&self, leaving: Vec<oneshot::Sender<()>>) {
        let shared = &self.book.shared;
        self.book.drop_run(self.run);
        self.forget_turn();
        shared.registry.correct(&usage(&self.state), &Usage::new());
        for open in self.state.open_attempts() {
            let attempt = open.attempt;
            let (executor, registration, heavy) = (attempt.executor, attempt.registration, attempt.heavy);
            shared.registry.taken_elsewhere(open.fence, Hold { executor, registration, heavy });
        }
        for left in leaving {
            // Who stopped waiting does not need the answer.
            let _ = left.send(());
        }
    }

    /// Decides all commands, and whatever is due by now, and appends it in one go. What could not be appended is
    /// decided again on what is in the log by then; false if that cannot be read here.
    async fn decide_batch(&mut self, commands: Vec<Asked>) -> bool {
        for commands in append::together(commands) {
            if !self.decide_together(commands).await {
                return false;
            }
        }
        true
    }

    async fn decide_together(&mut self, mut commands: Vec<Asked>) -> bool {
        let mut tried = 0;
        while let Some((why, undone)) = self.try_batch(commands).await {
            if tried == 0 {
                tracing::warn!(%why, "a run is read again, and what was asked decided again");
            }
            tried += 1;
            if why.lasts() {
                tokio::time::sleep(PAUSE.min(FIRST * 2_u32.pow(tried - 1))).await;
            }
            let readable = self.read_again().await;
            if matches!(why, Undone::Before) {
                append::came_before(undone);
                return readable;
            }
            if !readable || tried >= TRIES || !self.book.shared.cluster.is_here(self.shard) {
                tracing::warn!(%why, tried, "what was asked of a run is given up");
                self.gave_up = true;
                for asked in undone {
                    let _ = asked.reply.send(Err(Error::unavailable("the log did not take it; ask again")));
                }
                if let Some(flow) = self.lane().filter(|_| readable) {
                    self.book.tell_lane_later(flow);
                }
                return readable;
            }
            commands = undone;
        }
        self.gave_up = false;
        true
    }

    /// One try; the error and the commands if nothing is known to have been written.
    async fn try_batch(&mut self, commands: Vec<Asked>) -> Option<(Undone, Vec<Asked>)> {
        let shared = self.book.shared.clone();
        let held = match shared
            .locks
            .read(&*shared.log, &self.state, commands.iter().map(|asked| &asked.command))
            .await
        {
            Ok(held) => held,
            Err(error) => return Some((Undone::Locks(error), commands)),
        };
        let asking = shared.lanes.ask(&*shared.log, &self.state, commands.iter().map(|asked| &asked.command));
        let asking = match asking.await {
            Ok(asking) => asking,
            Err(error) => return Some((Undone::Lane(error), commands)),
        };
        let now = shared.log.now();
        let in_force = shared.policies.in_force(
            &*shared.log,
            self.state.started().or_else(|| commands.first().and_then(|asked| asked.command.started())),
            self.state.frozen().is_some() || self.state.status() == RunStatus::Waiting,
            now,
        );
        let in_force = match in_force.await {
            Ok(in_force) => in_force,
            Err(error) => return Some((Undone::Policies(error), commands)),
        };
        let mut events: Vec<run::Event> = Vec::new();
        let mut decided = Vec::with_capacity(commands.len());
        let mut refused = Vec::new();
        let mut meta: Option<Meta> = None;
        let Self { state, run, .. } = self;
        let (places, woken) = shared.registry.decide(*run, |slots| {
            let lane = asking.as_ref().map(Asking::lane);
            *slots = std::mem::take(slots)
                .with_locks(held.locks.clone())
                .with_lane(lane)
                .with_freezes(in_force.freezes)
                .with_holds(in_force.holds);
            for asked in commands {
                let asker = asker(state, &asked.command);
                match decide_and_evolve(state, &asked.command, &shared.language, slots, now) {
                    Ok(more) => {
                        if !more.is_empty() {
                            meta.get_or_insert_with(|| asked.meta.clone());
                        }
                        events.extend(more);
                        decided.push(Decided { asked, asker });
                    }
                    Err(rejection) => refused.push((asked, rejection)),
                }
            }
            if decided.is_empty() && state.started().is_some() {
                match decide_and_evolve(state, &Command::Due, &shared.language, slots, now) {
                    Ok(more) => events.extend(more),
                    Err(rejection) => tracing::error!(%rejection, "a run could not look at its timers"),
                }
            }
            let chosen: Vec<_> = slots.chosen().iter().map(|(target, at)| (*target, *at)).collect();
            (chosen, state.ready().next().is_some())
        });
        // What is known here may be a moment old, and then nobody is refused for it.
        if !refused.is_empty() && self.is_behind().await {
            let undone = refused.into_iter().map(|(asked, _)| asked);
            let undone = decided.into_iter().map(|decision: Decided| decision.asked).chain(undone).collect();
            return Some((Undone::Behind, undone));
        }
        for other in woken {
            let book = self.book.clone();
            shared.tasks.spawn(async move { book.nudge(other, Command::Due).await });
        }
        let (locks, freed) = (held.writes(&self.state), held.next(&self.state));
        if events.is_empty() && locks.is_empty() {
            refuse(refused);
            for decision in decided {
                let _ = decision.asked.reply.send(Ok(Reply::default()));
            }
            return None;
        }
        let mut meta = meta.unwrap_or_else(|| Meta {
            actor: super::book::system(),
            cause: shipway_events::Cause::Run(self.run),
            trace: None,
        });
        // What waited, and goes on because something came free, follows from the run's start.
        if meta.trace.is_none() && events.iter().any(|event| matches!(event, run::Event::AttemptRequested(_)))
        {
            meta.trace = self.began_in().await;
        }
        let trace = meta.trace.clone();
        // Before it is written: whoever leaves the lane right after it looks for who waits.
        self.note_turn();
        let lane = lanes::write(asking.as_ref(), &self.state, self.run, &events);
        let moved = lane.as_ref().and_then(|_| self.state.started()).map(|started| started.flow);
        let once = decided.first().and_then(|decision| decision.asked.id);
        match self.append(&events, once, meta, &places, locks.into_iter().chain(lane)).await {
            Ok(Some((first, version))) => {
                if let Some(flow) = moved.filter(|flow| asking.is_some() || self.book.waits_for_lane(*flow)) {
                    self.book.tell_lane(flow);
                }
                drop(asking);
                for next in freed.into_iter().filter(|next| *next != self.run) {
                    let book = self.book.clone();
                    shared.tasks.spawn(async move { book.nudge(next, Command::Assign).await });
                }
                for (target, executor) in places {
                    shared.registry.set_place(target, executor);
                }
                self.committed(&events, first, version, decided, trace);
                // Only now is what they were refused for, which those before them may have brought about, in the log.
                refuse(refused);
                None
            }
            taken => {
                let why = match taken {
                    Err(error) => Undone::Append(error),
                    Ok(_) => Undone::Before,
                };
                if let Undone::Append(AppendError::Conflict { stream, .. }) = &why {
                    self.learn_place(stream).await;
                }
                let undone = refused.into_iter().map(|(asked, _)| asked);
                let undone = decided.into_iter().map(|decision| decision.asked).chain(undone).collect();
                Some((why, undone))
            }
        }
    }

    /// What follows from a commit. Work points back to `trace`, the request that made it follow.
    fn committed(
        &mut self,
        events: &[run::Event],
        first: Position,
        version: Version,
        decided: Vec<Decided>,
        trace: Option<String>,
    ) {
        let shared = self.book.shared.clone();
        let generation = shared.log.generation();
        self.version = version;
        self.known.store(version, Ordering::Release);
        let mut assigned = Vec::new();
        let mut stops = false;
        for (position, event) in (first..).zip(events) {
            self.state.settle(event, position, generation);
            match event {
                run::Event::AttemptRequested(request) => {
                    let fence = Fence::new(generation, position);
                    let key = (request.executor, request.registration);
                    let mut work = self.told(assignment(&self.state, self.run, request, fence));
                    work.trace = trace.clone().unwrap_or_default();
                    assigned.push((key, work));
                }
                run::Event::Started(_) => metrics::RUNS_STARTED.add(1, &[]),
                run::Event::Ended(ended) => metrics::RUNS_ENDED.add(1, &[ended.status.as_str()]),
                run::Event::NodeTimedOut(_) | run::Event::Aborting(_) | run::Event::NodeFailed(_) => {
                    stops = true
                }
                _ => {}
            }
        }
        // Only a lock's queue may have changed.
        let last = (first + events.len() as Position).saturating_sub(1);
        for decision in decided {
            let mut reply = Reply { position: last, next: Vec::new() };
            if let Some(asker) = decision.asker {
                let (mine, others) = assigned.into_iter().partition(|(key, _)| *key == asker);
                assigned = others;
                reply.next = <Vec<(_, v1::Assignment)>>::into_iter(mine).map(|(_, work)| work).collect();
            }
            if let Err(Ok(unheard)) = decision.asked.reply.send(Ok(reply)) {
                // The executor went away before its answer: its next beat, or the bell, brings the work.
                assigned.extend(unheard.next.into_iter().filter_map(|work| Some((decision.asker?, work))));
            }
        }
        for ((executor, _), work) in assigned {
            // Failed: the bell is not heard.
            failpoint!(blocking "scheduler.assign", continue);
            shared.registry.ring(executor, Bell::Assign(work));
        }
        if stops {
            for open in self.state.open_attempts().filter(|open| open.attempt.stopping) {
                shared.registry.ring(open.attempt.executor, Bell::Stop(open.fence));
            }
        }
        self.changed.send_replace(Change::of(&self.state, last));
    }

    /// Nothing was written, or nobody knows, or others wrote: the log says what is. Its executors are told again what
    /// they were given, because an answer may have been lost; they know what they have.
    ///
    /// False if it holds what this Shipway cannot read: nothing is decided on half of what happened.
    async fn read_again(&mut self) -> bool {
        let was = usage(&self.state);
        let shared = self.book.shared.clone();
        self.forget_turn();
        loop {
            match load(&*shared.log, self.run).await {
                Ok(loaded) => (self.state, self.version) = loaded,
                Err(LoadError::Unknown(_)) => (self.state, self.version) = (RunState::new(), 0),
                Err(LoadError::Decode { source, .. }) => {
                    tracing::error!(error = %source, "a run cannot be read here; it is left as it is");
                    return false;
                }
                Err(error) => {
                    tracing::error!(%error, "a run could not be read; trying again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            break;
        }
        self.known.store(self.version, Ordering::Release);
        self.note_turn();
        shared.registry.correct(&was, &usage(&self.state));
        shared.registry.came_here(&self.state);
        let told = |open: &OpenAttempt<'_>| self.told(offer(&self.state, self.run, open));
        ring_all(&*shared.log, &shared.registry, &self.state, told).await;
        self.changed.send_replace(Change::of(&self.state, 0));
        true
    }

    fn told(&self, mut assignment: v1::Assignment) -> v1::Assignment {
        self.book.shared.cluster.address().clone_into(&mut assignment.scheduler);
        assignment.shard = self.shard.number();
        assignment
    }
}

/// Tells those who were refused. Who stopped waiting does not need the answer.
fn refuse(refused: Vec<(Asked, Rejection)>) {
    for (asked, rejection) in refused {
        let _ = asked.reply.send(Err(crate::refusal(&rejection)));
    }
}

/// The executor behind a completion, so that its answer can carry what follows.
fn asker(state: &RunState, command: &Command) -> Option<(ExecutorId, RegistrationId)> {
    let Command::Complete { node, .. } = command else { return None };
    state.assignment(*node).map(|attempt| (attempt.executor, attempt.registration))
}
