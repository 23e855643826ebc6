//! Makes a backup.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures::TryStreamExt;
use serde::Serialize;
use sqlx::{AnyConnection, Executor, Row};

use super::{
    BackupError, End, FORMAT, Manifest, Tables,
    archive::{Packer, Spool},
    database_error, file_error,
    tables::{Table, durable},
};
use crate::{
    blobs::{BlobError, BlobId, Blobs},
    database::begun,
    durable::Durable,
    log::{Form, Log, Stored},
};

/// How many events are read at once.
const PAGE: usize = 250;

/// How large an entry of rows gets.
const ROWS: usize = 1 << 20;

/// What is backed up.
#[derive(Clone)]
pub struct Source {
    /// The log, opened with its blobs.
    pub log: Arc<dyn Log>,
    /// The tables beside it.
    pub durable: Durable,
    /// The folder of the keys, if they are to be in the backup. Without them it is no secret, and they must be kept
    /// elsewhere.
    pub keys: Option<PathBuf>,
}

/// A backup of one moment, not written yet.
pub struct Backup {
    source: Source,
    blobs: Blobs,
    manifest: Manifest,
    tables: Tables,
    /// The durable tables' rows.
    spool: Spool,
    rows: u64,
    /// What they name.
    named: BTreeSet<BlobId>,
}

/// Writes a backup into a new file.
///
/// # Errors
/// See [`BackupError`]; a file that is not complete is removed.
pub async fn backup(source: Source, target: &Path) -> Result<Manifest, BackupError> {
    if target.exists() {
        return Err(BackupError::Exists(target.to_owned()));
    }
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = tempfile::Builder::new()
        .prefix(".shipway-backup-")
        .tempfile_in(folder)
        .map_err(file_error("make a file in", folder))?;
    let file = part.reopen().map_err(file_error("write", target))?;
    let backup = Backup::begin(source).await?;
    let manifest = backup.manifest().clone();
    backup.write(file).await?;
    part.as_file().sync_all().map_err(file_error("write", target))?;
    part.persist_noclobber(target).map_err(|error| file_error("name", target)(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error("sync", folder))?;
    Ok(manifest)
}

impl Backup {
    /// Takes the moment that the backup is of, and copies what changes after it.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn begin(source: Source) -> Result<Self, BackupError> {
        let blobs = source.log.blobs().cloned().ok_or(BackupError::NoBlobs)?;
        let statements = statements(&source.durable).await?;
        let mut tables = Tables { statements, columns: BTreeMap::new() };
        let database = source.durable.database();
        let mut kept = Vec::new();
        for name in durable(tables.statements.iter().map(String::as_str)) {
            if let Some(table) = Table::find(database, name).await? {
                tables.columns.insert(table.name.clone(), table.column_names());
                kept.push(table);
            }
        }
        let failed = database_error("seeing the database as it is at one moment");
        let mut moment = if database.is_postgres() {
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
            let mut moment = begun(source.durable.pool(), Some(begin)).await.map_err(&failed)?;
            // The slowest reader of a backup decides how long this takes.
            let patience =
                "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
            moment.execute(sqlx::raw_sql(patience)).await.map_err(&failed)?;
            moment
        } else {
            begun(source.durable.pool(), None).await.map_err(&failed)?
        };
        let mut manifest = head(&mut moment).await.map_err(&failed)?;
        manifest.keys = source.keys.is_some();
        let spool = Spool::new().map_err(BackupError::Write)?;
        let mut rows = Rows::new(spool);
        for table in &kept {
            let name = table.name.as_str();
            let mut lines = sqlx::query_scalar::<_, String>(table.lines()).fetch(&mut *moment);
            while let Some(line) =
                lines.try_next().await.map_err(database_error("reading a durable table"))?
            {
                rows.add(name, &line).await?;
            }
            rows.flush(name).await?;
        }
        moment.rollback().await.map_err(failed)?;
        let Rows { spool, count, named, .. } = rows;
        Ok(Self { source, blobs, manifest, tables, spool, rows: count, named })
    }

    /// What it will hold.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// See [`BackupError`]; what was written is no backup then.
    pub async fn write(self, to: impl Write + Send + 'static) -> Result<(), BackupError> {
        let mut packer = Packer::new(to);
        let mut end = End { rows: self.rows, blobs: 0 };
        packer.entry("manifest.json", json(&self.manifest)).await.map_err(BackupError::Write)?;
        packer.entry("tables.json", json(&self.tables)).await.map_err(BackupError::Write)?;
        let entries = self.spool.read().await.map_err(BackupError::Write)?;
        packer.copy(entries).await.map_err(BackupError::Write)?;
        let mut named = self.named;
        let large = events(&*self.source.log, &self.manifest, &mut packer, &mut named, &mut end).await?;
        end.blobs = pack_blobs(&self.blobs, large, named, &mut packer).await?;
        if let Some(keys) = &self.source.keys {
            pack_keys(keys, &mut packer).await?;
        }
        packer.entry("end.json", json(&end)).await.map_err(BackupError::Write)?;
        packer.finish().await.map_err(BackupError::Write)
    }
}

