//! Files that must be whole or absent, and locks that end with their process.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::FlockOperation;
use serde::{Serialize, de::DeserializeOwned};

/// Writes `value` as JSON beside `path`, syncs it, renames it there and syncs the folder: a reader sees the
/// old content or the new, also after a power cut. After an error the old content is there.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write(path, &serde_json::to_vec_pretty(value).map_err(io::Error::other)?, 0o600)
}

/// As [`write_json`], with bytes and a mode.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let place = |bytes: &[u8], synced: bool| {
        let mut file = File::options().create(true).write(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        if synced {
            file.sync_all()?;
        }
        fs::rename(&temporary, path)
    };
    let before = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        before => Some(before?),
    };
    if let Err(error) = place(bytes, true) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_parent(path).inspect_err(|_| {
        // The caller is told that it did not happen: whoever reads next must not find it. The disk's own word on that
        // cannot be had.
        let _ = before.map_or_else(|| fs::remove_file(path), |before| place(&before, false));
    })
}

/// Syncs the folder that holds `path`, so that its name survives a power cut.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// The value in a JSON file; `None` when there is no file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged: {error}", path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the lock at `path` for as long as the file is kept; `None` when another process has it.
pub(crate) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the disk has no room (or the quota is used up).
pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
