//! A command's output: masked, appended to the node's log, capped.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Read, Write},
    path::Path,
};

use crate::masking::Masker;

/// How many lines an error shows, and how much of each.
const TAIL: usize = 20;
const LINE: usize = 2 << 10;

/// Where it goes.
pub(super) struct Output {
    log: File,
    size: u64,
    limit: u64,
    masker: Masker,
    tail: VecDeque<String>,
    line: Vec<u8>,
}

impl Output {
    pub(super) fn open(log: &Path, limit: u64, mask: &[&String]) -> io::Result<Self> {
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder)?;
        }
        let log = File::options().create(true).append(true).open(log)?;
        let size = log.metadata()?.len();
        Ok(Self { log, size, limit, masker: Masker::new(mask), tail: VecDeque::new(), line: Vec::new() })
    }

    /// Reads to the end and gives the last lines back.
    pub(super) fn pump(mut self, mut from: impl Read) -> Vec<String> {
        let mut buffer = vec![0; 32 << 10];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let masked = self.masker.push(&buffer[..count]);
                    self.take(&masked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let rest = self.masker.finish();
        self.take(&rest);
        if !self.line.is_empty() {
            self.write(b"\n");
            self.end_line();
        }
        self.tail.into()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.write(bytes);
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LINE {
                self.line.push(*byte);
            }
        }
    }

    fn end_line(&mut self) {
        let text = String::from_utf8_lossy(&self.line).trim_end_matches('\r').replace('\0', "");
        self.line.clear();
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(text);
    }

    /// A log that cannot be written must not stop the work.
    fn write(&mut self, bytes: &[u8]) {
        if self.size > self.limit {
            return;
        }
        let _ = self.log.write_all(bytes);
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            let note = format!(
                "\n[shipway] this log has reached {} MiB; what follows is not kept\n",
                self.limit >> 20
            );
            let _ = self.log.write_all(note.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_logs::LIMIT;

    #[test]
    fn a_storm_is_capped_and_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/1.log");
        let storm = io::repeat(b'x').take(LIMIT + (10 << 20));
        let tail = Output::open(&path, LIMIT, &[]).unwrap().pump(storm);
        assert_eq!(tail, ["x".repeat(LINE)]);
        let size = fs::metadata(&path).unwrap().len();
        assert!((LIMIT..LIMIT + (1 << 20)).contains(&size), "{size}");
        let end = fs::read(&path).unwrap().split_off(usize::try_from(LIMIT).unwrap());
        assert!(String::from_utf8_lossy(&end).contains("what follows is not kept"));
    }
}
