//! What an executor is asked to do for one attempt of a node.
//!
//! Values that hold secrets are `{"$secret": "…"}` (see `shipway_documents::secret`): the executor finishes
//! them when the work starts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shipway_events::{
    EffectClass, ProjectId, ResourceId,
    plan::{Artifact, BackupPin, RepositoryLogin},
};

/// One attempt's work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "camelCase")]
pub enum Workload {
    /// Goes to the executor and back.
    Noop(Noop),
    /// Makes an artifact from a commit.
    Build(Build),
    /// Gives a service or a job an artifact.
    Release(Release),
    /// Runs a job to its end.
    Job(Job),
    /// Starts an addon, or brings it to its declared state.
    Addon(Addon),
    /// Backs an addon up.
    Backup(Backup),
    /// Puts a backup's content into an addon.
    Restore(Restore),
    /// Decides about what an addon kept when a backup was put into it.
    Kept(Kept),
    /// Executes a command in a running service.
    Exec(Exec),
    /// Restarts a service or an addon.
    Restart(Restart),
    /// Waits until something holds.
    Await(Await),
    /// Sends a message.
    Message(Message),
    /// Comments on a pull request.
    Comment(Comment),
}

impl Workload {
    /// The class of effect that this work has by itself; a document may declare another for `Job` and `Exec`.
    #[must_use]
    pub const fn effect(&self) -> EffectClass {
        match self {
            Self::Release(_) | Self::Addon(_) | Self::Restart(_) => EffectClass::Fenced,
            Self::Job(_) | Self::Exec(_) => EffectClass::Checked,
            Self::Noop(_)
            | Self::Build(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Kept(_)
            | Self::Await(_)
            | Self::Message(_)
            | Self::Comment(_) => EffectClass::Keyed,
        }
    }

    /// What it touches on a host: it can be done where that is, and nowhere else. A job has no host; its artifact is in
    /// the blobs.
    #[must_use]
    pub const fn target_on_host(&self) -> Option<&Target> {
        match self {
            Self::Release(release) if release.service.is_some() => Some(&release.target),
            Self::Addon(addon) => Some(&addon.addon),
            Self::Backup(backup) => Some(&backup.addon.addon),
            Self::Restore(restore) => Some(&restore.addon.addon),
            Self::Kept(kept) => Some(&kept.addon.addon),
            Self::Exec(exec) => Some(&exec.target),
            Self::Restart(restart) => Some(&restart.target),
            Self::Await(Await { watch: Watch::Service { target } | Watch::Addon { target }, .. }) => {
                Some(target)
            }
            _ => None,
        }
    }

    /// Whether it takes a process slot of its executor (the others share 256 light ones).
    #[must_use]
    pub const fn is_heavy(&self) -> bool {
        matches!(self, Self::Build(_) | Self::Job(_) | Self::Backup(_) | Self::Restore(_))
    }
}

/// See [`Workload::Noop`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Noop {
    /// Computes this Fibonacci number by plain recursion, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fib: Option<u32>,
    /// Waits so many milliseconds, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_ms: Option<u64>,
    /// Fails with this message, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<String>,
    /// Becomes the node's outputs.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub outputs: Map<String, Value>,
}

/// A resource that work touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its project.
    pub project: ProjectId,
    /// The resource.
    pub id: ResourceId,
    /// Its id in documents.
    pub slug: String,
}

/// See [`Workload::Build`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// The build service.
    pub service: Target,
    /// The build's id: stable over attempts.
    pub build: String,
    /// The repository: `https://…`, `ssh://…`, `file:///…` or an absolute path.
    pub repository: String,
    /// The linked account that fetches it; nobody in particular when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<RepositoryLogin>,
    /// The branch; of a pull request's build a name that no branch has ([`Build::of_pull_request`]).
    pub branch: String,
    /// The pull request whose newest commit is meant, instead of a branch's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    /// The commit; the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    /// Gives back an earlier build of that commit by this service, if there is one.
    #[serde(default)]
    pub reuse: bool,
    /// Whether the commit may be a stranger's: it is built with nothing that other builds left, and leaves nothing that
    /// they read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
    /// The shell command that builds; found by language when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Paths, relative to the checkout, that make the artifact; found by language when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// The folder of the repository to build in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<String>,
    /// Build arguments: environment of the build command.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
}

impl Build {
    /// What stands for the branch in the build of a pull request, so that nobody who follows a branch gets it.
    #[must_use]
    pub fn of_pull_request(number: u64) -> String {
        format!("{PULL_REQUEST}{number}/head")
    }

    /// Whether that is what stands for a branch.
    #[must_use]
    pub fn is_pull_request(branch: &str) -> bool {
        branch.starts_with(PULL_REQUEST)
    }
}

const PULL_REQUEST: &str = "refs/pull/";

/// See [`Workload::Release`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The service or job.
    pub target: Target,
    /// What it gets.
    pub artifact: Artifact,
    /// How it runs; none for a job, which only keeps the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSpec>,
    /// `condition: running`: done only when all new instances are healthy and serve.
    #[serde(default)]
    pub wait: bool,
    /// Seconds that the new instances have to become healthy.
    pub timeout_seconds: u32,
}

/// How a service runs on a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// How many instances.
    pub instances: u32,
    /// What is executed.
    pub command: Command,
    /// The environment, before the runtime's own `PORT`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub environment: Map<String, Value>,
    /// Its ports; instances get a private one each in `PORT` (the first) and `PORT_<NAME>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Health checks; a TCP connect to each port when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health: Vec<HealthCheck>,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
}

