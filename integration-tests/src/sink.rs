//! Where the effects of runs land: an HTTP server that keeps the highest fence of each target and knows each effect
//! by its key, with a ledger of its own that is synced before it answers. What it has seen is judged from the ledger
//! alone.
//!
//! `POST /effect/<target>` with the headers `webhook-id` (the key) and `shipway-fence`, as messages are sent:
//!
//! - a lower fence than the target has seen is refused (409);
//! - a key that is known is answered as the first time, and changes nothing;
//! - everything else is an effect.
//!
//! `POST /later/<target>` is the same, but answers 503 to the first request of each key: a retry has to be waited for.
//! `POST /once/<target>` answers so to the first request of each run only. `POST /hold/<target>` keeps the first request of each key waiting until [`Sink::release`]: whoever sent it can die
//! meanwhile. `POST /mark/<target>/<who>` is what a process of a test's own says of itself: that it is there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

/// A running sink; its ledger is gone with it.
#[derive(Debug)]
pub struct Sink {
    folder: tempfile::TempDir,
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
    /// Requests of runs with lower numbers are not held.
    release: watch::Sender<usize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the sink did with a request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It took effect.
    Effect,
    /// The effect was there already.
    Repeat,
    /// Its fence was lower than another's before.
    Refused,
    /// It was told to come again.
    Later,
    /// It is kept waiting.
    Held,
    /// A process said that it is there.
    Mark,
}

/// A line of the ledger.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Microseconds since 1970.
    pub at: u64,
    /// What was done.
    pub what: What,
    /// Where.
    pub target: String,
    /// The effect's key, or who said that it is there.
    pub key: String,
    /// Its fence.
    pub fence: u64,
}

/// What the ledger says about effects that should be there once each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Targets without an effect.
    pub lost: Vec<String>,
    /// Targets with more effects than one.
    pub doubled: Vec<String>,
    /// Targets whose effects came with falling fences.
    pub unordered: Vec<String>,
    /// Targets that nobody has asked for.
    pub unknown: Vec<String>,
    /// Requests that changed nothing because their key was known.
    pub repeats: usize,
    /// Requests that were refused for their fence.
    pub refused: usize,
}

#[derive(Debug)]
struct Books {
    file: fs::File,
    highest: HashMap<String, u64>,
    known: BTreeSet<(String, String)>,
    /// Keys whose first request was put off or held.
    seen: BTreeSet<(String, String)>,
    failure: Option<String>,
}

/// What the handlers share.
type Shared = (Arc<Mutex<Books>>, watch::Receiver<usize>);