/// The statements that made the durable tables.
async fn statements(durable: &Durable) -> Result<Vec<String>, BackupError> {
    sqlx::query_scalar("SELECT statement FROM made ORDER BY number")
        .fetch_all(durable.pool())
        .await
        .map_err(database_error("reading what made the durable tables"))
}

async fn head(moment: &mut AnyConnection) -> Result<Manifest, sqlx::Error> {
    let row =
        sqlx::query("SELECT id, generation, position, at, hash FROM log, head").fetch_one(moment).await?;
    let generation: i64 = row.try_get("generation")?;
    Ok(Manifest {
        format: FORMAT,
        log: row.try_get("id")?,
        generation: u32::try_from(generation).map_err(|error| sqlx::Error::Decode(error.into()))?,
        position: row.try_get::<i64, _>("position")?.cast_unsigned(),
        keys: false,
        at: row.try_get("at")?,
        hash: hex::encode(row.try_get::<Vec<u8>, _>("hash")?),
    })
}

/// Rows on their way into entries.
struct Rows {
    spool: Spool,
    buffer: Vec<u8>,
    entries: u32,
    count: u64,
    named: BTreeSet<BlobId>,
}

impl Rows {
    const fn new(spool: Spool) -> Self {
        Self { spool, buffer: Vec::new(), entries: 0, count: 0, named: BTreeSet::new() }
    }

    async fn add(&mut self, table: &str, line: &str) -> Result<(), BackupError> {
        names_in(line, &mut self.named);
        self.buffer.extend_from_slice(line.as_bytes());
        self.buffer.push(b'\n');
        self.count += 1;
        if self.buffer.len() >= ROWS { self.flush(table).await } else { Ok(()) }
    }

