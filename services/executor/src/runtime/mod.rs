//! What a resource is on a machine is a runtime's business; flows do not know.
//!
//! The runtimes: [`process`]. A new one is one file here, and one line in the contract suite
//! (`tests/runtime_contract.rs`).

pub mod process;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use shipway_events::{Fence, ResourceId, Timestamp, plan::Artifact};
use shipway_nodes::workload::{HealthCheck, Port, Target};

pub use crate::keeper::Phase;

/// What every runtime can honestly do.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Starts a command. A task that was started before, by this process or an earlier one, is not started again:
    /// the handle is that of the first start.
    ///
    /// # Errors
    /// [`RuntimeError::Start`]: it does not run.
    async fn start(&self, task: &Task) -> Result<Handle, RuntimeError>;

    /// Waits for a command's end.
    ///
    /// # Errors
    /// [`RuntimeError::Lost`]: it was started and nobody knows how it ended.
    async fn wait(&self, handle: &Handle) -> Result<TaskEnd, RuntimeError>;

    /// Asks a command and all that it started to end, kills what is left after `grace`, waits for the end.
    ///
    /// # Errors
    /// As [`Self::wait`].
    async fn stop(&self, handle: &Handle, grace: Duration) -> Result<TaskEnd, RuntimeError>;

    /// Forgets a command that was lost or cut short, so that it can be started again where that is harmless.
    ///
    /// # Errors
    /// What is left of it could not be removed.
    fn forget(&self, handle: &Handle) -> Result<(), RuntimeError>;

    /// The commands that run: how work is found again after a restart.
    ///
    /// # Errors
    /// The list could not be read.
    async fn running(&self) -> Result<Vec<(TaskId, Handle)>, RuntimeError>;

    /// Brings a target to a state; done when all new instances are healthy and serve. On an error everything is
    /// as it was. The same effect key is the same roll-out.
    ///
    /// # Errors
    /// [`RuntimeError::Stale`] when a higher fence was seen, [`RuntimeError::Refused`] with the reason otherwise.
    async fn apply(&self, deployment: Deployment) -> Result<Applied, RuntimeError>;

    /// New instances of the same state.
    ///
    /// # Errors
    /// As [`Self::apply`].
    async fn restart(
        &self,
        target: ResourceId,
        fence: Fence,
        effect_key: &str,
        timeout: Duration,
    ) -> Result<Applied, RuntimeError>;

    /// Gives up the roll-out of that fence, if it is still going.
    ///
    /// # Errors
    /// The target could not be asked.
    async fn cancel(&self, target: ResourceId, fence: Fence) -> Result<(), RuntimeError>;

    /// How a target stands; `None` when there is nothing of it here.
    ///
    /// # Errors
    /// The target could not be asked.
    async fn status(&self, target: ResourceId) -> Result<Option<TargetStatus>, RuntimeError>;

    /// How all targets stand.
    ///
    /// # Errors
    /// The list could not be read.
    async fn statuses(&self) -> Result<Vec<TargetStatus>, RuntimeError>;

    /// Where a command in `place` sees `path` of the machine.
    fn seen(&self, place: &Place, path: &Path) -> PathBuf;
}

/// Which command: the same over restarts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The node's effect key.
    pub effect_key: String,
    /// The attempt, 1 for the first.
    pub attempt: u32,
    /// Which step of the node.
    pub step: String,
}

/// A command that is run once.
#[derive(Clone, Debug)]
pub struct Task {
    /// Which it is.
    pub id: TaskId,
    /// The fence of the attempt that it is started for.
    pub fence: Fence,
    /// As whom and where.
    pub place: Place,
    /// What is executed, without a shell.
    pub words: Vec<String>,
    /// The plain part of its environment.
    pub environment: BTreeMap<String, String>,
    /// The secret part: goes through a pipe, is recorded nowhere, is masked in the output.
    pub secrets: BTreeMap<String, String>,
    /// What it reads from files that are in memory only: contents by the variable that holds the file's path. They
    /// are there for a program that `words` name, and not for what a shell of theirs starts later.
    pub files: BTreeMap<String, Vec<u8>>,
    /// More values to mask.
    pub mask: Vec<String>,
    /// The file that its output is appended to.
    pub log: PathBuf,
    /// How large that file may grow.
    pub log_limit: u64,
    /// The file that it reads.
    pub stdin: Option<PathBuf>,
    /// The file that its standard output goes to instead of the log.
    pub stdout: Option<PathBuf>,
    /// When it has to have ended.
    pub deadline: Option<Timestamp>,
    /// The time between SIGTERM and SIGKILL at the deadline.
    pub grace: Duration,
}

