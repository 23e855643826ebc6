//! The lanes of runs that wait for their turn, as the log has them. What is known of a lane is kept and read on from there.
//!
//! A commit that lets a run in, or has it wait, names the version of the lane that it was decided on: of two runs that ask
//! at once one decides again. Those of this process ask one after another, so that many at once do not make each other
//! decide again and again. Runs of flows that allow all never look at their lane.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shipway_contracts::Code;
use shipway_engine::{
    Command, RunState,
    lane::{Call, LaneState, steps},
};
use shipway_eventing::log::{Expected, Log, ReadError, Snapshot, Write, fold};
use shipway_events::{
    Cause, ConcurrencyPolicy, DecodeError, FlowId, Meta, RunId, StreamEvent, StreamName, Version, lane, run,
};
use tokio::sync::OwnedMutexGuard;

use super::book::{Book, LoadError, system};

/// So many lanes are kept in mind.
const KEPT: usize = 10_000;
/// A snapshot is made when so many events have come since the last one.
const SNAPSHOT: Version = 500;
/// The number of the snapshots' shape: to be raised with every change of [`LaneState`].
const SCHEMA: u32 = 1;
/// How long it waits before it reads again what could not be read.
const PAUSE: Duration = Duration::from_millis(200);

/// All lanes that this process has read, and the runs here that wait in each.
#[derive(Default)]
pub(crate) struct LaneBook {
    known: Mutex<HashMap<FlowId, Arc<tokio::sync::Mutex<Known>>>>,
    waiting: Mutex<HashMap<FlowId, BTreeSet<RunId>>>,
}

/// A lane as it was read last.
#[derive(Default)]
struct Known {
    lane: LaneState,
    version: Version,
    /// The version of the last snapshot.
    kept: Version,
}

/// A lane while a run asks it: nobody else of this process does.
pub(super) struct Asking {
    known: OwnedMutexGuard<Known>,
}

/// Why a lane could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaneError {
    /// The log did not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A newer Shipway has written to it: what that means is not known here.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl LaneBook {
    /// The lane that a run asks now; none if it asks none: it has had its turn, or its flow allows all.
    pub(super) async fn ask<'a>(
        &self,
        log: &dyn Log,
        state: &RunState,
        mut commands: impl Iterator<Item = &'a Command>,
    ) -> Result<Option<Asking>, LaneError> {
        let flow = match state.started() {
            Some(started) if state.waits_for_lane() => started.flow,
            Some(_) => return Ok(None),
            None => match commands.next().and_then(Command::started) {
                Some(started) if started.policy != ConcurrencyPolicy::Allow => started.flow,
                _ => return Ok(None),
            },
        };
        self.read(log, flow).await.map(Some)
    }

    /// Whom a lane has something to say to.
    async fn calls(&self, log: &dyn Log, flow: FlowId) -> Result<Vec<Call>, LaneError> {
        Ok(self.read(log, flow).await?.known.lane.calls())
    }

    /// The run that one waits for, and how many more come before it; none if it does not wait.
    pub(crate) async fn ahead(
        &self,
        log: &dyn Log,
        flow: FlowId,
        run: RunId,
    ) -> Result<Option<(RunId, usize)>, LaneError> {
        Ok(self.read(log, flow).await?.known.lane.ahead(run))
    }

    async fn read(&self, log: &dyn Log, flow: FlowId) -> Result<Asking, LaneError> {
        let known = {
            let mut all = lock(&self.known);
            if all.len() >= KEPT {
                all.retain(|_, known| Arc::strong_count(known) > 1);
            }
            all.entry(flow).or_default().clone()
        };
        let mut known = known.lock_owned().await;
        let stream = StreamName::lane(flow);
        if known.version == 0 {
            let decode = |bytes: &[u8]| serde_json::from_slice(bytes).ok();
            let read = fold(log, &stream, SCHEMA, LaneState::default(), decode, evolve).await?;
            (known.lane, known.version) = read;
            known.kept = known.version;
        } else {
            read_on(log, &stream, &mut known).await?;
        }
        if known.version >= known.kept + SNAPSHOT {
            known.kept = known.version;
            keep(log, &stream, &known).await;
        }
        Ok(Asking { known })
    }

    /// Whether a run that is here waits for its lane, from now on.
    pub(super) fn note(&self, flow: FlowId, run: RunId, waits: bool) {
        let mut waiting = lock(&self.waiting);
        if waits {
            waiting.entry(flow).or_default().insert(run);
        } else if let Some(runs) = waiting.get_mut(&flow) {
            runs.remove(&run);
            if runs.is_empty() {
                waiting.remove(&flow);
            }
        }
    }

    /// Whether a run that is here waits for this lane.
    fn is_waited_for(&self, flow: FlowId) -> bool {
        lock(&self.waiting).contains_key(&flow)
    }
}

impl Asking {
    pub(super) fn lane(&self) -> LaneState {
        self.known.lane.clone()
    }

    fn expected(&self) -> Expected {
        match self.known.version {
            0 => Expected::New,
            version => Expected::Version(version),
        }
    }
}

