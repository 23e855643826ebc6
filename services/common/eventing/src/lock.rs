//! The data folder's lock: one Shipway per folder.
//!
//! The kernel holds it for the open file and lets go when the process ends, however that happens. The file is closed in
//! programs that this one starts, so no child keeps it.

use std::{
    fs::File,
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// The lock, until it is dropped.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process has it.
    #[error(
        "the data folder {folder} is in use by {holder}; stop that one, or give this one another folder with `--data`"
    )]
    Held {
        /// The data folder.
        folder: PathBuf,
        /// `process 4711`, or `another process` if it did not say.
        holder: String,
    },
    /// The lock's file could not be used.
    #[error("could not {attempting} the lock file {path}")]
    File {
        /// What was being attempted.
        attempting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

impl DataLock {
    /// Takes the lock of this folder, which is made if it is missing. Does not wait.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder's process id; [`LockError::File`].
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("lock");
        let failed = |attempting| {
            let path = path.clone();
            move |source| LockError::File { attempting, path, source }
        };
        std::fs::create_dir_all(folder).map_err(failed("make the folder of"))?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // What it says is for people only.
                drop(file.read_to_string(&mut pid));
                let holder = match pid.trim().parse::<u32>() {
                    Ok(pid) => format!("process {pid}"),
                    Err(_) => "another process".to_owned(),
                };
                return Err(LockError::Held { folder: folder.to_owned(), holder });
            }
            Err(error) => return Err(failed("lock")(error.into())),
        }
        let mut write = || -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write().map_err(failed("write"))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_has_it_and_gets_it_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new/data");
        let lock = DataLock::take(&data).unwrap();
        let refused = DataLock::take(&data).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(lock);
        drop(DataLock::take(&data).unwrap());
    }

    #[test]
    fn a_child_does_not_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        let lock = DataLock::take(folder.path()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        drop(lock);
        let again = DataLock::take(folder.path());
        child.kill().unwrap();
        child.wait().unwrap();
        again.unwrap();
    }
}
