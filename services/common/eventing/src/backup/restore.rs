//! Brings a backup back.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use sqlx::{Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    BackupError, FORMAT, Manifest,
    archive::{Piece, Unpacker},
    database_error, file_error,
    filling::Filling,
};
use crate::{
    blobs::Blobs,
    log::{HALF_RESTORED, Log, PostgresLog, PostgresOptions, SqliteLog, SqliteOptions},
    verify::Report,
};

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The log is filled up to this position.
    Filled(u64),
    /// So many blobs are stored.
    Blobs(u64),
    /// The log is proven whole up to this position.
    Proven(u64),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup held.
    pub manifest: Manifest,
    /// The log's generation now.
    pub generation: u32,
    /// The proof that the log is whole.
    pub report: Report,
}

/// Unpacks a backup into a new or empty data folder (a `lock` in it is fine), raises the log's generation and proves
/// the log whole.
///
/// # Errors
/// See [`BackupError`]; what was unpacked is removed.
pub async fn restore(
    archive: &Path,
    data: &Path,
    tell: impl FnMut(Progress) + Send,
) -> Result<Restored, BackupError> {
    fs::create_dir_all(data).map_err(file_error("make", data))?;
    if let Some(found) = contents(data)?.first() {
        let found = found.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        return Err(BackupError::NotEmpty { place: data.display().to_string(), found });
    }
    let restored = to_folder(archive, data, tell).await;
    if restored.is_err() {
        for path in contents(data)? {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(file_error("remove", &path))?;
        }
    }
    restored
}

/// Unpacks a backup into an empty PostgreSQL database and a store of blobs (what is in that already stays), its keys into
/// a folder, if there are any and one is named; raises the log's generation and proves the log whole.
///
/// # Errors
/// See [`BackupError`]. What was filled until then stays; nothing starts on it, and a further restore says what to do.
pub async fn restore_to_servers(
    archive: &Path,
    url: &str,
    options: PostgresOptions,
    keys: Option<&Path>,
    tell: impl FnMut(Progress) + Send,
) -> Result<Restored, BackupError> {
    let blobs = options.blobs.clone().ok_or(BackupError::NoBlobs)?;
    let (mut unpacker, manifest) = begin(archive).await?;
    refuse_occupied(url).await?;
    let log = PostgresLog::connect(url, options).await?;
    let filling = Filling::new(archive, manifest, blobs, keys.map(Path::to_owned), tell);
    let restored = filling.all(&mut unpacker, &log).await;
    log.close().await;
    restored
}

/// An empty database has no table in a schema of Shipway's.
async fn refuse_occupied(url: &str) -> Result<(), BackupError> {
    let failed = database_error("looking whether the database is empty");
    let mut connection = PgConnection::connect(url).await.map_err(&failed)?;
    let place: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(&mut connection)
        .await
        .map_err(&failed)?;
    let place = format!("the database {place}");
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname LIKE 'shipway\\_%' ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .map_err(&failed)?;
    if found.iter().any(|table| table == "shipway_log.log") {
        let format: Option<i64> = sqlx::query_scalar("SELECT format FROM shipway_log.log")
            .fetch_optional(&mut connection)
            .await
            .map_err(&failed)?;
        if format == Some(HALF_RESTORED) {
            return Err(BackupError::CutOff { place });
        }
    }
    connection.close().await.map_err(failed)?;
    match found.into_iter().next() {
        Some(found) => Err(BackupError::NotEmpty { place, found }),
        None => Ok(()),
    }
}

async fn to_folder(
    archive: &Path,
    data: &Path,
    tell: impl FnMut(Progress) + Send,
) -> Result<Restored, BackupError> {
    let (mut unpacker, manifest) = begin(archive).await?;
    let blobs = Blobs::open(&data.join("blobs")).await?;
    let file = data.join("log.db");
    let mut filling = Filling::new(archive, manifest, blobs.clone(), Some(data.join("keys")), tell);
    if filling.manifest.format == 1 {
        filling.whole_file = Some(file.clone());
        filling.entries(&mut unpacker, None).await?;
        raise_generation(&file, &filling.manifest).await?;
    }
    let log = SqliteLog::open(&file, SqliteOptions { blobs: Some(blobs) }).await?;
    let restored = if filling.whole_file.is_some() {
        filling.prove(&log).await
    } else {
        filling.all(&mut unpacker, &log).await
    };
    log.close().await;
    let folder = File::open(data).map_err(file_error("open", data))?;
    rustix::fs::syncfs(&folder).map_err(|error| file_error("sync", data)(error.into()))?;
    restored
}

/// Opens an archive and reads what it says of itself.
async fn begin(archive: &Path) -> Result<(Unpacker, Manifest), BackupError> {
    File::open(archive).map_err(file_error("open", archive))?;
    let not_a_backup = |why: String| BackupError::NotABackup { path: archive.to_owned(), why };
    let mut unpacker = Unpacker::new(archive.to_owned());
    let first = unpacker.next().await.map_err(|error| not_a_backup(error.to_string()))?;
    let Some(Piece::Entry { name, size: 0..=65_536 }) = first else {
        return Err(not_a_backup("it is empty".to_owned()));
    };
    if name != "manifest.json" {
        return Err(not_a_backup(format!("it begins with {name}")));
    }
    let text = unpacker.content(0).await.map_err(|error| not_a_backup(error.to_string()))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| not_a_backup(error.to_string()))?;
    if manifest.format == 0 || manifest.format > FORMAT {
        return Err(not_a_backup(format!(
            "its format is {}, not {FORMAT}: upgrade this Shipway",
            manifest.format
        )));
    }
    Ok((unpacker, manifest))
}

/// The generation after `old`: one more, and not below the number of quarter hours since the start of 2026 (at `now`,
/// seconds since 1970), so that two restores of the same backup are told apart too. Fits a fence for 29 years.
fn next_generation(old: u32, now: i64) -> u32 {
    const START_OF_2026: i64 = 1_767_225_600;
    let quarters = (now - START_OF_2026).max(0) / 900;
    u32::try_from(quarters).unwrap_or(0).max(old + 1)
}

pub(super) fn generation_after(old: u32) -> u32 {
    next_generation(old, rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec)
}

async fn raise_generation(file: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
    let mut log = SqliteConnection::connect_with(&options)
        .await
        .map_err(database_error("opening the restored file"))?;
    sqlx::query("UPDATE log SET generation = $1")
        .bind(generation_after(manifest.generation))
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
