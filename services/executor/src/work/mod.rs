//! What is done for each kind of work: one file each.

mod addon;
mod backup;
mod build;
mod comment;
mod exec;
mod job;
mod message;
mod noop;
mod receivers;
mod release;
mod restart;
mod stubborn;
mod values;
mod watch;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Map, Value};
use shipway_eventing::Blobs;
use shipway_events::{
    EffectClass, Timestamp,
    run::{Effect, NodeError},
};
use shipway_forge::Outbound;
use shipway_nodes::{Outcome, Workload, workload::Target};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub(crate) use release::roll;
pub(crate) use stubborn::Stubborn;
pub(crate) use values::{resolve_environment, text};

use crate::{
    assignment::{Assignment, Secrets},
    config::ExecutorConfig,
    lease::Lease,
    node_logs::{NodeLogs, Writing},
    os::files,
    runtime::{Handle, Runtime, RuntimeError, Task, TaskEnd, TaskId, process::ProcessRuntime},
};

/// What all work shares.
pub(crate) struct Host {
    pub(crate) config: ExecutorConfig,
    /// The executor's folder in the data folder.
    pub(crate) folder: PathBuf,
    pub(crate) runtime: Arc<ProcessRuntime>,
    pub(crate) blobs: Blobs,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) logs: NodeLogs,
    pub(crate) outbound: Outbound,
    pub(crate) lease: Arc<Lease>,
    pub(crate) stubborn: Stubborn,
}

/// How long what was killed may take to be gone. Only what the kernel holds on to takes longer.
const KILLED: Duration = Duration::from_secs(5);

/// One attempt while it is worked on.
pub(crate) struct Attempt<'a> {
    pub(crate) host: &'a Host,
    pub(crate) given: &'a Assignment,
    /// Set when the scheduler wants it stopped.
    pub(crate) stop: &'a CancellationToken,
    /// Set then, and when the executor's lease has ended. Of processes the shims see to that, and roll-outs are
    /// their keepers' and go on.
    pub(crate) over: &'a CancellationToken,
    /// Told once, when the effect has begun.
    pub(crate) started: std::sync::Mutex<Option<oneshot::Sender<Map<String, Value>>>>,
    /// Keeps the node's log open from the first that is written to it.
    pub(crate) log: std::sync::OnceLock<Writing>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Success {
    pub(crate) outputs: Map<String, Value>,
    pub(crate) effects: Vec<Effect>,
}

/// Why nothing good came of it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It went badly.
    Error(NodeError),
    /// It was stopped as asked.
    Stopped,
    /// Never started, and never will be.
    Refused(String),
    /// Nobody can know.
    Unknown(String),
}

/// What kind of work it is, in one word.
pub(crate) const fn kind(work: &Workload) -> &'static str {
    match work {
        Workload::Noop(_) => "noop",
        Workload::Build(_) => "build",
        Workload::Release(_) => "release",
        Workload::Job(_) => "job",
        Workload::Addon(_) => "addon",
        Workload::Backup(_) => "backup",
        Workload::Restore(_) => "restore",
        Workload::Kept(_) => "kept",
        Workload::Exec(_) => "exec",
        Workload::Restart(_) => "restart",
        Workload::Await(_) => "await",
        Workload::Message(_) => "message",
        Workload::Comment(_) => "comment",
    }
}