impl Sink {
    /// Starts a sink on 127.0.0.1.
    ///
    /// # Errors
    /// If there is no port, or no place for the ledger.
    pub fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// Starts a sink at an address of this machine.
    ///
    /// # Errors
    /// If there is no port, or no place for the ledger.
    pub fn start_at(address: IpAddr) -> Result<Self> {
        let folder = tempfile::tempdir().context("making the ledger's folder")?;
        let file = fs::File::options().create(true).append(true).open(folder.path().join("ledger"))?;
        let books = Books {
            file,
            highest: HashMap::new(),
            known: BTreeSet::new(),
            seen: BTreeSet::new(),
            failure: None,
        };
        let books = Arc::new(Mutex::new(books));
        let (release, released) = watch::channel(0);
        let app = Router::new()
            .route("/effect/{target}", post(effect))
            .route("/later/{target}", post(later))
            .route("/once/{target}", post(once))
            .route("/hold/{target}", post(hold))
            .route("/mark/{target}/{who}", post(mark))
            .with_state((books.clone(), released));
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, listening) = mpsc::channel();
        // A thread of its own: it answers whatever the test itself is busy with.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be made");
            runtime.block_on(async move {
                let listener = TcpListener::bind((address, 0)).await.expect("there is a free port");
                ready.send(listener.local_addr().expect("a listener has an address")).expect("it is awaited");
                tokio::select! {
                    served = axum::serve(listener, app) => served.expect("the sink serves"),
                    _ = stopped => {}
                }
            });
        });
        let address = listening.recv().context("starting the sink")?;
        Ok(Self { folder, address, books, release, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it answers: `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The ledger's folder, for what a test puts beside it.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets all requests go on that are held, and holds none from now on.
    pub fn release(&self) {
        self.release_before(usize::MAX);
    }

    /// The same for the requests of runs with a number below this one.
    pub fn release_before(&self, number: usize) {
        self.release.send_replace(number);
    }

    /// The ledger, read from its file.
    ///
    /// # Errors
    /// If it cannot be read, or a line could not be written.
    pub fn ledger(&self) -> Result<Vec<Entry>> {
        if let Some(failure) = &lock(&self.books).failure {
            anyhow::bail!("the sink could not write its ledger: {failure}");
        }
        read(&self.folder.path().join("ledger"))
    }

    /// Judges the ledger: each of these targets should have had one effect.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn judge(&self, targets: impl IntoIterator<Item = String>) -> Result<Verdict> {
        Ok(judge(&self.ledger()?, targets))
    }

    /// Waits until the ledger has what is looked for.
    ///
    /// # Errors
    /// If it does not within that time.
    pub fn wait<T>(
        &self,
        what: &str,
        time: Duration,
        mut look: impl FnMut(&[Entry]) -> Option<T>,
    ) -> Result<T> {
        let until = Instant::now() + time;
        loop {
            let ledger = self.ledger()?;
            if let Some(found) = look(&ledger) {
                return Ok(found);
            }
            anyhow::ensure!(
                Instant::now() < until,
                "the sink has not seen {what} within {time:?}: {ledger:#?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Microseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn judge(ledger: &[Entry], targets: impl IntoIterator<Item = String>) -> Verdict {
    let mut effects: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    let mut verdict = Verdict::default();
    for entry in ledger {
        match entry.what {
            What::Effect => effects.entry(&entry.target).or_default().push(entry),
            What::Repeat => verdict.repeats += 1,
            What::Refused => verdict.refused += 1,
            What::Later | What::Held | What::Mark => {}
        }
    }
    for target in targets {
        match effects.remove(target.as_str()) {
            None => verdict.lost.push(target),
            Some(entries) => {
                if entries.windows(2).any(|pair| pair[1].fence < pair[0].fence) {
                    verdict.unordered.push(target.clone());
                }
                if entries.len() > 1 {
                    verdict.doubled.push(target);
                }
            }
        }
    }
    verdict.unknown = effects.into_keys().map(str::to_owned).collect();
    verdict
}

fn read(file: &PathBuf) -> Result<Vec<Entry>> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).context("a line of the ledger")).collect()
}

impl Books {
    /// Writes a line and syncs it.
    fn write(&mut self, what: What, target: &str, key: &str, fence: u64) {
        let entry = Entry { at: now(), what, target: target.to_owned(), key: key.to_owned(), fence };
        let written = serde_json::to_vec(&entry).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)?;
            // What a process says of itself need not outlive a power cut.
            if what == What::Mark { Ok(()) } else { self.file.sync_data() }
        });
        if let Err(error) = written {
            self.failure.get_or_insert_with(|| error.to_string());
        }
    }

    /// Notes the first request of a key; false for later ones.
    fn first(&mut self, what: What, target: &str, headers: &HeaderMap) -> bool {
        let Some((key, fence)) = key_and_fence(headers) else { return false };
        let first = self.seen.insert((target.to_owned(), key.to_owned()));
        if first {
            self.write(what, target, key, fence);
        }
        first
    }

    /// Notes the first request of a run; false for later ones.
    fn first_of_run(&mut self, target: &str, headers: &HeaderMap) -> bool {
        let Some((key, fence)) = key_and_fence(headers) else { return false };
        let run = key.split('/').next().unwrap_or(key);
        let first = self.seen.insert((String::new(), run.to_owned()));
        if first {
            self.write(What::Later, target, key, fence);
        }
        first
    }

    fn take(&mut self, target: &str, headers: &HeaderMap) -> StatusCode {
        let Some((key, fence)) = key_and_fence(headers) else { return StatusCode::BAD_REQUEST };
        let highest = self.highest.get(target).copied().unwrap_or_default();
        if fence < highest {
            self.write(What::Refused, target, key, fence);
            return StatusCode::CONFLICT;
        }
        self.highest.insert(target.to_owned(), fence);
        let first = self.known.insert((target.to_owned(), key.to_owned()));
        self.write(if first { What::Effect } else { What::Repeat }, target, key, fence);
        StatusCode::OK
    }
}

fn key_and_fence(headers: &HeaderMap) -> Option<(&str, u64)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Some((text("webhook-id")?, text("shipway-fence")?.parse().ok()?))
}

async fn effect(
    State((books, _)): State<Shared>,
    Path(target): Path<String>,
    headers: HeaderMap,
) -> StatusCode {
    lock(&books).take(&target, &headers)
}

async fn later(
    State((books, _)): State<Shared>,
    Path(target): Path<String>,
    headers: HeaderMap,
) -> StatusCode {
    let mut books = lock(&books);
    if books.first(What::Later, &target, &headers) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    books.take(&target, &headers)
}

async fn once(
    State((books, _)): State<Shared>,
    Path(target): Path<String>,
    headers: HeaderMap,
) -> StatusCode {
    let mut books = lock(&books);
    if books.first_of_run(&target, &headers) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    books.take(&target, &headers)
}

async fn hold(
    State((books, mut released)): State<Shared>,
    Path(target): Path<String>,
    headers: HeaderMap,
) -> StatusCode {
    let number = target.split_once('-').and_then(|(number, _)| number.parse().ok()).unwrap_or(usize::MAX - 1);
    let held = *released.borrow() <= number && lock(&books).first(What::Held, &target, &headers);
    if held {
        // The sink's end lets it go, too. A client that dies meanwhile ends this handler: nothing takes effect.
        let _ = released.wait_for(|below| number < *below).await;
    }
    lock(&books).take(&target, &headers)
}

async fn mark(State((books, _)): State<Shared>, Path((target, who)): Path<(String, String)>) -> StatusCode {
    lock(&books).write(What::Mark, &target, &who, 0);
    StatusCode::OK
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(sink: &Sink, path: &str, key: &str, fence: u64) -> u16 {
        use std::io::Read;
        let mut stream = std::net::TcpStream::connect(sink.address()).unwrap();
        let request = format!(
            "POST {path} HTTP/1.0\r\nhost: sink\r\nwebhook-id: {key}\r\nshipway-fence: {fence}\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].parse().unwrap()
    }

    #[test]
    fn an_effect_is_taken_once_and_a_lower_fence_is_refused() {
        let sink = Sink::start().unwrap();
        assert_eq!(send(&sink, "/effect/a", "k", 5), 200);
        assert_eq!(send(&sink, "/effect/a", "k", 7), 200);
        assert_eq!(send(&sink, "/effect/a", "k", 6), 409);
        assert_eq!(send(&sink, "/later/b", "k", 8), 503);
        assert_eq!(send(&sink, "/later/b", "k", 8), 200);
        assert_eq!(send(&sink, "/once/c", "run/0", 9), 503);
        assert_eq!(send(&sink, "/once/d", "run/1", 9), 200);
        let what: Vec<_> = sink.ledger().unwrap().iter().map(|entry| entry.what).collect();
        assert_eq!(
            what,
            [What::Effect, What::Repeat, What::Refused, What::Later, What::Effect, What::Later, What::Effect]
        );
        let verdict = sink.judge(["a", "b", "d"].map(str::to_owned)).unwrap();
        assert_eq!(verdict, Verdict { repeats: 1, refused: 1, ..Verdict::default() });
    }

    #[test]
    fn what_is_missing_doubled_or_nobodys_is_told() {
        let sink = Sink::start().unwrap();
        send(&sink, "/effect/a", "k1", 5);
        send(&sink, "/effect/a", "k2", 6);
        send(&sink, "/effect/x", "k3", 7);
        let verdict = sink.judge(["a", "b"].map(str::to_owned)).unwrap();
        let one = |name: &str| vec![name.to_owned()];
        assert_eq!((verdict.lost, verdict.doubled, verdict.unknown), (one("b"), one("a"), one("x")));
    }
}
