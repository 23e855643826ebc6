//! Puts what an archive holds where it belongs: rows into an empty log and the tables beside it, blobs and keys.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    BackupError, End, Manifest, OWN, Progress, Restored, Tables,
    archive::{Piece, Unpacker},
    database_error, file_error,
    restore::generation_after,
    tables::{Table, durable, only_makes},
};
use crate::{
    blobs::{BlobError, BlobId, Blobs},
    durable::Durable,
    log::{HALF_RESTORED, Log},
    verify::verify_telling,
};

/// A restore under way.
pub(super) struct Filling<F> {
    archive: PathBuf,
    pub(super) manifest: Manifest,
    blobs: Blobs,
    keys: Option<PathBuf>,
    tell: F,
    /// Where a backup of the first format goes: it holds the log's file.
    pub(super) whole_file: Option<PathBuf>,
    tables: HashMap<String, Table>,
    filled: End,
}

impl<F: FnMut(Progress) + Send> Filling<F> {
    pub(super) fn new(
        archive: &Path,
        manifest: Manifest,
        blobs: Blobs,
        keys: Option<PathBuf>,
        tell: F,
    ) -> Self {
        Self {
            archive: archive.to_owned(),
            manifest,
            blobs,
            keys,
            tell,
            whole_file: None,
            tables: HashMap::new(),
            filled: End::default(),
        }
    }

    fn not_a_backup(&self, why: impl Into<String>) -> BackupError {
        BackupError::NotABackup { path: self.archive.clone(), why: why.into() }
    }

    fn damaged(&self) -> impl Fn(io::Error) -> BackupError + use<F> {
        let path = self.archive.clone();
        move |error| BackupError::NotABackup { path: path.clone(), why: format!("it is damaged: {error}") }
    }

    /// Fills an empty log and the tables beside it, and makes it one that can be opened.
    pub(super) async fn all(self, unpacker: &mut Unpacker, log: &dyn Log) -> Result<Restored, BackupError> {
        let durable = log.durable().await?;
        let restored = self.through(unpacker, log, &durable).await;
        // Whatever came of it: a connection that closes later would do that in files that others have made since.
        durable.close().await;
        restored
    }

