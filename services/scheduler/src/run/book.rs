//! The runs that are open here, each with one task that decides its commands one after another.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shipway_contracts::{Error, v1};
use shipway_engine::{Command, OpenAttempt, RunState};
use shipway_eventing::{
    failing,
    log::{Log, ReadError},
};
use shipway_events::{
    CommandId, DecodeError, FlowId, Meta, Position, ProjectId, RunId, RunStatus, StreamEvent, StreamName,
    Version, run,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::{
    actor::{Actor, Asked, Message, Reply},
    lanes::LaneBook,
    locks::LockBook,
};
use crate::{
    cluster::{Cluster, shards::Shard},
    language::Documents,
    policies::PolicyBook,
    registry::Registry,
};

/// How long anybody waits for a run's task. It takes no longer unless it waits itself, for a log that is away.
const ANSWER: Duration = Duration::from_secs(10);

/// All open runs of this process.
#[derive(Clone)]
pub(crate) struct Book {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) log: Arc<dyn Log>,
    pub(super) registry: Arc<Registry>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) language: Documents,
    pub(super) tasks: TaskTracker,
    pub(super) locks: LockBook,
    pub(super) lanes: LaneBook,
    pub(super) policies: PolicyBook,
    open: Mutex<HashMap<RunId, Handle>>,
}

/// The way to a run's task.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) changed: watch::Receiver<Change>,
    pub(super) shard: Shard,
    /// The version of the run's stream that its task knows.
    pub(super) version: Arc<AtomicU64>,
}

impl Handle {
    /// Sends a message whose answer is waited for; tells whether the task was still there. The handle is gone by then: what
    /// is sent at the moment in which the task ends stays in its channel, and its answer is waited for, until every
    /// sender is gone.
    async fn send(self, message: Message) -> bool {
        self.messages.send(message).await.is_ok()
    }
}

/// What watchers are told of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// The position of its last event; 0 when it was read again.
    pub(crate) position: Position,
    /// It has ended.
    pub(crate) ended: bool,
    /// Where it stands; none before it has started.
    pub(crate) status: Option<RunStatus>,
}

impl Change {
    /// What there is to tell of a run whose last event is at a position.
    pub(super) fn of(state: &RunState, position: Position) -> Self {
        let status = state.started().map(|_| state.status());
        Self { position, ended: state.ended().is_some(), status }
    }
}

/// Why a run's state could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// There is no such run.
    #[error("there is no run {0}")]
    Unknown(RunId),
    /// Its lane is another scheduler's.
    #[error("run {0} is with another scheduler")]
    Elsewhere(RunId),
    /// The log could not be read.
    #[error("reading the events of run {run}")]
    Read {
        run: RunId,
        #[source]
        source: ReadError,
    },
    /// The log holds an event that this Shipway does not know.
    #[error("reading the events of run {run}")]
    Decode {
        run: RunId,
        #[source]
        source: DecodeError,
    },
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        match &error {
            LoadError::Unknown(_) => Self::not_found(error.to_string()),
            LoadError::Read { .. } | LoadError::Elsewhere(_) => {
                Self::unavailable(format!("{error}; try again"))
            }
            // A newer scheduler can read it, and what was asked of this one is kept until one does.
            LoadError::Decode { source: newer @ DecodeError::Unknown { .. }, .. } => {
                Self::unavailable(format!("{error}: {newer}"))
            }
            LoadError::Decode { .. } => Self::internal(&error),
        }
    }
}

/// How often a run is opened anew for a command whose task was just ending.
const OPENINGS: usize = 20;
/// How many events are read at a time while a run is folded.
const PAGE: usize = 1000;

impl Book {
    pub(crate) fn new(
        log: Arc<dyn Log>,
        registry: Arc<Registry>,
        cluster: Arc<Cluster>,
        tasks: TaskTracker,
    ) -> Self {
        let open = Mutex::new(HashMap::new());
        Self {
            shared: Arc::new(Shared {
                log,
                registry,
                cluster,
                language: Documents,
                tasks,
                locks: LockBook::default(),
                lanes: LaneBook::default(),
                policies: PolicyBook::default(),
                open,
            }),
        }
    }