/// Does it.
pub(crate) async fn run(attempt: &Attempt<'_>) -> Outcome {
    let done = match &attempt.given.work {
        Workload::Noop(work) => noop::run(attempt, work).await,
        Workload::Build(work) => build::run(attempt, work).await,
        Workload::Release(work) => release::run(attempt, work).await,
        Workload::Job(work) => job::run(attempt, work).await,
        Workload::Addon(work) => addon::run(attempt, work).await,
        Workload::Backup(work) => backup::run(attempt, work).await,
        Workload::Restore(work) => backup::restore(attempt, work).await,
        Workload::Kept(work) => backup::kept(attempt, work).await,
        Workload::Exec(work) => exec::run(attempt, work).await,
        Workload::Restart(work) => restart::run(attempt, work).await,
        Workload::Await(work) => watch::run(attempt, work).await,
        Workload::Message(work) => message::run(attempt, work).await,
        Workload::Comment(work) => comment::run(attempt, work).await,
    };
    match done {
        Ok(Success { outputs, effects }) => Outcome::Succeeded { outputs, effects },
        Err(Failure::Error(error)) => Outcome::Failed { error },
        Err(Failure::Stopped) => Outcome::Stopped,
        Err(Failure::Refused(reason)) => Outcome::Refused { reason },
        Err(Failure::Unknown(reason)) => Outcome::Unknown { reason },
    }
}

impl Attempt<'_> {
    /// The effect has begun: who does not wait for its end goes on.
    pub(crate) fn started(&self, outputs: Map<String, Value>) {
        let sender = self.started.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(sender) = sender {
            let _ = sender.send(outputs);
        }
    }

    /// Whether an effect may begin: asked right before each. After the lease's end the work may be another's.
    pub(crate) fn may_act(&self) -> Result<(), Failure> {
        if self.over.is_cancelled() || !self.host.lease.holds() { Err(Failure::Stopped) } else { Ok(()) }
    }

    /// A line in the node's log.
    pub(crate) fn note(&self, line: &str) {
        self.opened();
        self.host.logs.note(self.given.run, self.given.node, self.given.fence, line);
    }

    fn opened(&self) {
        let Assignment { run, node, .. } = *self.given;
        self.log.get_or_init(|| self.host.logs.write(run, node));
    }

    /// A command of this attempt; the caller fills in what it needs.
    pub(crate) fn task(&self, step: &str, words: Vec<String>) -> Task {
        self.opened();
        Task {
            id: TaskId {
                effect_key: self.given.effect_key.clone(),
                attempt: self.given.attempt,
                step: step.to_owned(),
            },
            fence: self.given.fence,
            place: crate::runtime::Place::default(),
            words,
            environment: std::collections::BTreeMap::new(),
            secrets: std::collections::BTreeMap::new(),
            files: std::collections::BTreeMap::new(),
            mask: Vec::new(),
            log: self.host.logs.path(self.given.run, self.given.node, self.given.fence),
            log_limit: self.host.logs.limit(),
            stdin: None,
            stdout: None,
            deadline: self.given.deadline,
            grace: self.host.config.stop_grace,
        }
    }

    /// What a command needs so that what it acts on can refuse it when a newer attempt was there: the effect's key
    /// and the attempt's fence.
    pub(crate) fn fencing(&self) -> [(String, String); 2] {
        [
            ("SHIPWAY_EFFECT_KEY".to_owned(), self.given.effect_key.clone()),
            ("SHIPWAY_FENCE".to_owned(), self.given.fence.raw().to_string()),
        ]
    }

    /// Runs a command to its end, or to the end that the scheduler wants.
    pub(crate) async fn execute(&self, task: &Task) -> Result<TaskEnd, Failure> {
        let runtime = &self.host.runtime;
        for again in [true, false] {
            self.may_act()?;
            let handle = match runtime.start(task).await {
                Ok(handle) => handle,
                // A shim that is late for the lease refuses too.
                Err(error) => return Err(self.may_act().err().unwrap_or_else(|| failed(error))),
            };
            self.started(Map::new());
            match self.await_end(&handle).await {
                Err(RuntimeError::Lost) if again && self.given.effect == EffectClass::Keyed => {
                    self.note(
                        "the process was lost with its shim; doing it again is harmless, so it is done again",
                    );
                    runtime.forget(&handle).map_err(failed)?;
                }
                Err(RuntimeError::Lost) => {
                    let reason = format!("{}; what it did is not known", RuntimeError::Lost);
                    return Err(Failure::Unknown(reason));
                }
                Err(error) => return Err(failed(error)),
                Ok(TaskEnd { lapsed: Some(fence), .. }) if fence == self.given.fence => {
                    self.note("this executor had lost touch with the scheduler, so the process was ended");
                    return Err(Failure::Stopped);
                }
                Ok(TaskEnd { lapsed: Some(_), .. }) if again && self.given.effect == EffectClass::Keyed => {
                    self.note(
                        "an earlier attempt was cut short; doing it again is harmless, so it is done again",
                    );
                    runtime.forget(&handle).map_err(failed)?;
                }
                Ok(TaskEnd { lapsed: Some(_), .. }) => {
                    let reason = "an earlier attempt was ended half-way, because its executor had lost touch with \
                                  the scheduler; what it did is not known";
                    return Err(Failure::Unknown(reason.to_owned()));
                }
                Ok(end) if end.stopped && !end.is_success() => return Err(Failure::Stopped),
                Ok(end) => return Ok(end),
            }
        }
        Err(Failure::Unknown(RuntimeError::Lost.to_string()))
    }

    async fn await_end(&self, handle: &Handle) -> Result<TaskEnd, RuntimeError> {
        let runtime = &self.host.runtime;
        tokio::select! {
            end = runtime.wait(handle) => end,
            () = self.stop.cancelled() => self.stop(handle).await,
        }
    }

    /// Ends it. One that is still there after it was killed is named, so that somebody can look at it.
    async fn stop(&self, handle: &Handle) -> Result<TaskEnd, RuntimeError> {
        let (runtime, grace) = (&self.host.runtime, self.host.config.stop_grace);
        let mut end = runtime.stop(handle, grace);
        tokio::select! {
            end = &mut end => return end,
            () = tokio::time::sleep(grace + KILLED) => {}
        }
        let _named =
            runtime.process(handle).map(|process| self.host.stubborn.name(self.given.fence, process));
        end.await
    }

    /// Unpacks an artifact for a target, once.
    pub(crate) async fn unpacked(&self, target: &Target, digest: &str) -> Result<PathBuf, Failure> {
        let folder = self.host.folder.join("targets").join(target.id.to_string()).join("artifacts");
        crate::build::unpack(&self.host.blobs, digest, &folder).await
    }

    /// The folder that a resource's processes call home.
    pub(crate) fn home(&self, target: &Target) -> PathBuf {
        self.host.folder.join("targets").join(target.id.to_string()).join("home")
    }
}

