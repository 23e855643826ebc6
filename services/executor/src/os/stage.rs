//! How a keeper or shim gets loose from the Shipway that starts it.
//!
//! `shipway keeper <dir>` runs twice. The first, outer process starts a session of its own and, where the
//! machine allows it, a PID namespace; then it starts itself again as the inner process, waits until that one
//! says that it is ready, and ends. The inner one is then nobody's child, is PID 1 of its namespace (or a
//! subreaper) and so gets every orphan below it.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags},
    process::Signal,
    thread::UnshareFlags,
};

const STAGE: &str = "SHIPWAY_STAGE";
const READY: &str = "ready";
const WITHOUT_NAMESPACES: &str = "SHIPWAY_NO_NAMESPACES";

/// Which kind of inner process this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not inner at all: the one that detaches.
    Outer,
    /// PID 1 of a PID namespace: when it dies, the kernel ends everything in it.
    Namespace,
    /// A subreaper: gets the orphans of its tree.
    Subreaper,
}

impl Stage {
    /// What this process is, by its environment.
    pub(crate) fn of_process() -> Self {
        match env::var(STAGE).as_deref() {
            Ok("namespace") => Self::Namespace,
            Ok("subreaper") => Self::Subreaper,
            _ => Self::Outer,
        }
    }
}

/// How the executor starts the outer process.
#[derive(Clone, Debug)]
pub(crate) struct Starter {
    /// Shipway's own binary.
    pub(crate) binary: PathBuf,
    /// Whether PID namespaces are tried.
    pub(crate) namespaces: bool,
}

impl Starter {
    /// The command; the folder is its next word.
    pub(crate) fn command(&self, kind: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.binary);
        command.arg(kind);
        if !self.namespaces {
            command.env(WITHOUT_NAMESPACES, "1");
        }
        command
    }
}

/// The outer process: starts the inner one with `input` on its standard input and `log` for its errors.
/// Ends with the inner one's answer: success when it is ready.
pub(crate) fn detach(arguments: &[OsString], folder: &Path, log: &str, input: &[u8]) -> ExitCode {
    let _ = rustix::process::setsid();
    let namespace = enter_namespaces();
    if let Err(error) = &namespace {
        note(folder, log, &format!("no PID namespace here ({error}); processes are found by their parents"));
    }
    // The first child of an unshared PID namespace is its PID 1; a later one would be its sibling, so there is
    // no second try in this process.
    let stage = if namespace.is_ok() { "namespace" } else { "subreaper" };
    match start_inner(stage, arguments, folder, log, input) {
        Ok(answer) if answer == READY => return ExitCode::SUCCESS,
        // Standard error is the starter's: it puts this into its own error.
        Ok(answer) => eprintln!("{answer}"),
        Err(error) => eprintln!("starting itself again failed: {error}"),
    }
    ExitCode::FAILURE
}

/// The inner process, first thing: makes itself the root of its tree.
pub(crate) fn settle(stage: Stage) -> io::Result<()> {
    match stage {
        Stage::Namespace => {
            rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount("proc", "/proc", "proc", flags, None)?;
        }
        Stage::Subreaper | Stage::Outer => {
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        }
    }
    // Its memory holds secrets: no core dumps, no debugger of the same user.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// The inner process, when it serves: lets the outer one go. Anything but success is `Err` with a reason.
pub(crate) fn answer(result: Result<(), &str>) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{}", result.err().unwrap_or(READY));
    let _ = out.flush();
    // The pipe must end here, or whoever waits for the outer process' output waits for ours.
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stdin(&null);
    }
}

/// What the outer process handed over.
pub(crate) fn input() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn start_inner(
    stage: &str,
    arguments: &[OsString],
    folder: &Path,
    log: &str,
    input: &[u8],
) -> io::Result<String> {
    let log = File::options().create(true).append(true).open(folder.join(log))?;
    let mut child = Command::new("/proc/self/exe")
        .arg0("shipway")
        .args(arguments)
        .env(STAGE, stage)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    let mut answer = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut answer)?;
    }
    if answer.is_empty() {
        let status = child.wait()?;
        return Ok(format!("it ended at its start ({status}); its log is {}", folder.display()));
    }
    Ok(answer.trim_end().to_owned())
}

/// Unshares what PID 1 needs; as an ordinary user inside a user namespace that maps only that user.
fn enter_namespaces() -> io::Result<()> {
    if env::var_os(WITHOUT_NAMESPACES).is_some() {
        return Err(io::Error::other("switched off"));
    }
    // A child tries first: what fails half-way in this process could not be undone.
    if !probe()? {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    unshare_all()
}

fn unshare_all() -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut flags = UnshareFlags::NEWPID | UnshareFlags::NEWNS;
    if uid != 0 {
        flags |= UnshareFlags::NEWUSER;
    }
    unshare(flags)?;
    if uid != 0 {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    }
    Ok(())
}

/// `unshare` for processes with a single thread.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the flag that makes it unsafe, FILES, is never passed")]
    // SAFETY: only `UnshareFlags::FILES` breaks descriptors of other threads, and it is never passed.
    unsafe { rustix::thread::unshare_unsafe(flags) }?;
    Ok(())
}

/// Whether a throw-away copy of this process can become the root of a PID namespace.
fn probe() -> io::Result<bool> {
    let status = Command::new("/proc/self/exe")
        .arg0("shipway")
        .args(["sandbox", "--probe-namespace"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success())
}

/// The body of [`probe`]'s child: unshares, then asks a child of its own to settle.
pub(crate) fn probe_main(inner: bool) -> ExitCode {
    let result = if inner {
        settle(Stage::Namespace)
    } else {
        unshare_all().and_then(|()| {
            let status = Command::new("/proc/self/exe")
                .arg0("shipway")
                .args(["sandbox", "--probe-namespace-inner"])
                .stdin(Stdio::null())
                .status()?;
            if status.success() { Ok(()) } else { Err(io::Error::other("no")) }
        })
    };
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn note(folder: &Path, log: &str, line: &str) {
    if let Ok(mut file) = File::options().create(true).append(true).open(folder.join(log)) {
        let _ = writeln!(file, "{line}");
    }
}

/// The signal of a number; SIGTERM for a number that is none.
pub(crate) fn named_signal(number: i32) -> Signal {
    Signal::from_named_raw(number).unwrap_or(Signal::TERM)
}