    /// Starts a run: its first events and its place in its lane are one append. With a reason, what is held is released,
    /// too.
    pub(crate) async fn start(
        &self,
        started: run::Started,
        despite: Option<String>,
        meta: Meta,
    ) -> Result<Reply, Error> {
        let (id, flow, started) = (started.run, started.flow, Box::new(started));
        let command = match despite {
            Some(reason) => Command::StartDespite { started, by: meta.actor.clone(), reason },
            None => Command::Start { started },
        };
        self.begin(id, flow, command, meta).await
    }

    /// Starts a run that branches off another one.
    pub(crate) async fn resume(
        &self,
        started: run::Started,
        resumed: run::Resumed,
        meta: Meta,
    ) -> Result<Reply, Error> {
        let (id, flow) = (started.run, started.flow);
        let command = Command::Resume { started: Box::new(started), resumed: Box::new(resumed) };
        self.begin(id, flow, command, meta).await
    }

    async fn begin(&self, id: RunId, flow: FlowId, command: Command, meta: Meta) -> Result<Reply, Error> {
        let shard = Shard::of(flow, id);
        if !self.shared.cluster.is_here(shard) {
            return Err(LoadError::Elsewhere(id).into());
        }
        let handle = {
            let mut open = self.open();
            open.entry(id).or_insert_with(|| Actor::spawn(self, (RunState::new(), 0), id, shard)).clone()
        };
        self.tell(handle, None, command, meta).await?.ok_or_else(gone)
    }

    /// Gives a run a command. A rejection comes back as an error, in words.
    pub(crate) async fn command(&self, run: RunId, command: Command, meta: Meta) -> Result<Reply, Error> {
        self.command_once(run, None, command, meta).await
    }

    /// The same for a command that may come again. What the log has under its id already is refused.
    pub(crate) async fn command_once(
        &self,
        run: RunId,
        id: Option<CommandId>,
        command: Command,
        meta: Meta,
    ) -> Result<Reply, Error> {
        // A task that is just ending answers nothing; the run is then opened again. That of a run that is over ends as soon
        // as it finds nothing to do, which may be before it is told this.
        for _ in 0..OPENINGS {
            let handle = self.handle(run).await?;
            if let Some(reply) = self.tell(handle, id, command.clone(), meta.clone()).await? {
                return Ok(reply);
            }
            tokio::task::yield_now().await;
        }
        Err(gone())
    }

    /// Lets a run look at its timers, or for room, without waiting for it.
    pub(crate) async fn nudge(&self, run: RunId, command: Command) {
        if let Ok(handle) = self.handle(run).await {
            let (reply, _) = oneshot::channel();
            let meta = Meta { actor: system(), cause: shipway_events::Cause::Clock, trace: None };
            // A task that is just ending has nothing to do for a nudge.
            let _ = handle.messages.send(Message::Command(Asked { command, id: None, meta, reply })).await;
        }
    }

    /// A lock has come free: who waits for it looks again, if it is here.
    pub(crate) async fn lock_came_free(&self, lock: StreamName) {
        match self.shared.locks.waiting(&*self.shared.log, lock).await {
            Ok(runs) => {
                for run in runs.into_iter().filter(|run| self.version(*run).is_some()) {
                    self.nudge(run, Command::Assign).await;
                }
            }
            Err(error) => tracing::warn!(%error, "a lock could not be read; who waits for it looks later"),
        }
    }

    /// What is known of projects' policies.
    pub(crate) fn policies(&self) -> &PolicyBook {
        &self.shared.policies
    }

    /// There is more to be read of a project's policies: all runs look again, the oldest first.
    pub(crate) fn policies_changed(&self, project: ProjectId, version: Version) {
        self.shared.policies.heard(project, version);
        let book = self.clone();
        self.shared.tasks.spawn(async move {
            let mut runs = book.open_runs();
            runs.sort_unstable();
            for run in runs {
                book.nudge(run, Command::Due).await;
            }
        });
    }