/// An error of a node.
pub(crate) fn error(code: &str, message: impl Into<String>) -> Failure {
    Failure::Error(NodeError { code: code.to_owned(), message: message.into(), transient: false })
}

/// An error that may be gone at the next attempt.
pub(crate) fn transient(code: &str, message: impl Into<String>) -> Failure {
    Failure::Error(NodeError { code: code.to_owned(), message: message.into(), transient: true })
}

/// An error of the machine's.
pub(crate) fn io_failure(what: &str, source: &io::Error, folder: &std::path::Path) -> Failure {
    if files::is_disk_full(source) {
        return disk_full(what, folder);
    }
    error("io", format!("{what} failed: {source}"))
}

/// No room.
pub(crate) fn disk_full(what: &str, folder: &std::path::Path) -> Failure {
    let folder = folder.display();
    error(
        "disk_full",
        format!(
            "{what} failed: there is no room left on the disk of {folder}; nothing was kept. Free some space (`df -h {folder}`), then retry"
        ),
    )
}

/// What a runtime's error means for a node.
pub(crate) fn failed(failure: RuntimeError) -> Failure {
    match failure {
        RuntimeError::Refused { code, .. } if code == "aborted" => Failure::Stopped,
        RuntimeError::Refused { code, message } => error(&code, message),
        RuntimeError::Stale { .. } => Failure::Refused(failure.to_string()),
        RuntimeError::Io { ref source, .. } | RuntimeError::Start { ref source, .. }
            if files::is_disk_full(source) =>
        {
            error("disk_full", format!("{failure}: there is no room left on the disk of the data folder"))
        }
        other => error("runtime", other.to_string()),
    }
}

/// Now, by the machine's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}
