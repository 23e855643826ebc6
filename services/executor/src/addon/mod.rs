//! Addon engines: the machine's own database servers, run under keepers. One file each, and one line in
//! [`engine`].

mod postgresql;

use std::path::Path;

use async_trait::async_trait;
use shipway_events::run::Effect;
use shipway_nodes::workload::{Addon, Backup, Restore};

use crate::work::{Attempt, Failure, error};

/// What every engine does.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Makes the data folder, if it is not there, and starts the server; done when it takes connections.
    async fn start(&self, attempt: &Attempt<'_>, addon: &Addon) -> Result<(), Failure>;

    /// Dumps the content into the file `dump` and that into a blob. The caller removes the file once the result is
    /// recorded, so that an attempt that is taken up again finds it.
    async fn backup(&self, attempt: &Attempt<'_>, work: &Backup, dump: &Path) -> Result<Effect, Failure>;

    /// Loads a dump beside the content, for [`Engine::restore`].
    async fn load(&self, attempt: &Attempt<'_>, work: &Restore, dump: &Path) -> Result<(), Failure>;

    /// Whether the backup is loaded beside the content, whole.
    async fn has_loaded(&self, attempt: &Attempt<'_>, work: &Restore) -> Result<bool, Failure>;

    /// Replaces the content by a dump's; what was there stays until the dump is in. Without a dump it is loaded already. If
    /// what was there is kept beyond that, gives the name that it is kept by.
    async fn restore(
        &self,
        attempt: &Attempt<'_>,
        work: &Restore,
        dump: Option<&Path>,
    ) -> Result<Option<String>, Failure>;

    /// Lets go of all that restores have kept; gives the names.
    async fn let_go(&self, attempt: &Attempt<'_>, addon: &Addon) -> Result<Vec<String>, Failure>;

    /// Puts the newest content that was kept back into its place; gives its name, and the name that what was there is kept
    /// by.
    async fn put_back(
        &self,
        attempt: &Attempt<'_>,
        addon: &Addon,
    ) -> Result<(String, Option<String>), Failure>;
}

/// The engine of that name.
pub(crate) fn engine(name: &str) -> Result<Box<dyn Engine>, Failure> {
    match name {
        "postgresql" | "postgres" => Ok(Box::new(postgresql::Postgresql)),
        other => Err(error(
            "unknown_engine",
            format!("there is no addon engine `{other}` in this runtime; it has: postgresql"),
        )),
    }
}
