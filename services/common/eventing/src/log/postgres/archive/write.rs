//! Takes the oldest partition out of the database.
//!
//! In this order, so that it may be cut off anywhere and begun again: the blobs are written and read back; one
//! transaction says that they are the place of these events from now on; every process has time to see that; the table
//! goes. Appends wait for nothing of it.

use std::time::Duration;

use shipway_events::{Position, Timestamp};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{
    super::{PostgresLog, sql, to_stored},
    format::{self, CHUNK, Chunk, Manifest},
};
use crate::{
    blobs::{BlobError, BlobId, Blobs},
    log::{GENESIS, Stored},
};

/// How long other processes have to see that events are archived before they leave the database. They look every second.
const GRACE: Duration = Duration::from_secs(5);

/// A partition that was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The position of its first event.
    pub first: Position,
    /// The position of its last one.
    pub last: Position,
    /// The blob that says where its events are.
    pub manifest: BlobId,
}

/// What came of an attempt to archive the oldest partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Archiving {
    /// It is archived.
    Done(Archived),
    /// It is not full yet.
    InUse,
    /// Its last event is younger than asked for.
    Young {
        /// When that event was appended.
        last: Timestamp,
    },
    /// Runs that have events in it have not ended.
    Open {
        /// How many.
        runs: u64,
        /// The stream of one of them.
        stream: String,
    },
}

