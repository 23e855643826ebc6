//! What this machine allows, found out by doing it once at the start.

use std::{path::Path, process::Stdio};

use serde::{Deserialize, Serialize};

use super::{Sandbox, View};

/// How children are kept apart here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Isolation {
    /// Children can run as users of their own.
    pub(crate) users: bool,
    /// Children can have a private view of the file system.
    pub(crate) views: bool,
}

impl Isolation {
    /// Tries it with `binary`, Shipway's own. A root installation that cannot isolate is told so, loudly.
    pub(crate) async fn probe(binary: &Path) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::default();
        }
        let users = Sandbox { user: Some(super::users::FIRST), directory: "/".into(), ..Sandbox::default() };
        let views = Sandbox { view: Some(View::default()), ..users.clone() };
        let found = Self { users: works(binary, &users).await, views: works(binary, &views).await };
        if !found.users {
            tracing::warn!(
                "builds, jobs, services and addons run as root: changing the user is not allowed here"
            );
        }
        if !found.views {
            tracing::warn!(
                "builds, jobs, services and addons see the whole file system: private mount namespaces are not \
                 allowed here (CAP_SYS_ADMIN is missing)"
            );
        }
        found
    }
}

async fn works(binary: &Path, sandbox: &Sandbox) -> bool {
    let spec = serde_json::to_string(sandbox).expect("a sandbox has only string keys");
    let mut command = tokio::process::Command::new(binary);
    command.args(["sandbox", &spec, "--", "true"]).env_clear().env("PATH", super::PATH);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await.is_ok_and(|status| status.success())
}
