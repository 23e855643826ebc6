//! The shim: a small process around one command. It records the start before it and the end after it, so that
//! whoever asks again, after whatever crash of Shipway, learns what became of it and nothing runs twice.

mod client;
mod lease;
mod output;
mod protocol;

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, BufReader},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{ExitCode, Stdio},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

pub(crate) use client::{Lost, Shims};
use lease::Guard;
use output::Output;
use protocol::{EXIT, Request, SOCKET, SPEC, STARTED};
pub(crate) use protocol::{Ended, Input, Spec};

use crate::os::{
    children::{self, Children, Exit},
    files,
    stage::{self, Stage},
    wire,
};

const LOG: &str = "shim.log";
const RESERVE: &str = "reserve";

/// `shipway shim <dir>`: called before any thread is started, with the secrets (JSON) on standard input. Detaches
/// and does what the folder's spec says, once.
#[must_use]
pub fn main(folder: &Path) -> ExitCode {
    let stage = Stage::of_process();
    if stage == Stage::Outer {
        let (Ok(folder), Ok(input)) = (folder.canonicalize(), stage::input()) else {
            eprintln!("shipway shim: {} is no folder", folder.display());
            return ExitCode::FAILURE;
        };
        let arguments: Vec<OsString> = vec!["shim".into(), folder.clone().into()];
        return stage::detach(&arguments, &folder, LOG, &input);
    }
    match run(stage, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} shim: {error}", jiff::Timestamp::now());
            stage::answer(Err(&format!("the shim in {} ended: {error}", folder.display())));
            ExitCode::FAILURE
        }
    }
}

/// What the threads of a shim share.
struct Shim {
    children: Children,
    /// The command is to end now, whoever wants it.
    stop: AtomicBool,
    /// A request wants it.
    asked: AtomicBool,
    /// The end of the lease wants it.
    lapsed: AtomicBool,
    guard: Guard,
    grace_ms: AtomicU64,
    ended: Mutex<Option<Ended>>,
    changed: Condvar,
    waiting: AtomicUsize,
}