/// What a run's events mean to its lane, to be written with them.
pub(super) fn write(
    asking: Option<&Asking>,
    state: &RunState,
    run: RunId,
    events: &[run::Event],
) -> Option<Write> {
    let steps = steps(run, events);
    let started = state.started().filter(|_| !steps.is_empty())?;
    let events = steps.iter().map(StreamEvent::encode).collect();
    let expected = asking.map_or(Expected::Any, Asking::expected);
    Some(Write { stream: StreamName::lane(started.flow), expected, events })
}

async fn read_on(log: &dyn Log, stream: &StreamName, known: &mut Known) -> Result<(), LaneError> {
    const PAGE: usize = 1000;
    loop {
        let page = log.read_stream(stream, known.version, PAGE).await?;
        for raw in &page {
            // Whole before it is kept: half a lane would let runs in that may not go on.
            if let Some(recorded) = lane::Event::read(raw)? {
                known.lane.evolve(&recorded.event);
            }
            known.version = raw.version;
        }
        if page.len() < PAGE {
            return Ok(());
        }
    }
}

fn evolve(mut lane: LaneState, raw: &shipway_events::RawEvent) -> Result<LaneState, LaneError> {
    if let Some(recorded) = lane::Event::read(raw)? {
        lane.evolve(&recorded.event);
    }
    Ok(lane)
}

/// A snapshot is a cache: without it the lane is folded from further back.
async fn keep(log: &dyn Log, stream: &StreamName, known: &Known) {
    let Ok(state) = serde_json::to_vec(&known.lane) else { return };
    let snapshot = Snapshot { version: known.version, state };
    if let Err(error) = log.put_snapshot(stream, SCHEMA, snapshot).await {
        tracing::warn!(%stream, %error, "a lane's snapshot could not be kept");
    }
}

impl Book {
    /// A lane has moved: whoever is to go on, to end or to be aborted by it hears of it.
    async fn lane_moved(&self, flow: FlowId) {
        loop {
            match self.shared.lanes.calls(&*self.shared.log, flow).await {
                Ok(calls) => {
                    let mut heard = true;
                    for call in calls {
                        heard &= self.call(call).await;
                    }
                    if heard {
                        return;
                    }
                }
                Err(LaneError::Decode(error)) => {
                    tracing::error!(%flow, %error, "a lane cannot be read here; its runs are left as they are");
                    return;
                }
                Err(LaneError::Read(error)) => {
                    tracing::warn!(%flow, %error, "a lane could not be read; trying again");
                }
            }
            tokio::time::sleep(PAUSE).await;
            if !self.shared.lanes.is_waited_for(flow) {
                return;
            }
        }
    }

    /// False if it has to be said again. A run that is with another scheduler hears of it there, when it is taken up.
    async fn call(&self, call: Call) -> bool {
        match call {
            Call::Ask(run) if self.version(run).is_some() => {
                self.nudge(run, Command::Due).await;
                true
            }
            Call::Abort { run, by } if self.version(run).is_some() => {
                let meta = Meta { actor: system(), cause: Cause::Run(by), trace: None };
                let reason = format!("replaced by run {by}");
                match self.command(run, Command::Abort { reason, by: Some(by) }, meta).await {
                    Ok(_) => true,
                    // With any other error it has ended by itself.
                    Err(error) => error.code != Code::Unavailable,
                }
            }
            Call::Ask(_) | Call::Abort { .. } => true,
        }
    }

    /// Tells whoever has to know that a lane has moved, beside what is being done.
    pub(crate) fn tell_lane(&self, flow: FlowId) {
        self.tell_lane_after(flow, Duration::ZERO);
    }

    /// The same, for a run that could not be decided about: it is asked again in a while.
    pub(super) fn tell_lane_later(&self, flow: FlowId) {
        self.tell_lane_after(flow, PAUSE);
    }

    fn tell_lane_after(&self, flow: FlowId, pause: Duration) {
        let book = self.clone();
        self.shared.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            book.lane_moved(flow).await;
        });
    }

    /// Opens a run that another scheduler has let wait, beside what is being done.
    pub(crate) fn open_later(&self, run: RunId) {
        let book = self.clone();
        self.shared.tasks.spawn(async move {
            while let Err(error @ LoadError::Read { .. }) = book.open_run(run).await {
                tracing::warn!(%run, %error, "a run that waits could not be opened; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        });
    }

    /// Whether a run that is here waits for this lane.
    pub(crate) fn waits_for_lane(&self, flow: FlowId) -> bool {
        self.shared.lanes.is_waited_for(flow)
    }

    /// The run that one waits for in its lane, and how many more come before it; none if it does not wait.
    pub(crate) async fn turn(&self, state: &RunState) -> Option<(RunId, usize)> {
        let started = state.started().filter(|_| state.waits_for_lane())?;
        self.shared.lanes.ahead(&*self.shared.log, started.flow, started.run).await.ok().flatten()
    }

    /// The same in words.
    pub(crate) async fn turn_in_words(&self, state: &RunState) -> Option<String> {
        let (first, more) = self.turn(state).await?;
        Some(shipway_engine::lane::waits_in_words(first, more))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in it is put there whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
