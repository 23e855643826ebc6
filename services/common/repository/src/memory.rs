//! Files that are in memory only: for what a program insists on reading from a file, and no disk may hold.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
};

use rustix::fs::{MemfdFlags, Mode};

/// A file without a name, gone with its last descriptor. Only this user can read it.
#[derive(Debug)]
pub struct MemoryFile(OwnedFd);

impl MemoryFile {
    /// A file with these contents. It is not handed on to programs that are started: they open its path.
    ///
    /// # Errors
    /// No memory or no descriptor is left.
    pub fn new(contents: &[u8]) -> io::Result<Self> {
        Self::with(contents, MemfdFlags::CLOEXEC)
    }

    /// A file with these contents that this very process keeps when it becomes another program.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn handed_on(contents: &[u8]) -> io::Result<Self> {
        Self::with(contents, MemfdFlags::empty())
    }

    fn with(contents: &[u8], flags: MemfdFlags) -> io::Result<Self> {
        let mut file = File::from(rustix::fs::memfd_create("shipway", flags)?);
        // ssh takes a key from a file of its user alone.
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        file.write_all(contents)?;
        Ok(Self(file.into()))
    }

    /// Where this user's other processes find it, as long as this process has it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()))
    }

    /// Leaves it open until this process ends, or becomes another program that ends.
    pub fn keep(self) {
        std::mem::forget(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_read_by_its_path_again_and_again_and_gone_with_its_owner() {
        let file = MemoryFile::new(b"hello").unwrap();
        let path = file.path();
        assert_eq!(std::fs::read(&path).unwrap(), b"hello");
        assert_eq!(std::fs::read(&path).unwrap(), b"hello");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = std::process::Command::new("cat").arg(&path).output().unwrap();
        assert_eq!(other.stdout, b"hello");
        drop(file);
        assert!(std::fs::read(&path).is_err());
    }
}
