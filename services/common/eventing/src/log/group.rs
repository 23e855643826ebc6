//! Group commit: one appender task per process takes whatever arrived while the last commit ran.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use shipway_events::CommandId;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{AppendError, Appended, prepare::Prepared};

/// A batch takes no further item once it has this many.
const MAX_ITEMS: usize = 256;

/// A batch takes no further item that would bring it above so many events. A larger item goes alone.
const MAX_EVENTS: usize = 2_000;

/// How many calls may wait for the appender before further ones wait to be queued.
const QUEUE: usize = 4_096;

/// What an appender did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed with at least one event.
    pub commits: u64,
    /// Items appended.
    pub items: u64,
    /// Events appended.
    pub events: u64,
    /// Batches that failed and were tried again item by item.
    pub retried: u64,
}

/// Is told what an appender does, as it does it. It must not wait.
pub trait Observer: Send + Sync + 'static {
    /// A commit was made: so many commands with so many events were new in it, and it took so long.
    fn committed(&self, commands: u64, events: u64, took: Duration);

    /// The database did not take a commit.
    fn failed(&self);
}

pub(crate) type Outcome = Result<Appended, AppendError>;

/// The database's side: commits a batch as one transaction.
#[async_trait]
pub(crate) trait Writer: Send + 'static {
    /// One outcome per item, in order, or an error if nothing (or possibly nothing) was committed. No two items
    /// have the same command id.
    async fn commit(&mut self, items: &[Prepared]) -> Result<Vec<Outcome>, sqlx::Error>;

    /// Called once, after the last commit.
    async fn close(self);
}

/// The way to the appender task.
pub(crate) struct Group {
    queue: mpsc::Sender<Vec<Pending>>,
    task: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
}

struct Pending {
    item: Prepared,
    reply: oneshot::Sender<Outcome>,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    items: AtomicU64,
    events: AtomicU64,
    retried: AtomicU64,
    observer: OnceLock<Arc<dyn Observer>>,
}

impl Group {
    pub(crate) fn spawn(writer: impl Writer) -> Self {
        let (queue, calls) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let appender = Appender { writer, calls, backlog: VecDeque::new(), counters: Arc::clone(&counters) };
        Self { queue, task: Mutex::new(Some(tokio::spawn(appender.run()))), counters }
    }

    /// Hands the items over together and waits for their outcomes.
    pub(crate) async fn append(&self, items: Vec<Prepared>) -> Vec<Outcome> {
        let mut replies = Vec::with_capacity(items.len());
        let calls = items.into_iter().map(|item| {
            let (reply, outcome) = oneshot::channel();
            replies.push(outcome);
            Pending { item, reply }
        });
        let calls: Vec<_> = calls.collect();
        // A closed queue drops the calls, and with them the senders of the replies.
        drop(self.queue.send(calls).await);
        let mut outcomes = Vec::with_capacity(replies.len());
        for outcome in replies {
            outcomes.push(outcome.await.unwrap_or(Err(AppendError::Closed)));
        }
        outcomes
    }

    /// Tells somebody what is done from now on. Only the first call counts.
    pub(crate) fn observe(&self, observer: Arc<dyn Observer>) {
        // Two would tell the same twice; the first stays.
        drop(self.counters.observer.set(observer));
    }

    pub(crate) fn stats(&self) -> Stats {
        let Counters { commits, items, events, retried, .. } = &*self.counters;
        Stats {
            commits: commits.load(Ordering::Relaxed),
            items: items.load(Ordering::Relaxed),
            events: events.load(Ordering::Relaxed),
            retried: retried.load(Ordering::Relaxed),
        }
    }

    /// Ends the task after what is queued.
    pub(crate) async fn close(&self) {
        let task = self.task.lock().expect("nothing panics while it holds this").take();
        if let Some(task) = task {
            drop(self.queue.send(Vec::new()).await);
            drop(task.await);
        }
    }
}

struct Appender<W> {
    writer: W,
    calls: mpsc::Receiver<Vec<Pending>>,
    /// Items that arrived but are in no batch yet, in order.
    backlog: VecDeque<Pending>,
    counters: Arc<Counters>,
}

/// A batch, and the repetitions of its commands: they get the answer of the item with that index.
struct Batch {
    items: Vec<Prepared>,
    replies: Vec<oneshot::Sender<Outcome>>,
    repeated: Vec<(Pending, usize)>,
}

impl<W: Writer> Appender<W> {
    async fn run(mut self) {
        loop {
            if self.backlog.is_empty() {
                match self.calls.recv().await {
                    None => break,
                    // The mark that `close` sends: what was queued before it is done.
                    Some(calls) if calls.is_empty() => self.calls.close(),
                    Some(calls) => self.backlog.extend(calls),
                }
                continue;
            }
            let batch = self.gather();
            self.commit(batch).await;
        }
        self.writer.close().await;
    }

    /// Takes what is there, without waiting for more.
    fn gather(&mut self) -> Batch {
        while self.backlog.len() < MAX_ITEMS
            && let Ok(calls) = self.calls.try_recv()
        {
            if calls.is_empty() {
                self.calls.close();
            }
            self.backlog.extend(calls);
        }
        let mut batch = Batch { items: Vec::new(), replies: Vec::new(), repeated: Vec::new() };
        let mut commands: HashMap<CommandId, usize> = HashMap::new();
        let mut events = 0;
        while batch.items.len() < MAX_ITEMS
            && let Some(next) = self.backlog.front()
            && (batch.items.is_empty() || events + next.item.events <= MAX_EVENTS)
        {
            let Some(next) = self.backlog.pop_front() else { break };
            if let Some(&first) = commands.get(&next.item.command) {
                batch.repeated.push((next, first));
                continue;
            }
            events += next.item.events;
            commands.insert(next.item.command, batch.items.len());
            batch.items.push(next.item);
            batch.replies.push(next.reply);
        }
        batch
    }