fn run(stage: Stage, folder: &Path) -> io::Result<()> {
    stage::settle(stage)?;
    env::set_current_dir(folder)?;
    let Some(_lock) = files::try_lock(Path::new("lock"))? else {
        stage::answer(Ok(()));
        return Ok(());
    };
    if Path::new(STARTED).exists() {
        // It ran already: the folder says how it went, or that nobody knows.
        stage::answer(Ok(()));
        return Ok(());
    }
    let input: Input = serde_json::from_slice(&stage::input()?).map_err(io::Error::other)?;
    let spec: Spec = files::read_json(Path::new(SPEC))?
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no spec.json"))?;
    let guard = Guard::new(input.lease)?;
    if guard.is_over() {
        return Err(io::Error::other("the executor's lease has ended"));
    }
    let _ = fs::remove_file(SOCKET);
    let socket = UnixListener::bind(SOCKET)?;
    fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o600))?;
    let shim = Arc::new(Shim {
        children: Children::start(),
        stop: AtomicBool::new(false),
        asked: AtomicBool::new(false),
        lapsed: AtomicBool::new(false),
        guard,
        grace_ms: AtomicU64::new(spec.grace_ms),
        ended: Mutex::new(None),
        changed: Condvar::new(),
        waiting: AtomicUsize::new(0),
    });
    let serving = Arc::clone(&shim);
    thread::spawn(move || {
        for client in socket.incoming().flatten() {
            let shim = Arc::clone(&serving);
            shim.waiting.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || {
                shim.serve(&client);
                shim.waiting.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    let guarding = Arc::clone(&shim);
    thread::spawn(move || guarding.keep_to_the_lease());
    // Room for the record of the end, in case that the command leaves none.
    files::write(Path::new(RESERVE), &[b' '; 16 << 10], 0o600)?;
    files::write_json(Path::new(STARTED), &jiff::Timestamp::now().to_string())?;
    stage::answer(Ok(()));
    let ended = shim.work(&spec, input, folder);
    children::kill_all(Duration::from_secs(10));
    let mut recorded = record(&ended);
    *shim.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended.clone());
    shim.changed.notify_all();
    // Who waits knows it. The record follows when the disk has room: the command may have filled it.
    for _ in 0..600 {
        if recorded.is_ok() || !folder.join(SPEC).exists() {
            break;
        }
        thread::sleep(Duration::from_secs(1));
        recorded = record(&ended);
    }
    recorded?;
    let until = Instant::now() + Duration::from_secs(2);
    while shim.waiting.load(Ordering::SeqCst) > 0 && Instant::now() < until {
        thread::sleep(Duration::from_millis(2));
    }
    let _ = fs::remove_file(SOCKET);
    Ok(())
}

fn record(ended: &Ended) -> io::Result<()> {
    let _ = fs::remove_file(RESERVE);
    files::write_json(Path::new(EXIT), ended)
}

impl Shim {
    fn serve(&self, client: &UnixStream) {
        match wire::receive(BufReader::new(client)) {
            Ok(Request::Stop { grace_ms }) => {
                self.asked.store(true, Ordering::SeqCst);
                self.end(grace_ms);
            }
            Ok(Request::Renew { lease }) => {
                let _ = wire::send(client, &self.guard.renew(lease));
                return;
            }
            Ok(Request::Wait) => {}
            Err(_) => return,
        }
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while ended.is_none() {
            ended = self.changed.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
        let _ = wire::send(client, &*ended);
    }

    fn end(&self, grace_ms: u64) {
        self.grace_ms.store(grace_ms, Ordering::SeqCst);
        self.stop.store(true, Ordering::SeqCst);
        self.children.wake();
    }

    /// Ends the command when the executor's lease has ended, and leaves nothing of it at the last deadline.
    fn keep_to_the_lease(&self) {
        let kept = self.guard.wait().and_then(|dead_at| {
            self.lapsed.store(true, Ordering::SeqCst);
            self.end(u64::try_from(dead_at.remaining().as_millis()).unwrap_or(u64::MAX));
            self.guard.wait_dead(dead_at)
        });
        if let Err(error) = kept {
            // Without its timer it cannot keep the time, so the command has none left.
            eprintln!("{} shim: waiting for the lease's end failed: {error}", jiff::Timestamp::now());
            self.lapsed.store(true, Ordering::SeqCst);
            self.end(0);
        }
        while self.ended.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            children::kill_all(Duration::from_secs(10));
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn work(&self, spec: &Spec, input: Input, folder: &Path) -> Ended {
        match self.execute(spec, input, folder) {
            Ok(ended) => ended,
            Err(error) => Ended {
                exit: None,
                error: Some(format!(
                    "starting `{}` failed: {error}",
                    spec.words.first().map_or("", String::as_str)
                )),
                timed_out: false,
                stopped: false,
                lapsed: None,
                tail: Vec::new(),
            },
        }
    }

    fn execute(&self, spec: &Spec, input: Input, folder: &Path) -> io::Result<Ended> {
        let mut environment = spec.environment.clone();
        environment.extend(input.environment.clone());
        let mut command = spec.sandbox.command(&spec.words, &environment);
        let (reader, writer) = io::pipe()?;
        match &spec.stdin {
            Some(path) => command.stdin(File::open(path)?),
            None => command.stdin(Stdio::null()),
        };
        match &spec.stdout {
            Some(path) => command.stdout(File::create(path)?),
            None => command.stdout(writer.try_clone()?),
        };
        command.stderr(writer);
        let mask: Vec<&String> = input.environment.values().chain(&input.mask).collect();
        let output = Output::open(&spec.log, spec.log_limit, &mask)?;
        let pid = self.children.spawn(&mut command)?;
        drop(command);
        let pump = thread::spawn(move || output.pump(reader));
        let (exit, why) = self.watch(pid, spec, folder);
        let stopped = self.asked.load(Ordering::SeqCst);
        let lapsed = (why == Why::Lapsed && !stopped).then_some(spec.fence);
        // What it left behind holds the pipe open and is not wanted any longer.
        children::kill_all(Duration::from_secs(10));
        let tail = pump.join().unwrap_or_default();
        Ok(Ended { exit: Some(exit), error: None, timed_out: why == Why::Deadline, stopped, lapsed, tail })
    }

    /// Until it has ended, and why.
    fn watch(&self, pid: i32, spec: &Spec, folder: &Path) -> (Exit, Why) {
        let deadline = spec.deadline.map(|micros| {
            let left = micros.saturating_sub(jiff::Timestamp::now().as_microsecond()).max(0);
            Instant::now() + Duration::from_micros(left.unsigned_abs())
        });
        let why = loop {
            let pause = deadline.map_or(Duration::from_secs(1), |deadline| {
                deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(1))
            });
            if let Some(exit) = self.children.wait_or(pid, pause, &self.stop) {
                // After a pause of the whole machine the last deadline may kill it before this looks at the first.
                let lapsed = exit.signal.is_some() && self.lapsed.load(Ordering::SeqCst);
                return (exit, if lapsed { Why::Lapsed } else { Why::Itself });
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                break Why::Deadline;
            }
            if self.stop.load(Ordering::SeqCst) {
                break if self.lapsed.load(Ordering::SeqCst) { Why::Lapsed } else { Why::Asked };
            }
            if !folder.join(SPEC).exists() {
                self.grace_ms.store(0, Ordering::SeqCst);
                break Why::Asked;
            }
        };
        self.children.signal(pid, Signal::TERM);
        let grace = Duration::from_millis(self.grace_ms.load(Ordering::SeqCst));
        let exit = self.children.wait(pid, grace).unwrap_or_else(|| {
            children::kill_all(Duration::from_secs(10));
            self.children.wait(pid, Duration::from_secs(5)).unwrap_or(Exit { code: None, signal: Some(9) })
        });
        (exit, why)
    }
}

/// What ended a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It did.
    Itself,
    /// Its own deadline.
    Deadline,
    /// The end of the lease.
    Lapsed,
    /// Whoever may.
    Asked,
}