    async fn through(
        mut self,
        unpacker: &mut Unpacker,
        log: &dyn Log,
        durable: &Durable,
    ) -> Result<Restored, BackupError> {
        mark_half_restored(durable).await.map_err(database_error("marking the log"))?;
        self.entries(unpacker, Some(durable)).await?;
        self.set_head(durable).await?;
        let mut restored = self.prove(log).await?;
        restored.generation = generation_after(restored.manifest.generation);
        let opened = "UPDATE log SET id = $1, generation = $2, format = $3";
        let failed = database_error("giving the log its generation");
        let mut tx = durable.begin().await?;
        sqlx::query(opened)
            .bind(&restored.manifest.log)
            .bind(i64::from(restored.generation))
            .bind(crate::log::FORMAT)
            .execute(&mut *tx)
            .await
            .map_err(&failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(restored)
    }

    pub(super) async fn entries(
        &mut self,
        unpacker: &mut Unpacker,
        durable: Option<&Durable>,
    ) -> Result<(), BackupError> {
        let damaged = self.damaged();
        let mut end = None;
        while let Some(piece) = unpacker.next().await.map_err(&damaged)? {
            let Piece::Entry { name, size } = piece else { continue };
            let parts: Vec<_> = name.split('/').collect();
            match (parts.as_slice(), durable) {
                (["tables.json"], Some(durable)) => {
                    let content = unpacker.content(size).await.map_err(&damaged)?;
                    let tables = serde_json::from_slice(&content);
                    self.make(durable, &tables.map_err(|error| self.not_a_backup(error.to_string()))?)
                        .await?;
                }
                (["rows", table, _], Some(durable)) => {
                    let content = unpacker.content(size).await.map_err(&damaged)?;
                    self.rows(durable, table, &content).await?;
                }
                (["blobs", "sha256", _, hex], _) => self.blob(unpacker, hex).await?,
                (["keys", key], _) if !matches!(*key, "" | "." | "..") => {
                    let content = unpacker.content(size).await.map_err(&damaged)?;
                    self.key(key, &content)?;
                }
                (["end.json"], Some(_)) => {
                    let content = unpacker.content(size).await.map_err(&damaged)?;
                    let said = serde_json::from_slice::<End>(&content);
                    end = Some(said.map_err(|error| self.not_a_backup(error.to_string()))?);
                }
                (["log.db"], None) => self.whole_file(unpacker).await?,
                _ => return Err(self.not_a_backup(format!("it holds {name}"))),
            }
        }
        if durable.is_some() && end.as_ref() != Some(&self.filled) {
            return Err(self.not_a_backup("it was cut off"));
        }
        Ok(())
    }

    /// Makes the durable tables as they were made where the backup comes from.
    async fn make(&mut self, durable: &Durable, tables: &Tables) -> Result<(), BackupError> {
        let statements: Vec<&str> = tables.statements.iter().map(String::as_str).collect();
        if let Some(other) = statements.iter().find(|statement| !only_makes(statement)) {
            return Err(self.not_a_backup(format!("a statement in it makes no table: {other}")));
        }
        durable.create(&statements).await?;
        let own = OWN.iter().map(|(name, columns)| {
            ((*name).to_owned(), columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>())
        });
        let made = self::durable(statements.iter().copied());
        let kept = tables.columns.iter().filter(|(name, _)| made.contains(&name.as_str()));
        for (name, columns) in own.chain(kept.map(|(name, columns)| (name.clone(), columns.clone()))) {
            let table = Table::find(durable.database(), &name).await?;
            let table = table.and_then(|table| table.with(&columns));
            let table = table.ok_or_else(|| self.not_a_backup(format!("its table {name} is another")))?;
            self.tables.insert(name, table);
        }
        Ok(())
    }

    async fn rows(&mut self, durable: &Durable, table: &str, content: &[u8]) -> Result<(), BackupError> {
        let Some(table) = self.tables.get(table) else {
            return Err(self.not_a_backup(format!("it does not say what the table {table} is")));
        };
        let lines = std::str::from_utf8(content).map_err(|error| self.not_a_backup(error.to_string()))?;
        let is_events = table.name == "events";
        let last = lines.lines().next_back().and_then(|line| line.get(1..)?.split(',').next()?.parse().ok());
        let last: u64 = last.filter(|_| is_events).unwrap_or(0);
        let mut tx = durable.begin().await?;
        if is_events && durable.database().is_postgres() {
            sqlx::query("SELECT make_partitions($1)")
                .bind(last.cast_signed())
                .execute(&mut *tx)
                .await
                .map_err(database_error("making room for events"))?;
        }
        let rows = table.insert(&mut tx, lines).await?;
        tx.commit().await.map_err(database_error("filling a table"))?;
        self.filled.rows += rows;
        if is_events {
            (self.tell)(Progress::Filled(last));
        }
        Ok(())
    }

    async fn blob(&mut self, unpacker: &mut Unpacker, hex: &str) -> Result<(), BackupError> {
        let id: BlobId = format!("sha256:{hex}")
            .parse()
            .map_err(|_| self.not_a_backup(format!("{hex} in it is no blob")))?;
        let mut writer = self.blobs.writer().await?;
        while let Some(Piece::Content(bytes)) = unpacker.next().await.map_err(self.damaged())? {
            writer.write(bytes).await?;
        }
        let found = writer.finish().await?;
        if found != id {
            return Err(BlobError::Damaged { id, found }.into());
        }
        self.filled.blobs += 1;
        (self.tell)(Progress::Blobs(self.filled.blobs));
        Ok(())
    }

    fn key(&self, name: &str, content: &[u8]) -> Result<(), BackupError> {
        let Some(folder) = &self.keys else { return Ok(()) };
        fs::create_dir_all(folder).map_err(file_error("make", folder))?;
        let path = folder.join(name);
        let failed = file_error("write", &path);
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(&failed)?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// The log's file of a backup of the first format. It has its name when it is whole.
    async fn whole_file(&self, unpacker: &mut Unpacker) -> Result<(), BackupError> {
        let Some(path) = &self.whole_file else { return Ok(()) };
        let part = path.with_extension("part");
        let mut file = File::create_new(&part).map_err(file_error("make", &part))?;
        while let Some(Piece::Content(bytes)) = unpacker.next().await.map_err(self.damaged())? {
            file.write_all(&bytes).map_err(file_error("write", &part))?;
        }
        fs::rename(&part, path).map_err(file_error("name", path))
    }

    /// The end of the log, and of each stream.
    async fn set_head(&self, durable: &Durable) -> Result<(), BackupError> {
        let failed = database_error("setting the log's end");
        let hash = hex::decode(&self.manifest.hash).map_err(|error| self.not_a_backup(error.to_string()))?;
        let mut tx = durable.begin().await?;
        let versions = "UPDATE streams SET version =
             (SELECT coalesce(max(events.version), 0) FROM events WHERE events.stream = streams.number)";
        sqlx::query(versions).execute(&mut *tx).await.map_err(&failed)?;
        sqlx::query("UPDATE head SET position = $1, at = $2, hash = $3")
            .bind(self.manifest.position.cast_signed())
            .bind(self.manifest.at)
            .bind(hash)
            .execute(&mut *tx)
            .await
            .map_err(&failed)?;
        if durable.database().is_postgres() {
            let streams = "UPDATE head SET streams = (SELECT coalesce(max(number), 0) FROM streams)";
            sqlx::query(streams).execute(&mut *tx).await.map_err(&failed)?;
        }
        tx.commit().await.map_err(failed)
    }

    pub(super) async fn prove(mut self, log: &dyn Log) -> Result<Restored, BackupError> {
        let report = verify_telling(log, |position| (self.tell)(Progress::Proven(position))).await?;
        match report.bad {
            Some(bad) => Err(BackupError::Damaged(bad)),
            None => Ok(Restored { manifest: self.manifest, generation: log.generation(), report }),
        }
    }
}

/// From now on the log cannot be opened, until it is whole.
async fn mark_half_restored(durable: &Durable) -> Result<(), sqlx::Error> {
    let mut tx = durable.database().begin().await?;
    sqlx::query("UPDATE log SET format = $1").bind(HALF_RESTORED).execute(&mut *tx).await?;
    tx.commit().await
}