    async fn commit(&mut self, batch: Batch) {
        let Batch { items, replies, repeated } = batch;
        let outcomes = self.try_commit(&items).await;
        if let Err(source) = &outcomes
            && is_lock(source)
        {
            self.refuse_waiting(source);
        }
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(source) if items.len() == 1 => vec![Err(unavailable(source))],
            Err(source) if is_outage(&source) => {
                tracing::warn!(error = %source, items = items.len(), "a batch failed; its callers may try again");
                items.iter().map(|_| Err(away(&source))).collect()
            }
            Err(source) => {
                tracing::warn!(error = %source, items = items.len(), "a batch failed; retrying item by item");
                self.counters.retried.fetch_add(1, Ordering::Relaxed);
                self.one_by_one(&items).await
            }
        };
        // From the back, so that those that must be decided anew come in their order.
        for (pending, first) in repeated.into_iter().rev() {
            match &outcomes[first] {
                Ok(answer) => {
                    drop(pending.reply.send(Ok(Appended { duplicate: true, ..answer.clone() })));
                }
                Err(_) => self.backlog.push_front(pending),
            }
        }
        for (reply, outcome) in replies.into_iter().zip(outcomes) {
            // A caller that went away repeats its command and gets this answer.
            drop(reply.send(outcome));
        }
    }

    /// What came while a batch waited for a lock in vain has waited as well, and would wait as long once more.
    fn refuse_waiting(&mut self, source: &sqlx::Error) {
        let mut waiting: Vec<_> = self.backlog.drain(..).collect();
        while let Ok(calls) = self.calls.try_recv() {
            if calls.is_empty() {
                self.calls.close();
            }
            waiting.extend(calls);
        }
        for pending in waiting {
            drop(pending.reply.send(Err(away(source))));
        }
    }

    async fn one_by_one(&mut self, items: &[Prepared]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            let outcome = match self.try_commit(std::slice::from_ref(item)).await {
                Ok(mut outcome) => outcome.pop().expect("one outcome per item"),
                Err(source) => Err(unavailable(source)),
            };
            outcomes.push(outcome);
        }
        outcomes
    }

    /// One try at one commit, counted.
    async fn try_commit(&mut self, items: &[Prepared]) -> Result<Vec<Outcome>, sqlx::Error> {
        let begin = Instant::now();
        let outcomes = self.writer.commit(items).await;
        match &outcomes {
            Ok(outcomes) => self.count(items, outcomes, begin.elapsed()),
            Err(_) => {
                if let Some(observer) = self.counters.observer.get() {
                    observer.failed();
                }
            }
        }
        outcomes
    }

    fn count(&self, items: &[Prepared], outcomes: &[Outcome], took: Duration) {
        let new = |outcome: &&(&Prepared, &Outcome)| matches!(outcome.1, Ok(answer) if !answer.duplicate);
        let pairs: Vec<_> = items.iter().zip(outcomes).collect();
        let (items, events) = pairs
            .iter()
            .filter(new)
            .fold((0, 0), |(items, events), (item, _)| (items + 1, events + item.events as u64));
        self.counters.commits.fetch_add(u64::from(items > 0), Ordering::Relaxed);
        self.counters.items.fetch_add(items, Ordering::Relaxed);
        self.counters.events.fetch_add(events, Ordering::Relaxed);
        if items > 0
            && let Some(observer) = self.counters.observer.get()
        {
            observer.committed(items, events, took);
        }
    }
}

/// Whether every item would fare the same: then nobody waits while each fails by itself.
fn is_outage(error: &sqlx::Error) -> bool {
    /// Classes of PostgreSQL: connection, resources, locks that were not had, operators, the system.
    const CLASSES: [&str; 5] = ["08", "53", "55", "57", "58"];
    match error.as_database_error() {
        None => !matches!(error, sqlx::Error::Encode(_) | sqlx::Error::RowNotFound | sqlx::Error::Decode(_)),
        Some(error) => error
            .code()
            .is_some_and(|code| code.len() == 5 && CLASSES.iter().any(|class| code.starts_with(class))),
    }
}

/// Whether somebody else held what the batch needed.
fn is_lock(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "55P03")
}

/// The same failure for one of many.
fn away(error: &sqlx::Error) -> AppendError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let full = code.is_some_and(|code| code == "53100");
    let source = sqlx::Error::Io(std::io::Error::other(error.to_string()));
    if full {
        AppendError::DiskFull { source }
    } else {
        AppendError::Unavailable { attempting: "appending events", source }
    }
}

fn unavailable(source: sqlx::Error) -> AppendError {
    /// What SQLite and PostgreSQL call a full disk.
    const FULL: [&str; 2] = ["13", "53100"];
    let code = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
    match code.is_some_and(|code| FULL.contains(&&*code)) {
        true => AppendError::DiskFull { source },
        false => AppendError::Unavailable { attempting: "appending events", source },
    }
}
