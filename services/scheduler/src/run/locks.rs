//! The locks that a run may want, as the log has them. What is known of a lock is kept and read on from there; a commit
//! names the version that it was decided on, so of two runs that take the same lock one decides again.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use shipway_engine::{Command, LockState, Locks, RunState, lock_names};
use shipway_eventing::log::{Expected, Log, ReadError, Write};
use shipway_events::{ProjectId, RunId, StreamEvent, StreamName, Version, lock};

/// How many events are read at a time.
const PAGE: usize = 1000;
/// So many locks are kept in mind.
const KEPT: usize = 10_000;

/// All locks that this process has read.
#[derive(Default)]
pub(crate) struct LockBook {
    known: Mutex<HashMap<StreamName, (Version, LockState)>>,
}

/// The locks of one decision, as they are in the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) locks: Locks,
    versions: BTreeMap<String, Version>,
    project: Option<ProjectId>,
}

impl LockBook {
    /// The locks that a run may want, one that is about to start too; nothing is read for one that wants none.
    pub(super) async fn read<'a>(
        &self,
        log: &dyn Log,
        state: &RunState,
        mut commands: impl Iterator<Item = &'a Command>,
    ) -> Result<Held, ReadError> {
        let (project, names) = match state.started() {
            Some(started) => (started.project, Cow::Borrowed(state.lock_names())),
            None => match commands.next().and_then(Command::started) {
                Some(started) => (started.project, Cow::Owned(lock_names(&started.plan))),
                None => return Ok(Held::default()),
            },
        };
        let mut held = Held::default();
        for name in names.iter() {
            held.project = Some(project);
            let (version, lock) = self.read_one(log, StreamName::lock(project, name)).await?;
            held.versions.insert(name.clone(), version);
            held.locks.insert(name.clone(), lock);
        }
        Ok(held)
    }

    /// The runs that wait for a lock.
    pub(super) async fn waiting(&self, log: &dyn Log, stream: StreamName) -> Result<Vec<RunId>, ReadError> {
        let (_, lock) = self.read_one(log, stream).await?;
        Ok(lock.waiting().map(|who| who.run).collect())
    }

    async fn read_one(&self, log: &dyn Log, stream: StreamName) -> Result<(Version, LockState), ReadError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&stream).cloned();
        let (mut version, mut lock) = known.unwrap_or_default();
        loop {
            let page = log.read_stream(&stream, version, PAGE).await?;
            for raw in &page {
                match lock::Event::from_raw(raw) {
                    Ok(recorded) => lock.evolve(&recorded.event),
                    Err(error) => tracing::error!(%stream, %error, "an event of a lock cannot be read"),
                }
                version = raw.version;
            }
            if page.len() < PAGE {
                break;
            }
        }
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(stream, (version, lock.clone()));
        Ok((version, lock))
    }
}

impl Held {
    /// What is to be written to locks with a run's events.
    pub(super) fn writes(&self, state: &RunState) -> Vec<Write> {
        let Some(project) = self.project else { return Vec::new() };
        let mut streams: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (name, event) in state.lock_events(&self.locks) {
            streams.entry(name).or_default().push(event.encode());
        }
        let write = |(name, events): (String, Vec<_>)| {
            let expected = match self.versions.get(&name).copied().unwrap_or_default() {
                0 => Expected::New,
                version => Expected::Version(version),
            };
            Write { stream: StreamName::lock(project, &name), expected, events }
        };
        streams.into_iter().map(write).collect()
    }

    /// The runs that come next for locks that a run gives back.
    pub(super) fn next(&self, state: &RunState) -> Vec<RunId> {
        let mut next = Vec::new();
        for (name, event) in state.lock_events(&self.locks) {
            if let (lock::Event::Released(_), Some(lock)) = (event, self.locks.get(&name)) {
                next.extend(lock.waiting().map(|who| who.run));
            }
        }
        next.sort_unstable();
        next.dedup();
        next
    }
}
