//! What has still to be delivered: one synced file each, named so that they sort by time.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::PostReceiveError;

/// The folder in the Git directory.
pub const OUTBOX: &str = "shipway-outbox";

/// How often a taken lock is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// A delivery with its id, which stays over all attempts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Parcel {
    pub delivery: String,
    pub event: String,
    pub body: String,
}

impl Parcel {
    pub(super) fn new(event: &str, body: String) -> Self {
        Self { delivery: uuid::Uuid::now_v7().to_string(), event: event.to_owned(), body }
    }
}

pub(super) struct Outbox {
    folder: PathBuf,
}

impl Outbox {
    pub(super) fn open(repository: &Path) -> Result<Self, PostReceiveError> {
        let outbox = Self { folder: repository.join(OUTBOX) };
        outbox.attempt(fs::create_dir_all(&outbox.folder))?;
        Ok(outbox)
    }

    /// Keeps a delivery: it has its name only when it is whole and synced.
    pub(super) fn put(&self, parcel: &Parcel) -> Result<(), PostReceiveError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{since:020}-{}", parcel.delivery);
        let draft = self.folder.join(format!("{name}.draft"));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&draft)?;
            file.write_all(serde_json::to_string(parcel).map_err(io::Error::other)?.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, self.folder.join(format!("{name}.json")))?;
            File::open(&self.folder)?.sync_all()
        };
        self.attempt(write())
    }

    /// What is there, oldest first.
    pub(super) fn list(&self) -> Result<Vec<PathBuf>, PostReceiveError> {
        let entries = self.attempt(fs::read_dir(&self.folder))?;
        let mut found = Vec::new();
        for entry in entries {
            let path = self.attempt(entry)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                found.push(path);
            }
        }
        found.sort();
        Ok(found)
    }

    /// The delivery in a file; none if it holds none.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Parcel>, PostReceiveError> {
        let bytes = self.attempt(fs::read(path))?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    pub(super) fn remove(&self, path: &Path) -> Result<(), PostReceiveError> {
        self.attempt(fs::remove_file(path).and_then(|()| File::open(&self.folder)?.sync_all()))
    }

    /// Puts aside what will never be taken, so that the rest is delivered.
    pub(super) fn refuse(&self, path: &Path) -> Result<(), PostReceiveError> {
        let aside = self.folder.join("refused");
        let name = path.file_name().unwrap_or_default();
        self.attempt(fs::create_dir_all(&aside).and_then(|()| fs::rename(path, aside.join(name))))
    }

    /// The right to deliver, until it is dropped; none if another process keeps it for so long.
    pub(super) async fn lock(&self, patience: Duration) -> Result<Option<File>, PostReceiveError> {
        let path = self.folder.join("lock");
        let file = self.attempt(OpenOptions::new().create(true).truncate(false).write(true).open(path))?;
        let end = tokio::time::Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < end => {
                    tokio::time::sleep(LOOK).await;
                }
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(self.failed(source)),
            }
        }
    }

    fn attempt<T>(&self, result: io::Result<T>) -> Result<T, PostReceiveError> {
        result.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> PostReceiveError {
        PostReceiveError::Outbox { path: self.folder.clone(), source }
    }
}
