//! What only a repository can tell: which files were changed, every commit's message, the whole id of a commit.
//!
//! Asked of a bare clone without files (`--filter=blob:none`) that is kept between deliveries, so that only what is new
//! is fetched. Names of changed files are compared by trees alone (`--no-renames`): of a renamed file both names are
//! told, and no file's content is ever needed.

mod bare;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};
use shipway_repository::{Allow, Credential};
use tokio::sync::Mutex;

use self::bare::Bare;
use crate::{
    domain::{
        happened::{Facts, Happened, Needs},
        repository::RepositoryKey,
    },
    git::{AskError, Asking},
};

/// With more packs than these a clone is packed anew.
const PACKS: usize = 50;

/// Why a repository did not tell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangesError {
    /// It could not be asked.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// It was asked, and has no such commit.
    #[error("the repository has no commit {0}")]
    NoCommit(String),
    /// The clones' folder cannot be used.
    #[error("the folder of clones, {}, cannot be used", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Clones of repositories, in a folder of limited size.
#[derive(Clone, Debug)]
pub(crate) struct Clones {
    folder: PathBuf,
    /// Above so many bytes those that were not used for the longest time are removed.
    size: u64,
    /// How long a repository may take for a question.
    limit: Duration,
    /// Which repositories are asked at all.
    allow: Allow,
    /// Each is used by one at a time.
    turns: Arc<StdMutex<Turns>>,
}

/// By the clone's folder.
type Turns = BTreeMap<PathBuf, Arc<Mutex<()>>>;

impl Clones {
    pub(crate) fn new(folder: PathBuf, size: u64, limit: Duration, allow: Allow) -> Self {
        Self { folder, size, limit, allow, turns: Arc::default() }
    }

    /// Asks a repository, with this login, for what is needed to judge something that happened to it.
    pub(crate) async fn facts(
        &self,
        address: &str,
        login: Option<&Credential>,
        key: &RepositoryKey,
        happened: &Happened,
        needs: Needs,
    ) -> Result<Facts, ChangesError> {
        let folder = self.folder.join(named(key.as_str()));
        let turn = self.turn(&folder);
        let _turn = turn.lock().await;
        let asking = Asking { login, limit: self.limit, allow: self.allow };
        let address = asking.parse(address)?;
        let clone = Bare::new(&address, asking, &folder)?;
        let is_long = happened.commit().is_some_and(|id| id.len() == 64);
        clone
            .open(if is_long { "sha256" } else { "sha1" })
            .await
            .map_err(|source| ChangesError::Folder { folder: self.folder.clone(), source })??;
        let facts = clone.facts(happened, needs).await;
        if clone.packs() > PACKS && clone.local("repack", &["repack", "-a", "-d", "--quiet"]).await.is_err() {
            drop(tokio::fs::remove_dir_all(&folder).await);
        }
        let clones = self.clone();
        // Reading folders is no work for the threads that answer requests.
        drop(tokio::task::spawn_blocking(move || clones.trim(&folder)).await);
        facts
    }

    fn turn(&self, folder: &Path) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(folder.to_owned()).or_default())
    }

    /// Removes clones until the rest fits.
    fn trim(&self, used: &Path) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let mut clones: Vec<(SystemTime, u64, PathBuf)> = entries
            .flatten()
            .map(|entry| {
                let used = entry.path().join(USED);
                let at = used.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                (at, size_of(&entry.path()), entry.path())
            })
            .collect();
        clones.sort();
        let mut total: u64 = clones.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in clones {
            // The newest is the last, and is not kept either where it does not fit alone.
            if total <= self.size {
                return;
            }
            let turn = self.turn(&path);
            let free = turn.try_lock();
            if path != used && free.is_err() {
                continue;
            }
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(%error, folder = %path.display(), "a clone could not be removed");
            }
            total = total.saturating_sub(size);
        }
    }
}

/// The file whose time says when a clone was last used.
const USED: &str = "shipway-used";

fn named(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..16])
}

fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
