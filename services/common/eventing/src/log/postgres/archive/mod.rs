//! Events that have left the database. A partition that nothing is decided by any more becomes blobs: its rows in
//! chunks, and a manifest that names them and has the hashes of the chain before its first and at its last event.
//!
//! Whoever reads the log reads on over it: the rows are the same, in the same order, and so is the chain. It takes
//! longer, because whole chunks are fetched.

mod format;
mod write;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use shipway_events::{Position, StreamName, Version};

use super::{PostgresLog, connect::within, read_failed, sql, to_stored};
use crate::{
    blobs::{BlobError, BlobId, Blobs},
    log::{ReadError, Stored},
};
use format::Manifest;

pub use write::{ArchiveError, Archived, Archiving};

/// How many chunks are kept in memory for whoever reads them one page after another.
const CHUNKS: usize = 4;

/// What a process knows of the archives.
#[derive(Debug, Default)]
pub(super) struct Archive {
    /// Everything up to here is archived; it may be a moment old.
    end: AtomicU64,
    manifests: Mutex<Vec<(BlobId, Arc<Manifest>)>>,
    chunks: Mutex<VecDeque<(BlobId, Arc<Vec<Stored>>)>>,
}

impl Archive {
    /// Everything up to here is archived.
    pub(super) fn learn(&self, end: i64) {
        self.end.fetch_max(end.cast_unsigned(), Ordering::AcqRel);
    }

    /// Whether the event after this one is archived, as far as is known.
    pub(super) fn is_after(&self, position: Position) -> bool {
        self.end.load(Ordering::Acquire) > position
    }

    /// A manifest never changes, so it is read once.
    async fn manifest(&self, blobs: &Blobs, id: &BlobId) -> Result<Arc<Manifest>, BlobError> {
        let known = {
            let manifests = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
            manifests.iter().find(|(known, _)| known == id).map(|(_, manifest)| Arc::clone(manifest))
        };
        if let Some(manifest) = known {
            return Ok(manifest);
        }
        let manifest = Arc::new(Manifest::decode(id, &blobs.get(id).await?)?);
        let mut manifests = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
        manifests.push((id.clone(), Arc::clone(&manifest)));
        Ok(manifest)
    }

    async fn chunk(&self, blobs: &Blobs, id: &BlobId) -> Result<Arc<Vec<Stored>>, BlobError> {
        let known = {
            let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
            chunks.iter().find(|(known, _)| known == id).map(|(_, rows)| Arc::clone(rows))
        };
        if let Some(rows) = known {
            return Ok(rows);
        }
        let rows = Arc::new(format::unpack(id, &blobs.get(id).await?)?);
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.truncate(CHUNKS - 1);
        chunks.push_front((id.clone(), Arc::clone(&rows)));
        Ok(rows)
    }
}

impl PostgresLog {
    /// Archived rows with positions above `after`: at most `limit`, and not more than a chunk has.
    pub(super) async fn archived(&self, after: Position, limit: usize) -> Result<Vec<Stored>, ReadError> {
        let position = after + 1;
        let manifest: Option<String> = within(
            sqlx::query_scalar(sql::MANIFEST).bind(position.cast_signed()).fetch_optional(&self.readers),
        )
        .await
        .map_err(read_failed("looking for archived events"))?
        .flatten();
        let Some(manifest) = manifest else { return Ok(Vec::new()) };
        let failed = |source| ReadError::Blob { position, source };
        let blobs = self.blobs.as_ref().ok_or_else(|| failed(BlobError::NotConfigured))?;
        let id: BlobId = manifest.parse().map_err(|_| ReadError::Damaged {
            position,
            what: "the manifest of its archive has no valid name".to_owned(),
        })?;
        let manifest = self.archive.manifest(blobs, &id).await.map_err(failed)?;
        let Some(chunk) = manifest.chunk_of(position) else { return Ok(Vec::new()) };
        let rows = self.archive.chunk(blobs, chunk).await.map_err(failed)?;
        Ok(rows.iter().filter(|row| row.position > after).take(limit).cloned().collect())
    }

    /// A stream's rows as they are in the database, with those before them that are archived.
    pub(super) async fn after_archived(
        &self,
        stream: &StreamName,
        after: Version,
        limit: usize,
        rows: Vec<Stored>,
    ) -> Result<Vec<Stored>, ReadError> {
        let complete = rows.first().is_some_and(|row| row.version == after + 1);
        if complete || !self.archive.is_after(0) {
            return Ok(rows);
        }
        let mut all = self.archived_of(stream, after, limit).await?;
        let last = all.last().map_or(after, |row| row.version);
        all.extend(rows.into_iter().filter(|row| row.version > last));
        all.truncate(limit);
        Ok(all)
    }

    /// Archived rows of a stream with versions above `after`, at most `limit`.
    async fn archived_of(
        &self,
        stream: &StreamName,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        let failed = || read_failed("looking for a stream's archived events");
        let kept = sqlx::query(sql::READ_KEPT)
            .bind(stream.as_str())
            .bind(after.cast_signed())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let kept = within(kept.fetch_all(&self.readers)).await.and_then(to_stored).map_err(failed())?;
        if !kept.is_empty() {
            return Ok(kept);
        }
        let places = sqlx::query_as::<_, (i64, i64)>(sql::ARCHIVED_STREAM);
        let places = places.bind(stream.as_str()).bind(after.cast_signed());
        let places = within(places.fetch_all(&self.readers)).await.map_err(failed())?;
        let mut found = Vec::new();
        for (first, last) in places {
            let (mut at, last) = ((first - 1).cast_unsigned(), last.cast_unsigned());
            while at < last && found.len() < limit {
                let rows = self.archived(at, usize::MAX).await?;
                let Some(end) = rows.last().map(|row| row.position) else { break };
                at = end;
                found.extend(
                    rows.into_iter().filter(|row| row.name == stream.as_str() && row.version > after),
                );
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}