    async fn flush(&mut self, table: &str) -> Result<(), BackupError> {
        if !self.buffer.is_empty() {
            let entry = entry(table, &mut self.entries);
            self.spool.entry(&entry, &self.buffer).await.map_err(BackupError::Write)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// Packs the log up to the backup's position; the blobs that event data is in.
async fn events(
    log: &dyn Log,
    manifest: &Manifest,
    packer: &mut Packer,
    named: &mut BTreeSet<BlobId>,
    end: &mut End,
) -> Result<BTreeSet<BlobId>, BackupError> {
    let (mut after, mut entries, mut large) = (0, 0, BTreeSet::new());
    while after < manifest.position {
        let page = log.stored(after, PAGE).await?;
        let (mut events, mut streams) = (Vec::new(), Vec::new());
        for row in page.iter().take_while(|row| row.position <= manifest.position) {
            if row.version == 1 {
                lines(&mut streams, &(row.stream, &row.name, 0));
                end.rows += 1;
            }
            let begin = events.len();
            lines(&mut events, &columns(row));
            names_in(&String::from_utf8_lossy(&events[begin..]), named);
            if row.form == Form::Blob.number() {
                large.insert(format!("sha256:{}", row.data).parse().map_err(|_| {
                    crate::log::ReadError::Damaged {
                        position: row.position,
                        what: "its data is in no blob".to_owned(),
                    }
                })?);
            }
            end.rows += 1;
            after = row.position;
        }
        if events.is_empty() {
            return Err(crate::log::ReadError::Gap { expected: after + 1, found: 0 }.into());
        }
        for (table, rows) in [("streams", streams), ("events", events)] {
            if !rows.is_empty() {
                let entry = entry(table, &mut entries);
                packer.entry(&entry, rows.into()).await.map_err(BackupError::Write)?;
            }
        }
    }
    Ok(large)
}

/// The columns of an event, in the order of [`super::OWN`].
fn columns(row: &Stored) -> impl Serialize + '_ {
    let Stored { position, at, stream, version, items, schema, form, kind, meta, data, .. } = row;
    let (command, hash) = (hex::encode(&row.command), hex::encode(&row.hash));
    (position, at, stream, version, items, schema, form, command, hash, kind, meta, data)
}

/// Packs the blobs that large event data is in, which must be there, and those that anything else names, as far as they
/// are: not every digest is a blob's, and old artifacts are removed. How many there were.
async fn pack_blobs(
    blobs: &Blobs,
    large: BTreeSet<BlobId>,
    mut named: BTreeSet<BlobId>,
    packer: &mut Packer,
) -> Result<u64, BackupError> {
    let mut packed = 0;
    for id in &large {
        let content = blobs.get(id).await.map_err(|error| match error {
            BlobError::Missing(id) => BackupError::MissingBlob(id),
            error => error.into(),
        })?;
        names_in(&String::from_utf8_lossy(&content), &mut named);
        packer.entry(&blob_entry(id), content).await.map_err(BackupError::Write)?;
        packed += 1;
    }
    for id in named.difference(&large) {
        let (size, mut content) = match (blobs.size(id).await, blobs.stream(id).await) {
            (Ok(size), Ok(content)) => (size, content),
            (Err(BlobError::Missing(_)), _) | (_, Err(BlobError::Missing(_))) => continue,
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
        packer.begin(&blob_entry(id), size).await.map_err(BackupError::Write)?;
        while let Some(bytes) = content.try_next().await? {
            packer.raw(bytes).await.map_err(BackupError::Write)?;
        }
        packer.end(size).await.map_err(BackupError::Write)?;
        packed += 1;
    }
    Ok(packed)
}

async fn pack_keys(folder: &Path, packer: &mut Packer) -> Result<(), BackupError> {
    for entry in fs::read_dir(folder).map_err(file_error("list", folder))? {
        let path = entry.map_err(file_error("list", folder))?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name().and_then(|name| name.to_str())) {
            let content = fs::read(&path).map_err(file_error("read", &path))?;
            packer.entry(&format!("keys/{name}"), content.into()).await.map_err(BackupError::Write)?;
        }
    }
    Ok(())
}

/// Notes every blob that a text names.
fn names_in(text: &str, named: &mut BTreeSet<BlobId>) {
    const LENGTH: usize = "sha256:".len() + 64;
    for (begin, _) in text.match_indices("sha256:") {
        let id = text.get(begin..begin + LENGTH).and_then(|name| name.parse().ok());
        named.extend(id);
    }
}

fn entry(table: &str, entries: &mut u32) -> String {
    *entries += 1;
    format!("rows/{table}/{entries:08}")
}

fn blob_entry(id: &BlobId) -> String {
    format!("blobs/sha256/{}/{}", &id.hex()[..2], id.hex())
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("it has only string keys").into()
}

fn lines(buffer: &mut Vec<u8>, row: &impl Serialize) {
    serde_json::to_writer(&mut *buffer, row).expect("a row has only string keys");
    buffer.push(b'\n');
}