/// Why a partition could not be archived. It is still in the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The database did not do it.
    #[error("the log's database failed while {attempting}")]
    Database {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// The blobs did not take it.
    #[error("the archive could not be written to the blobs")]
    Blob(#[from] BlobError),
    /// The events could not be packed.
    #[error("the events could not be packed")]
    Pack(#[source] std::io::Error),
    /// An event is not what was appended.
    #[error("the log is damaged at position {position}; run `shipway verify`")]
    Damaged {
        /// Where.
        position: Position,
    },
    /// Another process archives.
    #[error("another process archives at the moment; try again when it is done")]
    Busy,
}

fn failed(attempting: &'static str) -> impl FnOnce(sqlx::Error) -> ArchiveError {
    move |source| ArchiveError::Database { attempting, source }
}

impl PostgresLog {
    /// Archives the oldest partition that is in the database, if its last event is older than this and all its runs have
    /// ended. Needs the role that owns the tables, and the blobs.
    ///
    /// # Errors
    /// See [`ArchiveError`]; it may be tried again.
    pub async fn archive_oldest(&self, older_than: Duration) -> Result<Archiving, ArchiveError> {
        let blobs = self.blobs.as_ref().ok_or(BlobError::NotConfigured)?;
        let mut connection = self.server.patient().await.map_err(failed("connecting to the server"))?;
        let free: bool = sqlx::query_scalar(sql::ARCHIVE_LOCK)
            .fetch_one(&mut connection)
            .await
            .map_err(failed("looking whether another process archives"))?;
        if !free {
            return Err(ArchiveError::Busy);
        }
        // What an earlier attempt has left half done.
        remove_tables(&mut connection).await.map_err(failed("removing what is archived"))?;
        let found =
            self.oldest(&mut connection, older_than).await.map_err(failed("looking at a partition"))?;
        let partition = match found {
            Ok(partition) => partition,
            Err(not_yet) => return Ok(not_yet),
        };
        let manifest = self.write(&mut connection, blobs, &partition).await?;
        record(&mut connection, &partition, &manifest).await.map_err(failed("noting the archive"))?;
        remove_tables(&mut connection).await.map_err(failed("removing what is archived"))?;
        drop(connection.close().await);
        Ok(Archiving::Done(Archived { first: partition.first, last: partition.last, manifest }))
    }

    async fn oldest(
        &self,
        connection: &mut PgConnection,
        older_than: Duration,
    ) -> Result<Result<Partition, Archiving>, sqlx::Error> {
        let oldest: Option<(i64, i64, String, i64, i64)> =
            sqlx::query_as(sql::OLDEST_PARTITION).fetch_optional(&mut *connection).await?;
        let Some((first, beyond, name, at, now)) = oldest else { return Ok(Err(Archiving::InUse)) };
        let wanted = i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX);
        if now.saturating_sub(at) < wanted {
            return Ok(Err(Archiving::Young { last: Timestamp::from_micros(at) }));
        }
        let (runs, stream): (i64, Option<String>) =
            sqlx::query_as(AssertSqlSafe(sql::open_runs(&name))).fetch_one(&mut *connection).await?;
        if let Some(stream) = stream {
            return Ok(Err(Archiving::Open { runs: runs.cast_unsigned(), stream }));
        }
        Ok(Ok(Partition { name, first: first.cast_unsigned(), last: (beyond - 1).cast_unsigned() }))
    }

    /// Writes a partition's events and their manifest, each link of the chain looked at.
    async fn write(
        &self,
        connection: &mut PgConnection,
        blobs: &Blobs,
        partition: &Partition,
    ) -> Result<BlobId, ArchiveError> {
        let before = self.hash_before(partition.first).await?;
        let (mut hash, mut after, mut chunks) = (before.clone(), partition.first - 1, Vec::new());
        while after < partition.last {
            let room = (partition.last - after).min(CHUNK as u64);
            let rows = sqlx::query(sql::READ)
                .bind(after.cast_signed())
                .bind(room.cast_signed())
                .fetch_all(&mut *connection)
                .await
                .and_then(to_stored)
                .map_err(failed("reading a partition"))?;
            hash = follow(&rows, after, hash)?;
            after = rows.last().map_or(after, |row| row.position);
            let packed = format::pack(&rows).map_err(ArchiveError::Pack)?;
            let blob = blobs.put(packed).await?;
            // What is not in the database any more has to be there: it is asked for, and its digest is looked at.
            if format::unpack(&blob, &blobs.get(&blob).await?)? != rows {
                return Err(BlobError::Damaged { id: blob.clone(), found: blob }.into());
            }
            chunks.push(Chunk { last: after, blob });
        }
        let manifest = Manifest {
            log: self.id.clone(),
            first: partition.first,
            last: partition.last,
            hash_before: hex::encode(before),
            hash: hex::encode(hash),
            chunks,
        };
        let id = blobs.put(manifest.encode()).await?;
        blobs.get(&id).await?;
        Ok(id)
    }

    /// The hash that the chain has before a partition.
    async fn hash_before(&self, first: Position) -> Result<Vec<u8>, ArchiveError> {
        if first == 1 {
            return Ok(GENESIS.to_vec());
        }
        let damaged = ArchiveError::Damaged { position: first - 1 };
        let rows =
            self.archived(first - 2, 1).await.map_err(|_| ArchiveError::Damaged { position: first - 1 })?;
        rows.into_iter().next().map(|row| row.hash).ok_or(damaged)
    }
}

/// A partition that is to be archived.
struct Partition {
    name: String,
    first: Position,
    last: Position,
}

/// The hash at the end of these rows, which come after `after` without a gap.
fn follow(rows: &[Stored], after: Position, mut hash: Vec<u8>) -> Result<Vec<u8>, ArchiveError> {
    for (row, position) in rows.iter().zip(after + 1..) {
        let link = row.link(&hash);
        if row.position != position || link.is_none_or(|link| link[..] != row.hash[..]) {
            return Err(ArchiveError::Damaged { position });
        }
        hash.clone_from(&row.hash);
    }
    if rows.is_empty() { Err(ArchiveError::Damaged { position: after + 1 }) } else { Ok(hash) }
}

/// From its commit on the archive is the place of the partition's events.
async fn record(
    connection: &mut PgConnection,
    partition: &Partition,
    manifest: &BlobId,
) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    for statement in sql::note_streams(&partition.name) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await?;
    }
    sqlx::query(sql::NOTE_MANIFEST)
        .bind(partition.first.cast_signed())
        .bind(manifest.as_str())
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Removes the tables of partitions that are archived.
async fn remove_tables(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let left: Vec<(String, Option<bool>)> =
        sqlx::query_as(sql::ARCHIVED_TABLES).fetch_all(&mut *connection).await?;
    if !left.is_empty() {
        tokio::time::sleep(GRACE).await;
    }
    for (name, detaching) in left {
        let detach = match detaching {
            Some(false) => format!("ALTER TABLE events DETACH PARTITION {name} CONCURRENTLY"),
            // Cut off half-way.
            Some(true) => format!("ALTER TABLE events DETACH PARTITION {name} FINALIZE"),
            None => String::new(),
        };
        // One after the other: this one must not be in a transaction.
        for statement in [detach, format!("DROP TABLE {name}")] {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
    }
    Ok(())
}
