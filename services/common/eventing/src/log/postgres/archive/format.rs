//! What the blobs of an archive hold. Both are read by whatever Shipway comes later: fields are added, never changed.

use std::io::{BufRead, Read, Write};

use serde::{Deserialize, Serialize};
use shipway_events::Position;

use crate::{
    blobs::{BlobError, BlobId},
    log::Stored,
};

/// Events in one chunk.
pub(super) const CHUNK: usize = 2_000;

/// No chunk is larger than this when it is unpacked: an event has less than 256 KiB.
const LARGEST: u64 = 1 << 30;

/// The level of compression: chunks are written once and seldom read.
const LEVEL: i32 = 9;

/// Where the events of a partition are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    /// The log's id.
    pub(super) log: String,
    /// The position of the first event.
    pub(super) first: Position,
    /// The position of the last one.
    pub(super) last: Position,
    /// The hash of the chain before the first event, in hex.
    pub(super) hash_before: String,
    /// The hash of the last event, in hex.
    pub(super) hash: String,
    /// The chunks in the order of their events.
    pub(super) chunks: Vec<Chunk>,
}

/// A part of the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// The position of its last event.
    pub(super) last: Position,
    /// The blob: a line of JSON an event, compressed with zstd.
    pub(super) blob: BlobId,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest has only string keys")
    }

    pub(super) fn decode(id: &BlobId, bytes: &[u8]) -> Result<Self, BlobError> {
        serde_json::from_slice(bytes).map_err(|_| unreadable(id))
    }

    /// The chunk that has the event of this position.
    pub(super) fn chunk_of(&self, position: Position) -> Option<&BlobId> {
        let at = self.chunks.partition_point(|chunk| chunk.last < position);
        self.chunks.get(at).map(|chunk| &chunk.blob).filter(|_| position >= self.first)
    }
}

/// A row as a line.
#[derive(Serialize, Deserialize)]
struct Line {
    position: Position,
    stream: i64,
    name: String,
    version: u64,
    kind: String,
    schema: i64,
    form: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<i64>,
    at: i64,
    command: String,
    hash: String,
    meta: String,
    data: String,
}

/// Rows as the content of a chunk.
pub(super) fn pack(rows: &[Stored]) -> std::io::Result<Vec<u8>> {
    let mut packed = zstd::Encoder::new(Vec::new(), LEVEL)?;
    for row in rows {
        let line = Line {
            position: row.position,
            stream: row.stream,
            name: row.name.clone(),
            version: row.version,
            kind: row.kind.clone(),
            schema: row.schema,
            form: row.form,
            items: row.items,
            at: row.at,
            command: hex::encode(&row.command),
            hash: hex::encode(&row.hash),
            meta: row.meta.clone(),
            data: row.data.clone(),
        };
        serde_json::to_writer(&mut packed, &line)?;
        packed.write_all(b"\n")?;
    }
    packed.finish()
}

/// The rows in a chunk.
pub(super) fn unpack(id: &BlobId, packed: &[u8]) -> Result<Vec<Stored>, BlobError> {
    let rows = zstd::Decoder::new(packed).map(|plain| std::io::BufReader::new(plain.take(LARGEST)).lines());
    let mut all = Vec::with_capacity(CHUNK);
    for line in rows.map_err(|_| unreadable(id))? {
        let row = line.ok().and_then(|line| row(&line)).ok_or_else(|| unreadable(id))?;
        all.push(row);
    }
    Ok(all)
}

fn row(line: &str) -> Option<Stored> {
    let line: Line = serde_json::from_str(line).ok()?;
    Some(Stored {
        position: line.position,
        stream: line.stream,
        name: line.name,
        version: line.version,
        kind: line.kind,
        schema: line.schema,
        form: line.form,
        items: line.items,
        at: line.at,
        command: hex::decode(line.command).ok()?,
        hash: hex::decode(line.hash).ok()?,
        meta: line.meta,
        data: line.data,
    })
}

/// The blob has the digest that it must have, and is still no archive: it was none when it was written.
fn unreadable(id: &BlobId) -> BlobError {
    BlobError::Damaged { id: id.clone(), found: id.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(position: Position) -> Stored {
        Stored {
            position,
            stream: 3,
            name: "run-1".to_owned(),
            version: position,
            kind: "run.ended".to_owned(),
            schema: 1,
            form: 0,
            items: (position % 2 == 0).then_some(2),
            at: -5,
            command: vec![7; 16],
            hash: vec![9; 32],
            meta: "{}".to_owned(),
            data: "{\"text\":\"ü\\n\"}".to_owned(),
        }
    }

    #[test]
    fn a_chunk_holds_what_was_put_in() {
        let rows: Vec<_> = (1..=5).map(stored).collect();
        let packed = pack(&rows).unwrap();
        let id = BlobId::of(&packed);
        assert_eq!(unpack(&id, &packed).unwrap(), rows);
        assert!(unpack(&id, &packed[..packed.len() / 2]).is_err());
        assert!(unpack(&id, b"no archive").is_err());
    }

    #[test]
    fn a_manifest_knows_the_chunk_of_a_position() {
        let chunk = |last: Position| Chunk { last, blob: BlobId::of(&last.to_be_bytes()) };
        let manifest = Manifest {
            log: "l".to_owned(),
            first: 11,
            last: 30,
            hash_before: String::new(),
            hash: String::new(),
            chunks: vec![chunk(20), chunk(30)],
        };
        let again = Manifest::decode(&BlobId::of(b""), &manifest.encode()).unwrap();
        assert_eq!(again, manifest);
        let of = |position| manifest.chunk_of(position).cloned();
        assert_eq!((of(10), of(31)), (None, None));
        assert_eq!((of(11), of(20)), (Some(chunk(20).blob), Some(chunk(20).blob)));
        assert_eq!((of(21), of(30)), (Some(chunk(30).blob), Some(chunk(30).blob)));
    }
}