/// Where a command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The resource that it runs for: each has a user of its own where that is possible.
    pub owner: String,
    /// What it sees of the machine beside the system.
    pub folders: Vec<Folder>,
    /// Its working directory, as a path of the machine.
    pub directory: PathBuf,
    /// Whether it needs the machine's language tools.
    pub tools: bool,
}

/// A folder that a command sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Its name for the command.
    pub name: String,
    /// The command may write, and the folder belongs to its user.
    pub writable: bool,
}

/// A started command: plain data, so that it can be recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub PathBuf);

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why it could not be executed at all.
    pub error: Option<String>,
    /// Its deadline ended it.
    pub timed_out: bool,
    /// A request ended it.
    pub stopped: bool,
    /// The end of its executor's lease ended it: the fence of the attempt that it was started for.
    pub lapsed: Option<Fence>,
    /// The last lines of its output, masked.
    pub tail: Vec<String>,
}

impl TaskEnd {
    /// Whether it ended by itself with exit code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// How it ended, in words, with the last lines.
    #[must_use]
    pub fn describe(&self) -> String {
        let how = match (&self.error, self.timed_out, self.code, self.signal) {
            (Some(error), ..) => return error.clone(),
            (None, true, ..) => "had not ended at its deadline and was killed".to_owned(),
            (None, _, Some(code), _) => format!("exited with code {code}"),
            (None, _, None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, _, None, None) => "ended".to_owned(),
        };
        if self.tail.is_empty() {
            format!("{how}. It wrote nothing.")
        } else {
            format!("{how}. Its last lines:\n{}", self.tail.join("\n"))
        }
    }
}

/// What a target is to be.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The target.
    pub target: Target,
    /// Refused when a higher one was seen.
    pub fence: Fence,
    /// The same key is the same roll-out.
    pub effect_key: String,
    /// How it is kept.
    pub keeping: Keeping,
    /// What it was made from.
    pub artifact: Option<Artifact>,
    /// As whom and where.
    pub place: Place,
    /// How many instances.
    pub instances: u32,
    /// What is executed.
    pub words: Vec<String>,
    /// The plain part of the environment.
    pub environment: BTreeMap<String, String>,
    /// The secret part, as recorded: variables, and what their values are made of (names and versions).
    pub secret_names: BTreeMap<String, Value>,
    /// The secret part's values.
    pub secrets: BTreeMap<String, String>,
    /// Its public ports.
    pub ports: Vec<Port>,
    /// Health checks; a connect to each port when empty.
    pub health: Vec<HealthCheck>,
    /// Seconds between the stop signal and SIGKILL.
    pub grace_seconds: u32,
    /// The time that all new instances have to become healthy.
    pub timeout: Duration,
}

/// How a target is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// Instances behind a proxy; the new ones take over from the old ones.
    Proxied,
    /// One server that opens its ports itself: replaced, never doubled.
    Exclusive {
        /// The signal that asks it to end.
        stop_signal: i32,
        /// The program that finds out whether it is ready.
        ready: Vec<String>,
    },
}

/// A roll-out's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// It was so already.
    pub already: bool,
}

/// How a target stands.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetStatus {
    /// The resource.
    pub target: Target,
    /// It is an addon.
    pub addon: bool,
    /// The highest fence seen.
    pub fence: Fence,
    /// The fence of the roll-out that its state comes from.
    pub applied: Option<Fence>,
    /// The roll-out that its state comes from.
    pub effect_key: Option<String>,
    /// What it runs.
    pub artifact: Option<Artifact>,
    /// How many instances there should be.
    pub wanted: u32,
    /// The instances.
    pub instances: Vec<InstanceStatus>,
    /// Its public ports.
    pub ports: Vec<Port>,
    /// A roll-out is going.
    pub rolling: bool,
    /// All that should run is healthy.
    pub healthy: bool,
    /// After a restart of its keeper it waits for these: variables, and what their values are made of.
    pub needs_secrets: BTreeMap<String, Value>,
    /// Its keeper runs.
    pub kept: bool,
}

/// One instance of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStatus {
    /// Its name in logs.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// Its private ports by name.
    pub ports: BTreeMap<String, u16>,
    /// How often it was started again after it had ended by itself.
    pub restarts: u32,
}

/// What can go wrong in a runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A command could not be started.
    #[error("starting `{what}` failed: {source}")]
    Start {
        /// The command.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It was started, and nobody knows how it ended.
    #[error("the process was started, and its shim died before it had recorded an end")]
    Lost,
    /// A higher fence was seen.
    #[error("a newer attempt (fence {current}) has been here already")]
    Stale {
        /// The higher fence.
        current: Fence,
    },
    /// The target says no; everything is as it was.
    #[error("{message}")]
    Refused {
        /// A short stable word.
        code: String,
        /// The reason.
        message: String,
    },
    /// Something on the machine failed.
    #[error("{what} failed: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl RuntimeError {
    /// For `map_err`: an I/O error with what was attempted.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
