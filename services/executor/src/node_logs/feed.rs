//! From the files of one node into the store.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use shipway_eventing::node_logs::{End, Kind, Line, NodeLogError, NodeLogWriter, Record, Source, Tail};
use shipway_events::Fence;
use tokio::sync::Notify;

use super::{NodeLogs, Place, Writers, file::Growing};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// What was read is stored after this time, or when it is so much.
const STORE_AFTER: Duration = Duration::from_secs(1);
const STORE_AT: u64 = 256 << 10;
/// The pauses between tries to store.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One node's log on its way.
#[derive(Debug)]
pub(super) struct Feed {
    /// How many write it.
    pub(super) writers: Writers,
    pending: Mutex<Pending>,
    /// There is more to see.
    grown: Notify,
    /// The files should be looked at.
    look: Notify,
}

/// What has been read and is not stored.
#[derive(Debug, Default)]
struct Pending {
    /// Where the first of it stands; none while that is not known.
    first: Option<End>,
    records: VecDeque<Read>,
    size: u64,
    /// When the oldest of it was read.
    since: Option<Instant>,
    over: bool,
}

/// A record with the file that it is from, and where it ends there.
#[derive(Debug)]
struct Read {
    source: Source,
    record: Record,
}

impl Feed {
    /// Starts the task that stores it. It ends when nobody writes the log and all is stored.
    pub(super) fn start(logs: NodeLogs, place: Place) -> Arc<Self> {
        let feed = Arc::new(Self {
            writers: Writers::new(1),
            pending: Mutex::default(),
            grown: Notify::new(),
            look: Notify::new(),
        });
        let own = Arc::clone(&feed);
        // The executor's end is the end of its tasks; what is not stored by then is stored by the next.
        let weak = logs.downgrade();
        tokio::spawn(async move {
            let writer = logs.0.store.writer(place.0, place.1, &logs.0.host);
            let mut task =
                Task { feed: own, place, writer, files: BTreeMap::new(), pause: PAUSE, again: None };
            drop(logs);
            while let Some(logs) = weak.upgrade().map(NodeLogs) {
                if task.turn(&logs).await {
                    return;
                }
                drop(logs);
                let _ = tokio::time::timeout(LOOK, task.feed.look.notified()).await;
            }
        });
        feed
    }

    /// Looks at the files at once.
    pub(super) fn look(&self) {
        self.look.notify_one();
    }

