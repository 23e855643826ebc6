//! How far each consumer of a process is: for metrics and for whoever must not fall behind.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use shipway_events::Position;

use super::{Left, Pace};
use crate::log::Log;

/// What a consumer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Read tables.
    Projection,
    /// Commands.
    Reaction,
}

/// How far a consumer is.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The consumer.
    pub name: &'static str,
    /// What it writes.
    pub form: Form,
    /// The last event that it has handled.
    pub position: Position,
    /// Events of the log that it has not handled.
    pub behind: u64,
    /// How long since it was last at the end of the log; zero while it is.
    pub behind_for: Duration,
    /// What is left if it is far behind and its pace is known.
    pub left: Option<Left>,
}

/// The consumers of one feed, as long as they run.
#[derive(Clone, Debug, Default)]
pub struct Consumers(Arc<Mutex<Vec<Weak<Progress>>>>);

/// One consumer's progress, written by itself.
#[derive(Debug)]
pub(super) struct Progress {
    name: &'static str,
    form: Form,
    position: AtomicU64,
    behind_since: Mutex<Option<Instant>>,
    pace: Mutex<Pace>,
}

impl Consumers {
    /// A consumer begins to work; it says where it is with [`Progress::at`].
    pub(super) fn begin(&self, name: &'static str, form: Form) -> Arc<Progress> {
        let position = AtomicU64::new(0);
        let (behind_since, pace) = (Mutex::default(), Mutex::default());
        let progress = Arc::new(Progress { name, form, position, behind_since, pace });
        let mut all = lock(&self.0);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&progress));
        progress
    }

    /// How far each is on the way to the end of this log, their feed's, in the order in which they began.
    #[must_use]
    pub fn standing(&self, log: &dyn Log) -> Vec<Standing> {
        let end = *log.tail().borrow();
        lock(&self.0).iter().filter_map(Weak::upgrade).map(|progress| progress.standing(end)).collect()
    }
}

impl Progress {
    /// It has handled everything up to there.
    pub(super) fn at(&self, position: Position) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// The same, of a log that ends there.
    pub(super) fn at_of(&self, position: Position, end: Position) {
        lock(&self.pace).seen(position, end, Instant::now());
        self.at(position);
    }

    /// There is nothing more to handle.
    pub(super) fn caught_up(&self) {
        *lock(&self.behind_since) = None;
    }

    /// There is something to handle.
    pub(super) fn behind(&self) {
        lock(&self.behind_since).get_or_insert_with(Instant::now);
    }

    fn standing(&self, end: Position) -> Standing {
        let position = self.position.load(Ordering::Relaxed);
        let behind = end.saturating_sub(position);
        let since = *lock(&self.behind_since);
        let behind_for = since.filter(|_| behind > 0).map_or(Duration::ZERO, |since| since.elapsed());
        let left = lock(&self.pace).left(end);
        Standing { name: self.name, form: self.form, position, behind, behind_for, left }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in there is whole after every change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
