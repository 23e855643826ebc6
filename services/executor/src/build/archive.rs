//! The archive of an artifact: tar and zstd, the same bytes for the same tree.
//!
//! Names are sorted; times, owners and groups are zero; modes are 0755 for folders and programs, 0644 for the
//! rest. Links stay links, and nothing is read through one.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shipway_eventing::{BlobId, Blobs};

use crate::{
    os::beneath,
    work::{Failure, error, io_failure},
};

/// Where the manifest is in an archive.
const MANIFEST: &str = ".shipway/manifest.json";
const LEVEL: i32 = 3;

/// What an artifact says about itself. Part of the archive, so only what follows from the tree is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The process types and what they execute.
    pub(crate) processes: BTreeMap<String, String>,
}

impl Manifest {
    /// The manifest of an unpacked artifact.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        Ok(crate::os::files::read_json(&folder.join(MANIFEST))?.unwrap_or_default())
    }
}

/// What goes into an archive: by its name there, where it is below the folder that is packed.
pub(crate) type Entries = BTreeMap<String, PathBuf>;

/// Adds everything at `below` in `root` under `name`, except what `skip` says.
pub(crate) fn collect(
    entries: &mut Entries,
    root: &Path,
    below: &Path,
    name: &str,
    skip: &dyn Fn(&str) -> bool,
) -> io::Result<()> {
    if skip(name) {
        return Ok(());
    }
    let data = fs::symlink_metadata(root.join(below))?;
    if !data.is_dir() {
        if data.is_file() || data.is_symlink() {
            entries.insert(name.to_owned(), below.to_owned());
        }
        return Ok(());
    }
    if !name.is_empty() {
        entries.insert(format!("{name}/"), below.to_owned());
    }
    for entry in fs::read_dir(root.join(below))? {
        let own = entry?.file_name();
        let own = own.to_str().ok_or_else(|| {
            let message = format!("the name {own:?} in {} is not UTF-8", below.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        let name = if name.is_empty() { own.to_owned() } else { format!("{name}/{own}") };
        collect(entries, root, &below.join(own), &name, skip)?;
    }
    Ok(())
}

/// Writes the archive of `root` to `to`, hashed while it is written. A file that could not be written whole is removed.
pub(crate) fn pack(root: &Path, entries: &Entries, manifest: &Manifest, to: &Path) -> io::Result<BlobId> {
    let packed = (|| {
        let hashed = Hashed { file: File::create(to)?, hash: Sha256::new() };
        let mut tar = tar::Builder::new(zstd::Encoder::new(hashed, LEVEL)?);
        let text = serde_json::to_vec_pretty(manifest).map_err(io::Error::other)?;
        let mut written = false;
        for (name, below) in entries {
            if !written && name.as_str() > MANIFEST {
                append_bytes(&mut tar, MANIFEST, &text)?;
                written = true;
            }
            append(&mut tar, name, root, below)?;
        }
        if !written {
            append_bytes(&mut tar, MANIFEST, &text)?;
        }
        let hashed = tar.into_inner()?.finish()?;
        hashed.file.sync_all()?;
        Ok(BlobId::from_digest(hashed.hash.finalize().into()))
    })();
    if packed.is_err() {
        let _ = fs::remove_file(to);
    }
    packed
}

fn append<W: Write>(tar: &mut tar::Builder<W>, name: &str, root: &Path, below: &Path) -> io::Result<()> {
    if name == MANIFEST || name == ".shipway/" {
        return Ok(());
    }
    let data = fs::symlink_metadata(root.join(below))?;
    if data.is_symlink() {
        let mut header = header(tar::EntryType::Symlink, 0, 0o777);
        return tar.append_link(&mut header, name, fs::read_link(root.join(below))?);
    }
    if data.is_dir() {
        let mut header = header(tar::EntryType::Directory, 0, 0o755);
        return tar.append_data(&mut header, name, io::empty());
    }
    // What ran in the folder may have put a link on the way since it was looked at.
    let file = beneath::open(root, below)?;
    let data = file.metadata()?;
    let mode = if data.mode() & 0o111 == 0 { 0o644 } else { 0o755 };
    let mut header = header(tar::EntryType::Regular, data.len(), mode);
    tar.append_data(&mut header, name, file.take(data.len()))
}

fn append_bytes<W: Write>(tar: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    tar.append_data(&mut header(tar::EntryType::Regular, bytes.len() as u64, 0o644), name, bytes)
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

struct Hashed {
    file: File,
    hash: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Unpacks the artifact `digest` below `folder`, once; gives where it is.
pub(crate) async fn unpack(blobs: &Blobs, digest: &str, folder: &Path) -> Result<PathBuf, Failure> {
    let id: BlobId = digest.parse().map_err(|bad| error("bad_artifact", format!("{bad}")))?;
    let whole = folder.join(&id.hex()[..32]);
    if whole.is_dir() {
        return Ok(whole);
    }
    let what = format!("unpacking the artifact {digest}");
    fs::create_dir_all(folder).map_err(|source| io_failure(&what, &source, folder))?;
    let marker = uuid::Uuid::now_v7().simple().to_string();
    let (packed, partial) = (folder.join(format!("{marker}.tar.zst")), folder.join(format!("{marker}.part")));
    let copied = blobs.copy_to(&id, &packed).await;
    let unpacked = match copied {
        Ok(()) => {
            let (packed, partial, whole) = (packed.clone(), partial.clone(), whole.clone());
            let done = tokio::task::spawn_blocking(move || extract(&packed, &partial, &whole)).await;
            done.unwrap_or_else(|failure| Err(io::Error::other(failure)))
                .map_err(|source| io_failure(&what, &source, folder))
        }
        Err(failure) => Err(blob_failure(&what, &failure, folder)),
    };
    let _ = fs::remove_file(&packed);
    let _ = fs::remove_dir_all(&partial);
    unpacked.map(|()| whole)
}

fn extract(packed: &Path, partial: &Path, whole: &Path) -> io::Result<()> {
    fs::create_dir(partial)?;
    let mut tar = tar::Archive::new(zstd::Decoder::new(File::open(packed)?)?);
    tar.set_preserve_mtime(false);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let plain = entry.path()?.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || !entry.unpack_in(partial)? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a name in the archive leads out of it"));
        }
    }
    match fs::rename(partial, whole) {
        // Another attempt was faster with the same bytes.
        Err(_) if whole.is_dir() => Ok(()),
        other => other,
    }
}

/// What a blob store's error means for a node.
pub(crate) fn blob_failure(
    what: &str,
    failure: &shipway_eventing::blobs::BlobError,
    folder: &Path,
) -> Failure {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(failure);
    while let Some(cause) = source {
        if cause.downcast_ref::<io::Error>().is_some_and(crate::os::files::is_disk_full) {
            return crate::work::disk_full(what, folder);
        }
        source = cause.source();
    }
    error("blobs", format!("{what} failed: {failure}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree(folder: &Path, order: &[&str]) {
        for name in order {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name.as_bytes()).unwrap();
        }
        fs::set_permissions(folder.join("bin/web"), fs::Permissions::from_mode(0o711)).unwrap();
        symlink("web", folder.join("bin/link")).unwrap();
    }

    fn packed(folder: &Path, to: &Path) -> BlobId {
        let mut entries = Entries::new();
        collect(&mut entries, folder, Path::new(""), "", &|name| name == ".git").unwrap();
        let manifest = Manifest { processes: [("web".to_owned(), "bin/web".to_owned())].into() };
        pack(folder, &entries, &manifest, to).unwrap()
    }

    #[tokio::test]
    async fn the_same_tree_is_the_same_archive_and_comes_back_whole() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        tree(&one, &["bin/web", "a.txt", ".git/index", "z/y/x"]);
        tree(&two, &["z/y/x", "a.txt", "bin/web"]);
        fs::set_permissions(two.join("a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
        let archive = root.path().join("out.tar.zst");
        let digest = packed(&one, &archive);
        assert_eq!(packed(&two, &root.path().join("two.tar.zst")), digest);
        let blobs = Blobs::open(&root.path().join("blobs")).await.unwrap();
        assert_eq!(blobs.put_file(&archive).await.unwrap(), digest);
        let whole = unpack(&blobs, digest.as_str(), &root.path().join("artifacts")).await.unwrap();
        assert_eq!(fs::read(whole.join("z/y/x")).unwrap(), b"z/y/x");
        assert_eq!(fs::metadata(whole.join("bin/web")).unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs::read_link(whole.join("bin/link")).unwrap(), Path::new("web"));
        assert_eq!(Manifest::read(&whole).unwrap().processes["web"], "bin/web");
        assert_eq!(fs::read_dir(root.path().join("artifacts")).unwrap().count(), 1);
    }
}
