//! Backups of the embedded data in one file, made while everything goes on, and how they come back.
//!
//! First a consistent copy of the log's database is taken, then the blobs are packed: a blob is stored before the
//! event that names it, so whatever the copy names is there. Views are left out; they are built again.
//!
//! A restore raises the log's generation, so that fences given afterwards are above all that were given before, although
//! positions are used again.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    blobs::{BlobError, Blobs},
    log::{Form, Log, OpenError, ReadError, SqliteLog, SqliteOptions},
    verify::{Bad, Report, verify},
};

/// The format of a backup's file.
const FORMAT: u32 = 1;

/// How well a backup is packed; 3 is zstd's usual.
const LEVEL: i32 = 3;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The format of the file.
    format: u32,
    /// The log's id.
    pub log: String,
    /// The log's generation when the backup was made.
    pub generation: u32,
    /// The position of the last event in it.
    pub position: u64,
    /// Whether the keys are in it.
    pub keys: bool,
}

/// Why a backup was not made or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file to write is there already.
    #[error("{0} exists already; choose another name")]
    Exists(PathBuf),
    /// The folder to restore into holds something.
    #[error("{folder} is not empty (it holds {found}); restore into a new folder")]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// The first thing found in it.
        found: String,
    },
    /// A file could not be read or written.
    #[error("could not {attempting} {path}")]
    File {
        /// What was being attempted.
        attempting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The database could not be copied or set right.
    #[error("the log's database failed while {attempting}")]
    Database {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// The log names a blob that is not there.
    #[error("the log names the blob sha256:{0}, which is missing: the data folder is damaged")]
    MissingBlob(String),
    /// The file is no backup, or was made by a newer Shipway.
    #[error("{path} is not a backup that this Shipway can restore: {why}")]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The restored log could not be opened.
    #[error("the restored log could not be opened")]
    Open(#[from] OpenError),
    /// The restored blobs could not be opened.
    #[error("the restored blobs could not be opened")]
    Blobs(#[from] BlobError),
    /// The restored log could not be read.
    #[error("the restored log could not be read")]
    Read(#[from] ReadError),
    /// The restored log is not whole.
    #[error("the backup's log is damaged: {0}")]
    Damaged(Bad),
}

fn file_error(attempting: &'static str, path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { attempting, path: path.clone(), source }
}

fn database_error(attempting: &'static str) -> impl Fn(sqlx::Error) -> BackupError {
    move |source| BackupError::Database { attempting, source }
}

/// Packs the data folder into a new file, while it is in use. `keys`: with the keys that the secrets are encrypted with;
/// without them, the file is no secret, and the keys must be kept elsewhere.
///
/// # Errors
/// See [`BackupError`]; a file that is not complete is removed.
pub async fn backup(data: &Path, target: &Path, keys: bool) -> Result<Manifest, BackupError> {
    if target.exists() {
        return Err(BackupError::Exists(target.to_owned()));
    }
    let beside = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let scratch = tempfile::Builder::new()
        .prefix(".shipway-backup-")
        .tempdir_in(beside)
        .map_err(file_error("make a folder for the copy in", beside))?;
    let copy = scratch.path().join("log.db");
    let (manifest, named) = copy_log(&data.join("log.db"), &copy, keys).await?;
    let (data, target, packed) = (data.to_owned(), target.to_owned(), manifest.clone());
    tokio::task::spawn_blocking(move || {
        let part = scratch.path().join("part");
        pack(&data, &copy, &part, &packed, &named)?;
        fs::rename(&part, &target).map_err(file_error("name", &target))?;
        sync_folder(target.parent().unwrap_or(Path::new(".")))
    })
    .await
    .expect("packing does not panic")?;
    Ok(manifest)
}

/// Unpacks a backup into a new or empty data folder (a `lock` in it is fine), raises the log's generation and proves
/// the log whole.
///
/// # Errors
/// See [`BackupError`]; what was unpacked is removed.
pub async fn restore(archive: &Path, data: &Path) -> Result<(Manifest, Report), BackupError> {
    fs::create_dir_all(data).map_err(file_error("make", data))?;
    if let Some(found) = contents(data)?.first() {
        let found = found.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        return Err(BackupError::NotEmpty { folder: data.to_owned(), found });
    }
    let restored = restore_into(archive, data).await;
    if restored.is_err() {
        for path in contents(data)? {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(file_error("remove", &path))?;
        }
    }
    restored
}

/// The generation after `old`: one more, and not below the number of quarter hours since the start of 2026 (at `now`,
/// seconds since 1970), so that two restores of the same backup are told apart too. Fits a fence for 29 years.
fn next_generation(old: u32, now: i64) -> u32 {
    const START_OF_2026: i64 = 1_767_225_600;
    let quarters = (now - START_OF_2026).max(0) / 900;
    u32::try_from(quarters).unwrap_or(0).max(old + 1)
}

/// A consistent copy of the database; what it is, and the digests of the blobs that its events are in.
async fn copy_log(from: &Path, to: &Path, keys: bool) -> Result<(Manifest, Vec<String>), BackupError> {
    let options = SqliteConnectOptions::new().filename(from).create_if_missing(false);
    let mut source =
        SqliteConnection::connect_with(&options).await.map_err(database_error("opening the log's file"))?;
    sqlx::query("VACUUM INTO $1")
        .bind(to.to_string_lossy().into_owned())
        .execute(&mut source)
        .await
        .map_err(database_error("copying it"))?;
    source.close().await.map_err(database_error("closing the log's file"))?;
    let options = SqliteConnectOptions::new().filename(to);
    let mut copy =
        SqliteConnection::connect_with(&options).await.map_err(database_error("opening the copy"))?;
    let (log, generation, position): (String, u32, i64) =
        sqlx::query_as("SELECT id, generation, position FROM log, head")
            .fetch_one(&mut copy)
            .await
            .map_err(database_error("reading the copy"))?;
    let named = sqlx::query_scalar("SELECT DISTINCT data FROM events WHERE form = $1")
        .bind(Form::Blob.number())
        .fetch_all(&mut copy)
        .await
        .map_err(database_error("listing the blobs that it names"))?;
    copy.close().await.map_err(database_error("closing the copy"))?;
    let position = position.cast_unsigned();
    Ok((Manifest { format: FORMAT, log, generation, position, keys }, named))
}

fn pack(
    data: &Path,
    log: &Path,
    part: &Path,
    manifest: &Manifest,
    named: &[String],
) -> Result<(), BackupError> {
    let written = |source| BackupError::File { attempting: "write", path: part.to_owned(), source };
    let file = File::create_new(part).map_err(written)?;
    let packer = zstd::Encoder::new(file, LEVEL).map_err(written)?;
    let mut tar = tar::Builder::new(packer);
    tar.follow_symlinks(false);
    let text = serde_json::to_vec(manifest).expect("a manifest has only string keys");
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, "manifest.json", text.as_slice()).map_err(written)?;
    tar.append_path_with_name(log, "log.db").map_err(file_error("pack", log))?;
    let blobs = data.join("blobs/sha256");
    for hex in named {
        if !blobs.join(&hex[..2]).join(hex).exists() {
            return Err(BackupError::MissingBlob(hex.clone()));
        }
    }
    let mut folders = vec![(blobs, PathBuf::from("blobs/sha256"))];
    if manifest.keys {
        folders.push((data.join("keys"), PathBuf::from("keys")));
    }
    while let Some((folder, name)) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        tar.append_path_with_name(&folder, &name).map_err(file_error("pack", &folder))?;
        for entry in fs::read_dir(&folder).map_err(file_error("list", &folder))? {
            let entry = entry.map_err(file_error("list", &folder))?;
            let (path, name) = (entry.path(), name.join(entry.file_name()));
            if path.is_dir() {
                folders.push((path, name));
                continue;
            }
            match tar.append_path_with_name(&path, &name) {
                // A blob that nothing names any more may go meanwhile, and uploads come and go.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                packed => packed.map_err(file_error("pack", &path))?,
            }
        }
    }
    let file = tar.into_inner().and_then(zstd::Encoder::finish).map_err(written)?;
    file.sync_all().map_err(written)
}

async fn restore_into(archive: &Path, data: &Path) -> Result<(Manifest, Report), BackupError> {
    let (from, to) = (archive.to_owned(), data.to_owned());
    let manifest =
        tokio::task::spawn_blocking(move || unpack(&from, &to)).await.expect("unpacking does not panic")?;
    let file = data.join("log.db");
    raise_generation(&file, &manifest).await?;
    let blobs = Blobs::open(&data.join("blobs")).await?;
    let log = SqliteLog::open(&file, SqliteOptions { blobs: Some(blobs) }).await?;
    let report = verify(&log).await?;
    log.close().await;
    if let Some(bad) = report.bad {
        return Err(BackupError::Damaged(bad));
    }
    let folder = File::open(data).map_err(file_error("open", data))?;
    rustix::fs::syncfs(&folder).map_err(|error| file_error("sync", data)(error.into()))?;
    Ok((manifest, report))
}

fn unpack(archive: &Path, data: &Path) -> Result<Manifest, BackupError> {
    let not_a_backup = |why: String| BackupError::NotABackup { path: archive.to_owned(), why };
    let unreadable = |error: io::Error| not_a_backup(error.to_string());
    let file = File::open(archive).map_err(file_error("open", archive))?;
    let mut tar = tar::Archive::new(zstd::Decoder::new(file).map_err(unreadable)?);
    tar.set_preserve_permissions(true);
    tar.set_overwrite(false);
    let mut entries = tar.entries().map_err(unreadable)?;
    let first = entries.next().ok_or_else(|| not_a_backup("it is empty".to_owned()))?;
    let mut text = String::new();
    first.map_err(unreadable)?.take(1 << 16).read_to_string(&mut text).map_err(unreadable)?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| not_a_backup(error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(not_a_backup(format!("its format is {}, not {FORMAT}", manifest.format)));
    }
    for entry in entries {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.into_owned();
        let kind = entry.header().entry_type();
        let known = path == Path::new("log.db") || path.starts_with("blobs") || path.starts_with("keys");
        if !known || !(kind.is_file() || kind.is_dir()) {
            return Err(not_a_backup(format!("it holds {}", path.display())));
        }
        // Refuses paths that lead out of the folder.
        match entry.unpack_in(data) {
            Ok(true) => {}
            Ok(false) => return Err(not_a_backup(format!("it holds {}", path.display()))),
            Err(source) => return Err(file_error("unpack", &data.join(path))(source)),
        }
    }
    Ok(manifest)
}

async fn raise_generation(file: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
    let mut log = SqliteConnection::connect_with(&options)
        .await
        .map_err(database_error("opening the restored file"))?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    sqlx::query("UPDATE log SET generation = $1")
        .bind(next_generation(manifest.generation, now))
        .execute(&mut log)
        .await
        .map_err(database_error("raising its generation"))?;
    log.close().await.map_err(database_error("closing the restored file"))
}

/// What is in a data folder besides its lock.
fn contents(data: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let listed = file_error("list", data);
    let mut paths = Vec::new();
    for entry in fs::read_dir(data).map_err(&listed)? {
        let path = entry.map_err(&listed)?.path();
        if path.file_name() != Some("lock".as_ref()) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::next_generation;

    #[test]
    fn a_generation_always_grows_and_fits_a_fence() {
        assert_eq!(next_generation(1, 0), 2);
        assert_eq!(next_generation(1, 1_767_225_600 + 900 * 7), 7);
        assert_eq!(next_generation(9, 1_767_225_600 + 900 * 7), 10);
        let in_29_years = next_generation(1, 1_767_225_600 + 29 * 365 * 24 * 3600);
        assert_eq!(shipway_events::Fence::new(in_29_years, 1).generation(), in_29_years);
    }
}
