//! One stored chunk: a line of JSON that says what it holds, then its records, compressed.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Kind, NodeLogError, Record, lines::LONGEST, writer::End};

/// More than any chunk has, so that a damaged one cannot fill the memory.
const LARGEST: u64 = 64 << 20;

/// What the object of a chunk, or of a log's close, is called. Names sort as what they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// Where its first record stands.
    pub(super) end: End,
    /// It holds nothing: the log was complete there.
    pub(super) closes: bool,
}

impl Name {
    pub(super) fn chunk(end: End) -> Self {
        Self { end, closes: false }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (place, kind) = text.split_once('.')?;
        let (record, offset) = place.split_once('-')?;
        let end = End { record: record.parse().ok()?, offset: offset.parse().ok()? };
        match kind {
            "zst" => Some(Self { end, closes: false }),
            "end" => Some(Self { end, closes: true }),
            _ => None,
        }
    }

    /// A name that sorts before all of this record and after all of earlier ones.
    pub(super) fn before(record: u64) -> String {
        format!("{record:012}")
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.closes { "end" } else { "zst" };
        write!(f, "{:012}-{:015}.{kind}", self.end.record, self.end.offset)
    }
}

/// What a chunk says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    /// The machine that stored it.
    pub(super) host: String,
    /// How far that machine has stored each of its own files of this node, by the fence in their names.
    pub(super) stored: BTreeMap<u64, u64>,
    /// Its records.
    pub(super) records: u64,
    /// The bytes that they stand for.
    pub(super) bytes: u64,
    /// The log has reached its limit.
    #[serde(default)]
    pub(super) full: bool,
}

pub(super) fn encode(header: &Header, records: &[Record]) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(header).map_err(io::Error::other)?;
    bytes.push(b'\n');
    let mut packed = zstd::Encoder::new(bytes, 3)?;
    for record in records {
        let kind: u8 = match record.kind {
            Kind::Line => 0,
            Kind::Piece => 1,
            Kind::Full => 2,
            Kind::Gap => continue,
        };
        let length = u32::try_from(record.text.len()).map_err(io::Error::other)?;
        packed.write_all(&[kind])?;
        packed.write_all(&length.to_le_bytes())?;
        packed.write_all(&record.text)?;
    }
    packed.finish()
}

pub(super) fn decode(name: Name, bytes: &[u8]) -> Result<(Header, Vec<Record>), NodeLogError> {
    let damaged = |reason: String| NodeLogError::Damaged { name: name.to_string(), reason };
    let line = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("no header".to_owned()))?;
    let header: Header =
        serde_json::from_slice(&bytes[..line]).map_err(|error| damaged(error.to_string()))?;
    let records = unpack(&bytes[line + 1..]).map_err(|error| damaged(error.to_string()))?;
    if records.len() as u64 != header.records {
        return Err(damaged(format!("{} records instead of {}", records.len(), header.records)));
    }
    Ok((header, records))
}

fn unpack(packed: &[u8]) -> io::Result<Vec<Record>> {
    let mut plain = Vec::new();
    zstd::Decoder::new(packed)?.take(LARGEST).read_to_end(&mut plain)?;
    let (plain, mut at) = (Bytes::from(plain), 0);
    let mut records = Vec::new();
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    while at < plain.len() {
        let head: [u8; 5] = plain.get(at..at + 5).and_then(|head| head.try_into().ok()).ok_or_else(cut)?;
        let kind = match head[0] {
            0 => Kind::Line,
            1 => Kind::Piece,
            2 => Kind::Full,
            other => return Err(io::Error::other(format!("a record of the kind {other}"))),
        };
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > LONGEST {
            return Err(io::Error::other(format!("a record of {length} bytes")));
        }
        let end = at + 5 + length;
        if end > plain.len() {
            return Err(cut());
        }
        records.push(Record { kind, text: plain.slice(at + 5..end) });
        at = end;
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_comes_back_whole_and_damage_is_found() {
        let records = [
            Record { kind: Kind::Piece, text: Bytes::from(vec![0; LONGEST]) },
            Record { kind: Kind::Line, text: Bytes::from_static(b"\0\xff\xfe") },
            Record { kind: Kind::Full, text: Bytes::from_static(b"full") },
        ];
        let header =
            Header { host: "h".to_owned(), stored: [(3, 7)].into(), records: 3, bytes: 9, full: true };
        let name = Name::chunk(End { record: 5, offset: 70 });
        let bytes = encode(&header, &records).unwrap();
        assert_eq!(decode(name, &bytes).unwrap(), (header, records.to_vec()));
        for cut in [0, 10, bytes.len() / 2, bytes.len() - 1] {
            assert!(matches!(decode(name, &bytes[..cut]), Err(NodeLogError::Damaged { .. })), "{cut}");
        }
    }

    #[test]
    fn names_sort_as_what_they_name_and_others_are_left_alone() {
        let name = |record, offset, closes| Name { end: End { record, offset }, closes };
        let all = [name(0, 0, false), name(9, 80, false), name(10, 81, false), name(10, 81, true)];
        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert!(all.is_sorted());
        assert_eq!(texts.iter().map(|text| Name::parse(text).unwrap()).collect::<Vec<_>>(), all);
        assert!(Name::before(10) < texts[2] && Name::before(10) > texts[1]);
        for other in ["", "x.zst", "1.zst", "1-2.tmp", "1-2.zst#1"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