/// What is executed in an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// A process type of the artifact's Procfile: `web`.
    Process(String),
    /// Words, without a shell.
    Words(Vec<String>),
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The port on the host where the keeper listens.
    pub public: u16,
    /// Layer 7 proxying, or plain bytes.
    pub http: bool,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// The path that must answer 2xx or 3xx; a TCP connect when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The port's name; the first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Milliseconds between checks.
    pub period_ms: u64,
    /// Milliseconds that an answer may take.
    pub timeout_ms: u64,
    /// Consecutive good answers that make an instance healthy.
    pub successes: u32,
    /// Consecutive bad answers that make a healthy instance ill.
    pub failures: u32,
}

/// See [`Workload::Job`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The job.
    pub job: Target,
    /// The job run's id: stable over attempts.
    pub job_run: String,
    /// What it runs.
    pub artifact: Artifact,
    /// What is executed.
    pub command: Command,
    /// The environment.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub environment: Map<String, Value>,
    /// Seconds that it may take; ended by SIGTERM, then SIGKILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u32>,
}

/// See [`Workload::Addon`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addon {
    /// The addon.
    pub addon: Target,
    /// The engine: `postgresql`.
    pub engine: String,
    /// The version asked for: `latest`, `16`, `14-latest`.
    pub version: String,
    /// The port on the host.
    pub port: u16,
    /// Its credentials by key (`password`, …).
    pub credentials: BTreeMap<String, Value>,
    /// Seconds that it has to start.
    pub timeout_seconds: u32,
}

/// See [`Workload::Backup`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// The addon.
    pub addon: Addon,
    /// The backup's id: stable over attempts.
    pub backup: String,
    /// `dump` or `snapshot`, as asked; this runtime makes a dump of either and says so.
    pub backup_type: String,
    /// `zstd`, `gz` or `none`.
    pub compression: String,
}

/// See [`Workload::Restore`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restore {
    /// The addon.
    pub addon: Addon,
    /// The backup's id.
    pub backup: String,
    /// Where its content is.
    pub pin: BackupPin,
    /// What was there is kept, until somebody confirms the restore or takes it back ([`Kept`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// The backup is only loaded beside what is there, which goes on. A restore of the same backup then puts it in its
    /// place at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_load: bool,
}

/// See [`Workload::Kept`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The addon.
    pub addon: Addon,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of contents that were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// The restore was right: all that was kept is let go of.
    LetGo,
    /// The restore was wrong: the newest that was kept takes its place again, and what is there now is kept.
    PutBack,
}

/// See [`Workload::Exec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// The service (in one of its instances) or the job (in a fresh process of its artifact).
    pub target: Target,
    /// The words of the command.
    pub command: Vec<String>,
    /// The environment of the target.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub environment: Map<String, Value>,
    /// Starts it and does not wait.
    #[serde(default)]
    pub dispatch_only: bool,
    /// Seconds that it may take.
    pub timeout_seconds: u32,
}

/// See [`Workload::Restart`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// The service or addon.
    pub target: Target,
    /// Done only when it runs again.
    pub wait: bool,
    /// Seconds that it has to run again.
    pub timeout_seconds: u32,
}

/// See [`Workload::Await`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Await {
    /// What is watched.
    pub watch: Watch,
    /// Seconds until the wait is given up.
    pub timeout_seconds: u32,
}

/// What an [`Await`] watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "watch", rename_all = "camelCase")]
pub enum Watch {
    /// All instances of the service are healthy.
    Service {
        /// The service.
        target: Target,
    },
    /// The addon accepts connections.
    Addon {
        /// The addon.
        target: Target,
    },
    /// An address answers with this status, and with this text in its body if given.
    Http {
        /// The address.
        url: Value,
        /// The status.
        status: u16,
        /// The text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
}

/// See [`Workload::Message`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// `rawWebhook` or `slack`.
    pub channel: Channel,
    /// Where it goes.
    pub url: Value,
    /// What it says.
    pub message: Value,
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Channel {
    /// A POST of the message as it is; one `webhook-id` on every attempt.
    RawWebhook,
    /// A Slack incoming webhook.
    Slack,
}

/// See [`Workload::Comment`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comment {
    /// Where the repository is: `github`, `gitlab`, `bitbucket`, `azure` or `self-hosted`.
    pub service: String,
    /// The repository's address.
    pub repository: String,
    /// The pull request's number.
    pub pull_request: u64,
    /// The linked account that comments; the only one of that host when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The host, if it is one of the team's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_hosted: Option<String>,
    /// What it says.
    pub message: Value,
}

/// How an attempt ended, as the executor tells the scheduler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// It was started (for nodes that nothing waits for); its end follows.
    Started {
        /// What is known when it starts.
        #[serde(default)]
        outputs: Map<String, Value>,
    },
    /// It went well.
    Succeeded {
        /// What later nodes can refer to.
        #[serde(default)]
        outputs: Map<String, Value>,
        /// What changed in the world.
        #[serde(default)]
        effects: Vec<shipway_events::run::Effect>,
    },
    /// It went badly.
    Failed {
        /// Why.
        error: shipway_events::run::NodeError,
    },
    /// It was stopped as asked.
    Stopped,
    /// It was never started and will not be.
    Refused {
        /// Why.
        reason: String,
    },
    /// Nobody can know what it did.
    Unknown {
        /// What is and is not known.
        reason: String,
    },
}
