//! Where a child runs: as whom, and what of the machine it sees.
//!
//! Children are started through a launcher (`shipway sandbox <spec> -- <words>`): a process with one thread
//! that gives up what the child must not have and becomes the child. As root, children run as users of their
//! own, in a private mount namespace that shows them their folders below [`VIEW`] and nothing of the data
//! folder; as an ordinary user they run as that user.

mod launch;
mod probe;
mod toolchain;
mod users;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

pub use launch::main;
pub(crate) use probe::Isolation;
pub(crate) use toolchain::Toolchain;
pub(crate) use users::{Users, own_folder};

/// Where a child in a private mount namespace finds its folders.
pub(crate) const VIEW: &str = "/mnt";

/// How a child is run. Holds no secrets: it is recorded, and shown in the process list for an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    /// The user (and group) it runs as; the starter's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<u32>,
    /// Its view of the file system; the machine's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) view: Option<View>,
    /// Its working directory, as it sees it.
    pub(crate) directory: PathBuf,
    /// Variables whose values, as base64, it gets as files in memory: they hold the files' paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<String>,
}

/// A private view of the file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    /// Folders that look empty.
    pub(crate) hide: Vec<PathBuf>,
    /// Folders that it sees below [`VIEW`].
    pub(crate) binds: Vec<Bind>,
}

/// One folder that a child sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bind {
    /// Where it is.
    pub(crate) source: PathBuf,
    /// Where the child sees it.
    pub(crate) target: PathBuf,
    /// Whether the child may write.
    pub(crate) writable: bool,
}

impl Sandbox {
    /// The command that runs `words` here, with exactly this environment. The child leads a session of its own.
    /// It dies with the thread that spawns it when that is not the root of a PID namespace.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        words: &[S],
        environment: &BTreeMap<String, String>,
    ) -> Command {
        let spec = serde_json::to_string(self).expect("a sandbox has only string keys");
        let mut command = Command::new("/proc/self/exe");
        command.args(["sandbox", &spec, "--"]).args(words);
        command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").envs(environment);
        command
    }

    /// Where the child sees `path` of the machine.
    pub(crate) fn seen(&self, path: &Path) -> PathBuf {
        let binds = self.view.iter().flat_map(|view| &view.binds);
        binds
            .filter_map(|bind| path.strip_prefix(&bind.source).ok().map(|rest| bind.target.join(rest)))
            .next()
            .unwrap_or_else(|| path.to_owned())
    }
}

/// Where children look for programs.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
