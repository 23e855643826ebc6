//! The logs of the nodes that this host works on. Shims and the executor append to files of the host; what is appended
//! goes on into the store of logs, and is shown to whoever asks before it is there.
//!
//! A file belongs to one attempt: `logs/<run>/<node>.<fence>.log`. It is removed when all of it is stored and nobody
//! writes any more, so what is there at a start is what a crash has left, and is stored then.

mod feed;
mod file;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use shipway_eventing::{
    NodeLogs as Store,
    node_logs::{LiveTail, NodeLogReader, Tail, TailError},
};
use shipway_events::{Fence, RunId};
use tokio::sync::Notify;

use feed::Feed;

/// A node's log does not grow beyond this, if nothing else is said.
pub(crate) const LIMIT: u64 = 64 << 20;

/// The logs that this host writes. Clones are the same.
#[derive(Clone, Debug)]
pub struct NodeLogs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// Names this host in what it stores.
    host: String,
    store: Store,
    limit: u64,
    open: Mutex<BTreeMap<Place, Arc<Feed>>>,
    /// A log was closed.
    closed: Notify,
}

/// Which node.
type Place = (RunId, u32);

impl NodeLogs {
    /// Opens the folder. To be called in a Tokio runtime; then [`Self::recover`].
    pub(crate) fn open(folder: PathBuf, store: Store, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let named = folder.join("host");
        let host = match fs::read_to_string(&named) {
            Ok(host) if !host.trim().is_empty() => host.trim().to_owned(),
            _ => {
                let host = uuid::Uuid::now_v7().to_string();
                fs::write(&named, &host)?;
                host
            }
        };
        let (open, closed) = (Mutex::default(), Notify::new());
        Ok(Self(Arc::new(Inner { folder, host, store, limit, open, closed })))
    }

    /// Goes on with what an earlier executor left. `running` are the files that shims still write, each with
    /// something that lasts as long as its shim.
    pub(crate) fn recover(&self, running: Vec<(PathBuf, impl Future<Output = ()> + Send + 'static)>) {
        for (path, end) in running {
            let Some((run, node, _)) = self.parse(&path) else { continue };
            let writing = self.write(run, node);
            tokio::spawn(async move {
                end.await;
                drop(writing);
            });
        }
        let runs = fs::read_dir(&self.0.folder).into_iter().flatten().flatten();
        for run in runs.map(|entry| entry.path()).filter(|path| path.is_dir()) {
            let files = fs::read_dir(&run).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut left = files.filter_map(|path| self.parse(&path)).peekable();
            if left.peek().is_none() && is_old(&run) {
                // Fails if something was put there just now.
                let _ = fs::remove_dir(&run);
            }
            left.for_each(|(run, node, _)| drop(self.write(run, node)));
        }
    }

    /// Where an attempt's output goes.
    pub(crate) fn path(&self, run: RunId, node: u32, fence: Fence) -> PathBuf {
        self.0.folder.join(run.to_string()).join(format!("{node}.{}.log", fence.raw()))
    }

    /// Reads what is stored, and of this host's logs what is not.
    #[must_use]
    pub fn reader(&self) -> NodeLogReader<Self> {
        self.0.store.reader(self.clone())
    }

    /// How large a log may grow.
    pub(crate) fn limit(&self) -> u64 {
        self.0.limit
    }

    /// The node's log is written for as long as this is kept.
    pub(crate) fn write(&self, run: RunId, node: u32) -> Writing {
        let mut open = self.lock();
        match open.entry((run, node)) {
            Entry::Occupied(known) => {
                known.get().writers.fetch_add(1, Ordering::SeqCst);
                Writing(Arc::clone(known.get()))
            }
            Entry::Vacant(new) => Writing(Arc::clone(new.insert(Feed::start(self.clone(), (run, node))))),
        }
    }

    /// Appends a line of the executor's own. A log that cannot be written does not stop the work.
    pub(crate) fn note(&self, run: RunId, node: u32, fence: Fence, line: &str) {
        let path = self.path(run, node, fence);
        let append = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            // In one piece, since a shim may append at the same time.
            let line = format!("[shipway] {line}\n");
            File::options().create(true).append(true).open(&path)?.write_all(line.as_bytes())
        };
        if let Err(error) = append() {
            tracing::warn!(path = %path.display(), %error, "a node's log cannot be written");
        }
    }

    /// Waits until all logs that nobody writes any more are stored, but no longer than this.
    pub(crate) async fn settle(&self, limit: Duration) {
        let until = Instant::now() + limit;
        loop {
            let closed = self.0.closed.notified();
            if !self.lock().values().any(|feed| feed.writers.load(Ordering::SeqCst) == 0) {
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || tokio::time::timeout(left, closed).await.is_err() {
                return;
            }
        }
    }

    /// The files of a node, by fence.
    fn files(&self, (run, node): Place) -> BTreeMap<Fence, PathBuf> {
        let entries = fs::read_dir(self.0.folder.join(run.to_string())).into_iter().flatten().flatten();
        let own = |path: PathBuf| {
            let (_, of, fence) = self.parse(&path)?;
            (of == node).then_some((fence, path))
        };
        entries.filter_map(|entry| own(entry.path())).collect()
    }

    fn parse(&self, path: &Path) -> Option<(RunId, u32, Fence)> {
        let run = path.parent()?.file_name()?.to_str()?.parse().ok()?;
        let mut words = path.file_name()?.to_str()?.strip_suffix(".log")?.split('.');
        let (node, fence) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        words.next().is_none().then_some((run, node, Fence::from_raw(fence)))
    }

    /// Takes a log off the list, unless somebody writes it again.
    fn close(&self, place: Place) -> bool {
        let mut open = self.lock();
        let idle = open.get(&place).is_some_and(|feed| feed.writers.load(Ordering::SeqCst) == 0);
        if idle {
            open.remove(&place);
            self.0.closed.notify_waiters();
        }
        idle
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Arc<Feed>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.0)
    }
}

#[async_trait]
impl LiveTail for NodeLogs {
    async fn tail(
        &self,
        run: RunId,
        node: u32,
        from: u64,
        wait: Duration,
    ) -> Result<Option<Tail>, TailError> {
        let feed = self.lock().get(&(run, node)).cloned();
        match feed {
            Some(feed) => Ok(feed.tail(from, wait).await),
            None => Ok(None),
        }
    }
}

/// Keeps a node's log open.
#[derive(Debug)]
pub(crate) struct Writing(Arc<Feed>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Ordering::SeqCst);
        self.0.look();
    }
}

/// How many write a log.
type Writers = AtomicUsize;

/// Nobody is about to put a file there.
fn is_old(folder: &Path) -> bool {
    let age = fs::metadata(folder).and_then(|data| data.modified()).ok().and_then(|at| at.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_secs(3600))
}
