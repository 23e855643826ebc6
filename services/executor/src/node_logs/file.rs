//! One file of a log, read while it grows.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

use shipway_eventing::node_logs::{Record, Splitter};

/// How much is read at once.
const AT_ONCE: u64 = 64 << 10;

/// A file, and how far it has been read.
#[derive(Debug)]
pub(super) struct Growing {
    path: PathBuf,
    file: File,
    at: u64,
    splitter: Splitter,
}

impl Growing {
    /// Goes on after the first `at` bytes.
    pub(super) fn open(path: PathBuf, at: u64) -> io::Result<Self> {
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Self { path, file, at, splitter: Splitter::default() })
    }

    /// The records of the next piece, each with where it ends in the file. Nothing read is the present end.
    pub(super) fn read(&mut self) -> io::Result<Piece> {
        let mut bytes = Vec::new();
        (&mut self.file).take(AT_ONCE).read_to_end(&mut bytes)?;
        let mut until = self.at - self.splitter.pending() as u64;
        self.at += bytes.len() as u64;
        let records = self.splitter.push(&bytes).into_iter().map(|record| {
            until += record.size();
            (until, record)
        });
        Ok(Piece { records: records.collect(), any: !bytes.is_empty() })
    }

    /// Nobody writes it any more: what is left is a line too.
    pub(super) fn finish(&mut self) -> Option<(u64, Record)> {
        self.splitter.finish().map(|record| (self.at, record))
    }

    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(self.path)
    }
}

/// What one reading gave.
pub(super) struct Piece {
    pub(super) records: Vec<(u64, Record)>,
    /// There were bytes: there may be more.
    pub(super) any: bool,
}
