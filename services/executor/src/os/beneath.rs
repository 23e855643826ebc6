//! Reading what untrusted programs wrote: never through a link, never out of the folder.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Opens a file below `root` for reading. A link anywhere on the way below `root` is an error.
pub(crate) fn open(root: &Path, below: &Path) -> io::Result<File> {
    let root = File::open(root)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(rustix::fs::openat2(&root, below, flags, Mode::empty(), resolve)?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a file", below.display())))
    }
}

/// A short text file below `root`; `None` when there is none. What is longer than `limit` is cut.
pub(crate) fn read_text(root: &Path, below: &str, limit: u64) -> io::Result<Option<String>> {
    let file = match open(root, Path::new(below)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_not_followed_wherever_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        fs::create_dir_all(root.join("real")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("secret"), "x").unwrap();
        fs::write(root.join("real/file"), "fine").unwrap();
        symlink(outside.join("secret"), root.join("link")).unwrap();
        symlink(&outside, root.join("folder")).unwrap();
        assert_eq!(read_text(&root, "real/file", 100).unwrap().unwrap(), "fine");
        assert_eq!(read_text(&root, "none", 100).unwrap(), None);
        for bad in ["link", "folder/secret", "../outside/secret", "real", "/etc/passwd"] {
            assert!(open(&root, Path::new(bad)).is_err(), "{bad}");
        }
    }
}
