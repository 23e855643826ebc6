//! The key-encryption key: a file that only the owner can read, made at the first start.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::cipher::Key;

/// The file's name in the folder of keys.
const FILE: &str = "kek";

/// The key that every project's data key is wrapped by.
#[derive(Clone, Debug)]
pub(crate) struct Kek {
    /// The key.
    pub(crate) key: Key,
    /// Which key it is; tells nothing about it.
    pub(crate) id: String,
}

impl Kek {
    fn new(key: Key) -> Self {
        let digest = Sha256::new().chain_update(b"shipway kek id").chain_update(key.bytes()).finalize();
        Self { id: hex::encode(&digest[..8]), key }
    }
}

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KekError {
    /// Others could read or change it.
    #[error(
        "{} can be used by others (mode {mode:o}), so it is not used; if nobody else has read it, run \
         `chmod {wanted:o} {}`", path.display(), path.display()
    )]
    Mode {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they must be.
        wanted: u32,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user {owner}, but Shipway runs as user {user}; run it as the owner", path.display())]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
        /// Our number.
        user: u32,
    },
    /// It does not hold a key.
    #[error("{} does not hold a key (64 hex digits); put the file from your backup in its place", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
    },
    /// There are secrets, and the key that they are encrypted with is gone.
    #[error(
        "{} is missing, and the secrets in the log's database cannot be read without it; put the file from your \
         backup in its place", path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{attempting} {}", path.display())]
    Io {
        /// What was being attempted.
        attempting: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads the key, or makes it if there are no secrets yet that another one could have encrypted.
pub(crate) fn load_or_make(folder: &Path, secrets_exist: bool) -> Result<Kek, KekError> {
    let path = folder.join(FILE);
    let failed = |attempting, path: &Path| {
        let path = path.to_owned();
        move |source| KekError::Io { attempting, path, source }
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed("making the folder of keys", folder))?;
    private(folder, 0o700)?;
    match fs::File::open(&path) {
        Ok(file) => {
            private(&path, 0o600)?;
            read(file, &path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && secrets_exist => {
            Err(KekError::Lost { path })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = Key::random();
            make(folder, &path, &key).map_err(failed("making the key file", &path))?;
            Ok(Kek::new(key))
        }
        Err(source) => Err(failed("opening the key file", &path)(source)),
    }
}

/// Refuses what others than its owner can use, or whose owner is somebody else.
fn private(path: &Path, wanted: u32) -> Result<(), KekError> {
    let metadata = fs::metadata(path).map_err(|source| KekError::Io {
        attempting: "looking at the permissions of",
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KekError::Mode { path: path.to_owned(), mode, wanted });
    }
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        return Err(KekError::Owner { path: path.to_owned(), owner, user });
    }
    Ok(())
}

fn read(file: fs::File, path: &Path) -> Result<Kek, KekError> {
    let shape = || KekError::Shape { path: path.to_owned() };
    let mut text = Zeroizing::new(String::with_capacity(128));
    file.take(128).read_to_string(&mut text).map_err(|_| shape())?;
    let bytes = Zeroizing::new(hex::decode(text.trim_end()).map_err(|_| shape())?);
    Key::from_slice(&bytes).map(Kek::new).ok_or_else(shape)
}

/// Whole or not at all, and on disk before anything is encrypted with it.
fn make(folder: &Path, path: &Path, key: &Key) -> io::Result<()> {
    let part = folder.join(format!("{FILE}.part"));
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    let text = Zeroizing::new(hex::encode(key.bytes()));
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let made = load_or_make(&keys, false).unwrap();
        assert_eq!(fs::metadata(keys.join(FILE)).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o7777, 0o700);
        let again = load_or_make(&keys, true).unwrap();
        assert_eq!((made.key.bytes(), made.id), (again.key.bytes(), again.id));
    }

    #[test]
    fn a_key_that_others_can_use_is_refused_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        load_or_make(&keys, false).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            set_mode(&keys.join(FILE), mode);
            let error = load_or_make(&keys, true).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:o}")) && error.contains("chmod 600"), "{error}");
        }
        set_mode(&keys.join(FILE), 0o600);
        set_mode(&keys, 0o755);
        let error = load_or_make(&keys, true).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }

    #[test]
    fn a_lost_or_broken_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        assert!(matches!(load_or_make(&keys, true), Err(KekError::Lost { .. })));
        load_or_make(&keys, false).unwrap();
        for text in ["", "xyz", &"0".repeat(63), &"0".repeat(66)] {
            fs::write(keys.join(FILE), text).unwrap();
            assert!(matches!(load_or_make(&keys, true), Err(KekError::Shape { .. })), "{text}");
        }
    }
}
