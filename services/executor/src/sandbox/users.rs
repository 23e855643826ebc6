//! Which user runs what: one per resource, given once and kept.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use crate::os::files;

/// The first user id given.
pub(crate) const FIRST: u32 = 61_000;
const LAST: u32 = 64_999;

/// The register of users, kept in one file.
#[derive(Debug)]
pub(crate) struct Users {
    path: PathBuf,
    known: Mutex<BTreeMap<String, u32>>,
    enabled: bool,
}

impl Users {
    /// Reads the register; with `enabled` false nobody gets a user of their own.
    pub(crate) fn open(path: PathBuf, enabled: bool) -> io::Result<Self> {
        let known = files::read_json(&path)?.unwrap_or_default();
        Ok(Self { path, known: Mutex::new(known), enabled })
    }

    /// The user of `resource`; `None` when everything runs as the user who started Shipway.
    pub(crate) fn of(&self, resource: &str) -> io::Result<Option<u32>> {
        if !self.enabled {
            return Ok(None);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user) = known.get(resource) {
            return Ok(Some(*user));
        }
        let user = known.values().max().map_or(FIRST, |highest| highest + 1);
        if user > LAST {
            return Err(io::Error::other(format!("all user ids from {FIRST} to {LAST} are given")));
        }
        let mut next = known.clone();
        next.insert(resource.to_owned(), user);
        files::write_json(&self.path, &next)?;
        *known = next;
        Ok(Some(user))
    }
}

/// Makes a folder that belongs to `user` and that only that user (and root) can enter.
pub(crate) fn own_folder(path: &Path, user: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    if let Some(user) = user
        && fs::symlink_metadata(path)?.uid() != user
    {
        lchown(path, Some(user), Some(user))?;
    }
    Ok(())
}
