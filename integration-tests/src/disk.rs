//! A small disk of a test's own, in memory, that can be filled.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};

/// What fills it, by name.
const FILLER: &str = "filler";

/// A mounted disk; unmounted with the value, also while somebody still has files open there.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Whether this process may mount disks.
    #[must_use]
    pub fn is_allowed() -> bool {
        let Ok(folder) = tempfile::tempdir() else { return false };
        Self::mount(folder.path(), 1 << 20, None).is_ok()
    }

    /// Mounts a disk of so many bytes at a folder, which is there; for that user and group alone, if one is named.
    ///
    /// # Errors
    /// Without the right to mount.
    pub fn mount(folder: &Path, bytes: usize, owner: Option<(u32, u32)>) -> Result<Self> {
        let owner = owner.map(|(uid, gid)| format!(",mode=0700,uid={uid},gid={gid}"));
        let options = format!("size={bytes}{}", owner.unwrap_or_default());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder);
        said(&mount.output().context("running mount")?, "mounting a disk needs root")?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes all room that there is.
    ///
    /// # Errors
    /// If it fails otherwise than for want of room.
    pub fn fill(&self) -> Result<()> {
        let path = self.folder.join(FILLER);
        let mut filler = fs::File::options().create(true).append(true).open(&path)?;
        // The last of it is taken in pieces as small as a file's.
        for piece in [1 << 20, 4096] {
            let error = take_all(&mut filler, &vec![0; piece]);
            if error.kind() != std::io::ErrorKind::StorageFull {
                return Err(error).with_context(|| format!("filling {}", self.folder.display()));
            }
        }
        Ok(())
    }

    /// Gives back what [`Disk::fill`] took.
    ///
    /// # Errors
    /// If it was not filled.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.folder.join(FILLER)).context("giving room back")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.folder).output());
    }
}

/// Writes until that fails; how it did.
fn take_all(file: &mut fs::File, piece: &[u8]) -> std::io::Error {
    loop {
        if let Err(error) = file.write_all(piece) {
            return error;
        }
    }
}

fn said(output: &Output, what: &str) -> Result<()> {
    if !output.status.success() {
        bail!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_and_has_room_again() {
        if !Disk::is_allowed() {
            println!("SKIPPED: only root can mount disks");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::mount(folder.path(), 1 << 20, None).unwrap();
        disk.fill().unwrap();
        let file = folder.path().join("file");
        assert_eq!(fs::write(&file, [0; 9000]).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        disk.free().unwrap();
        fs::write(&file, [0; 9000]).unwrap();
    }
}