    /// What is not stored, from `from` on. Waits for it if there is nothing yet; none once the log is closed.
    pub(super) async fn tail(&self, from: u64, wait: Duration) -> Option<Tail> {
        let until = Instant::now() + wait;
        loop {
            let grown = self.grown.notified();
            let tail = self.lock().show(from)?;
            let left = until.saturating_duration_since(Instant::now());
            if !tail.lines.is_empty() || tail.stored > from || left.is_zero() {
                return Some(tail);
            }
            let _ = tokio::time::timeout(left, grown).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn show(&self, from: u64) -> Option<Tail> {
        if self.over {
            return None;
        }
        let Some(mut end) = self.first else { return Some(Tail { stored: from, lines: Vec::new() }) };
        let stored = end.record;
        let mut lines = Vec::new();
        for read in &self.records {
            let record = read.record.clone();
            let size = record.size();
            if end.record >= from {
                lines.push(Line { number: end.record, offset: end.offset, record });
            }
            end = End { record: end.record + 1, offset: end.offset + size };
        }
        Some(Tail { stored, lines })
    }

    fn push(&mut self, source: Source, record: Record) {
        self.size += record.size();
        self.since.get_or_insert_with(Instant::now);
        self.records.push_back(Read { source, record });
    }

    /// The records at the front that are from one file.
    fn batch(&self, most: usize) -> Option<(Source, Vec<Record>)> {
        let fence = self.records.front()?.source.fence;
        let (mut size, mut source, mut records) = (0, None, Vec::new());
        for read in self.records.iter().take(most).take_while(|read| read.source.fence == fence) {
            size += read.record.size();
            if size > STORE_AT * 2 && !records.is_empty() {
                break;
            }
            source = Some(read.source);
            records.push(read.record.clone());
        }
        Some((source?, records))
    }

    fn drop_front(&mut self, count: usize, end: End) {
        let gone: u64 = self.records.drain(..count).map(|read| read.record.size()).sum();
        self.size -= gone;
        self.since = (!self.records.is_empty()).then(Instant::now);
        self.first = Some(end);
    }
}

/// What stores it.
struct Task {
    feed: Arc<Feed>,
    place: Place,
    writer: NodeLogWriter,
    files: BTreeMap<Fence, Growing>,
    pause: Duration,
    /// So many were stored, or not: the store did not say. The same are stored again, which it knows then.
    again: Option<usize>,
}

impl Task {
    /// Reads what there is, and stores what it is time for. True when the log is closed.
    async fn turn(&mut self, logs: &NodeLogs) -> bool {
        // Asked before the files are read: what was written until then is not missed.
        let closing = self.feed.writers.load(Ordering::SeqCst) == 0;
        match self.pass(logs, closing).await {
            Ok(false) => {
                self.pause = PAUSE;
                false
            }
            Ok(true) => {
                if !logs.close(self.place) {
                    return false;
                }
                self.feed.lock().over = true;
                self.feed.grown.notify_waiters();
                true
            }
            Err(error) => {
                let (run, node) = self.place;
                tracing::warn!(%run, node, %error, "a node's log cannot be stored yet");
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                false
            }
        }
    }

    /// True when all is stored, and nobody wrote meanwhile.
    async fn pass(&mut self, logs: &NodeLogs, closing: bool) -> Result<bool, NodeLogError> {
        let found = logs.files(self.place);
        if found.is_empty() && self.files.is_empty() {
            // Nothing was printed, or nothing yet: the store need not know.
            return Ok(closing);
        }
        self.writer.open().await?;
        self.feed.lock().first.get_or_insert(self.writer.end());
        for (fence, path) in found {
            if !self.files.contains_key(&fence)
                && let Ok(file) = Growing::open(path, self.writer.stored(fence))
            {
                self.files.insert(fence, file);
            }
        }
        loop {
            let more = self.read(logs.limit());
            self.store(closing && !more).await?;
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
        if !closing {
            return Ok(false);
        }
        self.finish(logs.limit());
        self.store(true).await?;
        if self.feed.writers.load(Ordering::SeqCst) > 0 {
            return Ok(false);
        }
        self.writer.close().await?;
        // Only now: an attempt that began meanwhile has a file of its own.
        for (_, file) in std::mem::take(&mut self.files) {
            if let Err(error) = file.remove() {
                tracing::warn!(%error, "the file of a stored log could not be removed");
            }
        }
        Ok(true)
    }

    /// Reads a piece of each file; true if there may be more.
    fn read(&mut self, limit: u64) -> bool {
        let mut more = false;
        for (fence, file) in &mut self.files {
            match file.read() {
                Ok(piece) => {
                    more |= piece.any;
                    for (until, record) in piece.records {
                        take(&self.feed, &self.writer, limit, Source { fence: *fence, until }, record);
                    }
                }
                Err(error) => tracing::warn!(%error, "a node's log cannot be read"),
            }
        }
        more
    }

    fn finish(&mut self, limit: u64) {
        for (fence, file) in &mut self.files {
            if let Some((until, record)) = file.finish() {
                take(&self.feed, &self.writer, limit, Source { fence: *fence, until }, record);
            }
        }
    }

    async fn store(&mut self, all: bool) -> Result<(), NodeLogError> {
        self.feed.grown.notify_waiters();
        loop {
            let batch = {
                let pending = self.feed.lock();
                let due = all
                    || pending.size >= STORE_AT
                    || pending.since.is_some_and(|since| since.elapsed() >= STORE_AFTER);
                if due { pending.batch(self.again.unwrap_or(usize::MAX)) } else { None }
            };
            let Some((source, records)) = batch else { return Ok(()) };
            let appended = self.writer.append(source, &records).await;
            let mut pending = self.feed.lock();
            match appended {
                Ok(_) => {
                    self.again = None;
                    pending.drop_front(records.len(), self.writer.end());
                }
                Err(error) => {
                    // Another may have stored meanwhile, so that these are numbered anew.
                    pending.first = Some(self.writer.end());
                    self.again = Some(records.len());
                    return Err(error);
                }
            }
            drop(pending);
            self.feed.grown.notify_waiters();
        }
    }
}

/// Takes a record, unless the log is full; says so when it becomes that.
fn take(feed: &Feed, writer: &NodeLogWriter, limit: u64, source: Source, record: Record) {
    let mut pending = feed.lock();
    let full = pending.records.back().is_some_and(|read| read.record.kind == Kind::Full);
    if writer.is_full() || full {
        return;
    }
    if writer.end().offset + pending.size + record.size() <= limit {
        return pending.push(source, record);
    }
    let text = format!("[shipway] this log has reached {} MiB; what follows is not kept", limit >> 20);
    pending.push(source, Record { kind: Kind::Full, text: Bytes::from(text) });
}
