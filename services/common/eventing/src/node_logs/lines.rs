//! From bytes to records.

use bytes::{Bytes, BytesMut};

use super::{Kind, Record};

/// A longer line is several records.
pub const LONGEST: usize = 64 << 10;

/// Cuts a stream of bytes into records. The same bytes give the same records, however they come.
#[derive(Debug, Default)]
pub struct Splitter {
    rest: BytesMut,
}

impl Splitter {
    /// Takes the next bytes and gives out what is complete.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<Record> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let room = LONGEST - self.rest.len();
            let within = &bytes[..bytes.len().min(room + 1)];
            match within.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.rest.extend_from_slice(&bytes[..end]);
                    records.push(self.take(Kind::Line));
                    bytes = &bytes[end + 1..];
                }
                None if within.len() > room => {
                    self.rest.extend_from_slice(&bytes[..room]);
                    records.push(self.take(Kind::Piece));
                    bytes = &bytes[room..];
                }
                None => {
                    self.rest.extend_from_slice(bytes);
                    break;
                }
            }
        }
        records
    }

    /// The stream has ended: what is left is a line too.
    pub fn finish(&mut self) -> Option<Record> {
        (!self.rest.is_empty()).then(|| self.take(Kind::Line))
    }

    /// Bytes that are not part of a record yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, kind: Kind) -> Record {
        Record { kind, text: Bytes::from(self.rest.split().to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes that records stand for.
    fn joined(records: &[Record]) -> Vec<u8> {
        let end = |record: &Record| if record.kind == Kind::Line { &b"\n"[..] } else { b"" };
        records.iter().flat_map(|record| [&record.text[..], end(record)].concat()).collect()
    }

    #[test]
    fn long_lines_come_in_pieces_and_nothing_is_lost() {
        let mut splitter = Splitter::default();
        let text = [b"a\0\xff\n\n".to_vec(), vec![b'x'; 3 * LONGEST], b"\nrest".to_vec()].concat();
        let mut records = splitter.push(&text);
        assert_eq!(splitter.pending(), 4);
        records.extend(splitter.finish());
        let kinds: Vec<(Kind, usize)> =
            records.iter().map(|record| (record.kind, record.text.len())).collect();
        let (line, piece) = (Kind::Line, Kind::Piece);
        let full = LONGEST;
        assert_eq!(kinds, [(line, 3), (line, 0), (piece, full), (piece, full), (line, full), (line, 4)]);
        assert_eq!(joined(&records), [text, b"\n".to_vec()].concat());
        let size: u64 = records.iter().map(Record::size).sum();
        assert_eq!(size, joined(&records).len() as u64);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn how_the_bytes_come_changes_nothing(
            pieces in proptest::collection::vec((0_usize..LONGEST * 2, any::<u8>(), any::<bool>()), 1..8),
            cut in 1_usize..100_000,
        ) {
            let mut text = Vec::new();
            for (length, byte, end) in pieces {
                text.extend(std::iter::repeat_n(byte, length));
                text.extend(end.then_some(b'\n'));
            }
            let mut whole = Splitter::default();
            let expected = whole.push(&text);
            let mut splitter = Splitter::default();
            let records: Vec<Record> = text.chunks(cut).flat_map(|part| splitter.push(part)).collect();
            prop_assert_eq!(&records, &expected);
            prop_assert_eq!(splitter.finish(), whole.finish());
        }
    }
}