    /// The run as it is now.
    pub(crate) async fn look(&self, run: RunId) -> Result<RunState, LoadError> {
        let handle = self.open().get(&run).cloned();
        if let Some(handle) = handle {
            let (reply, answer) = oneshot::channel();
            if handle.send(Message::Look(reply)).await
                && let Ok(Ok(state)) = timeout(ANSWER, answer).await
            {
                return Ok(*state);
            }
        }
        load(&*self.shared.log, run).await.map(|(state, _)| state)
    }

    /// The same, as it is in the log by now. A scheduler that has lost a run's lane without having heard of it would show
    /// what it knew to somebody to whom the one that has the lane has told more.
    pub(crate) async fn look_now(&self, run: RunId) -> Result<RunState, LoadError> {
        let log = &*self.shared.log;
        if self.shared.cluster.together().is_some()
            && let Some(known) = self.version(run)
        {
            let newer = log.read_stream(&StreamName::run(run), known, 1).await;
            if !newer.map_err(|source| LoadError::Read { run, source })?.is_empty() {
                return load(log, run).await.map(|(state, _)| state);
            }
        }
        self.look(run).await
    }

    /// Changes whenever the run does; none when the run is not open.
    pub(crate) fn changes(&self, run: RunId) -> Option<watch::Receiver<Change>> {
        self.open().get(&run).map(|handle| handle.changed.clone())
    }

    /// Whether the run has ended, as far as is known without asking it.
    pub(crate) fn has_ended(&self, run: RunId) -> bool {
        self.open().get(&run).is_none_or(|handle| handle.changed.borrow().ended)
    }

    /// The runs that are open here.
    pub(crate) fn open_runs(&self) -> Vec<RunId> {
        self.open().keys().copied().collect()
    }

    /// Whether a run is open here, and the version of it that is known.
    pub(crate) fn version(&self, run: RunId) -> Option<Version> {
        self.open().get(&run).map(|handle| handle.version.load(Ordering::Acquire))
    }

    /// Another process has written to a run: it is read again.
    pub(crate) async fn refresh(&self, run: RunId, version: Version) {
        let handle = self.open().get(&run).cloned();
        if let Some(handle) = handle {
            // A task that is just ending has nothing to learn.
            let _ = handle.messages.send(Message::Refresh(version)).await;
        }
    }

    /// The open runs of some shards go: their lanes are another scheduler's.
    pub(crate) async fn leave(&self, gone: impl Fn(Shard) -> bool) {
        let handles: Vec<Handle> = {
            let open = self.open();
            open.values().filter(|handle| gone(handle.shard)).cloned().collect()
        };
        let leave = |handle: Handle| async move {
            let (left, done) = oneshot::channel();
            if handle.send(Message::Leave(left)).await {
                // The task has ended in any case when the channel is gone.
                let _ = done.await;
            }
        };
        futures::future::join_all(handles.into_iter().map(leave)).await;
    }

    /// Where a run stands, if it is open here: without its state, which may be large.
    pub(crate) fn status_if_open(&self, run: RunId) -> Option<RunStatus> {
        self.open().get(&run)?.changed.borrow().status
    }

    /// Tells the executors of a run's attempts what they are to do, in case they were not told.
    pub(crate) async fn ring(&self, run: RunId) {
        if let Ok(state) = self.look(run).await {
            let told = |open: &OpenAttempt<'_>| self.told(&state, run, open);
            super::told::ring_all(&*self.shared.log, &self.shared.registry, &state, told).await;
        }
    }

    /// An open attempt as its executor is told of it.
    pub(crate) fn told(&self, state: &RunState, run: RunId, open: &OpenAttempt<'_>) -> v1::Assignment {
        let flow = state.started().map_or(FlowId::new(uuid::Uuid::nil()), |started| started.flow);
        v1::Assignment {
            scheduler: self.shared.cluster.address().to_owned(),
            shard: Shard::of(flow, run).number(),
            ..super::told::offer(state, run, open)
        }
    }

    /// Opens a run, so that its timers and its work go on.
    pub(crate) async fn open_run(&self, run: RunId) -> Result<(), LoadError> {
        self.handle(run).await.map(|_| ())
    }

    async fn handle(&self, run: RunId) -> Result<Handle, LoadError> {
        if let Some(handle) = self.open().get(&run) {
            return Ok(handle.clone());
        }
        let (state, version) = failing!(
            "scheduler.open",
            |why| LoadError::Read { run, source: why.into() },
            load(&*self.shared.log, run).await
        )?;
        let started = state.started().ok_or(LoadError::Unknown(run))?;
        let shard = Shard::of(started.flow, run);
        if !self.shared.cluster.is_here(shard) {
            return Err(LoadError::Elsewhere(run));
        }
        let mut open = self.open();
        Ok(open.entry(run).or_insert_with(|| Actor::spawn(self, (state, version), run, shard)).clone())
    }

    async fn tell(
        &self,
        handle: Handle,
        id: Option<CommandId>,
        command: Command,
        meta: Meta,
    ) -> Result<Option<Reply>, Error> {
        let (reply, answer) = oneshot::channel();
        if !handle.send(Message::Command(Asked { command, id, meta, reply })).await {
            return Ok(None);
        }
        match timeout(ANSWER, answer).await {
            Ok(Ok(result)) => result.map(Some),
            Ok(Err(_)) => Ok(None),
            Err(_) => Err(Error::unavailable(
                "the log has not answered for so long that it may be away; what was asked may yet be done: ask again",
            )),
        }
    }

    /// Takes an ended run off the book, unless somebody has just written to it.
    pub(super) fn close(&self, run: RunId, messages: &mpsc::Receiver<Message>) -> bool {
        let mut open = self.open();
        if !messages.is_empty() {
            return false;
        }
        open.remove(&run);
        true
    }

    /// Takes a run off the book whose lane is another scheduler's.
    pub(super) fn drop_run(&self, run: RunId) {
        self.open().remove(&run);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<RunId, Handle>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Folds a run's events; with the version of the last one.
pub(crate) async fn load(log: &dyn Log, run: RunId) -> Result<(RunState, Version), LoadError> {
    let stream = StreamName::run(run);
    let mut state = RunState::new();
    let mut after = 0;
    loop {
        let page =
            log.read_stream(&stream, after, PAGE).await.map_err(|source| LoadError::Read { run, source })?;
        for raw in &page {
            let recorded = run::Event::read(raw).map_err(|source| LoadError::Decode { run, source })?;
            if let Some(recorded) = recorded {
                state.evolve(&recorded, log.generation());
            }
            after = raw.version;
        }
        if page.len() < PAGE {
            break;
        }
    }
    if after == 0 { Err(LoadError::Unknown(run)) } else { Ok((state, after)) }
}

/// The flow of a run, from its first event.
pub(crate) async fn flow_of(log: &dyn Log, run: RunId) -> Result<FlowId, LoadError> {
    let first = log.read_stream(&StreamName::run(run), 0, 1).await;
    let first = first.map_err(|source| LoadError::Read { run, source })?;
    let raw = first.first().ok_or(LoadError::Unknown(run))?;
    match run::Event::from_raw(raw).map_err(|source| LoadError::Decode { run, source })?.event {
        run::Event::Started(started) => Ok(started.flow),
        _ => Err(LoadError::Unknown(run)),
    }
}

pub(crate) fn system() -> shipway_events::Actor {
    shipway_events::Actor::System("scheduler".to_owned())
}

/// How long a watcher is spared changes that come close together.
pub(crate) const QUIET: Duration = Duration::from_millis(25);

fn gone() -> Error {
    Error::unavailable("the run is being closed; try again")
}
