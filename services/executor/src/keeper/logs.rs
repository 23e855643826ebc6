//! The log of a target's instances: one line a line, masked, rotated.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::masking::Masker;

/// A file is put aside when it has grown to this.
const FILE: u64 = 10 << 20;
/// How many files there are, the one being written counted.
const FILES: u32 = 3;
/// A longer line is cut.
const LINE: usize = 64 << 10;
/// How many lines of an instance an error shows.
pub(crate) const TAIL: usize = 20;

/// The files.
#[derive(Debug)]
pub(super) struct LogFiles {
    path: PathBuf,
    open: Mutex<Option<(File, u64)>>,
}

impl LogFiles {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: Mutex::new(None) }
    }

    /// Appends a line; what cannot be written is lost, because a full disk must not stop a service.
    pub(super) fn line(&self, source: &str, text: &str) {
        let line = format!("{:.3} {source} {text}\n", jiff::Timestamp::now());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if self.append(&mut open, line.as_bytes()).is_err() {
            *open = None;
        }
    }

    fn append(&self, open: &mut Option<(File, u64)>, line: &[u8]) -> io::Result<()> {
        if open.as_ref().is_some_and(|(_, size)| *size + line.len() as u64 > FILE) {
            *open = None;
            for number in (1..FILES).rev() {
                let from = if number == 1 { self.path.clone() } else { numbered(&self.path, number - 1) };
                let _ = fs::rename(from, numbered(&self.path, number));
            }
        }
        let (file, size) = match open {
            Some(open) => open,
            None => {
                let file = File::options().create(true).append(true).open(&self.path)?;
                let size = file.metadata()?.len();
                open.insert((file, size))
            }
        };
        file.write_all(line)?;
        *size += line.len() as u64;
        Ok(())
    }
}

/// `service.log.1` is the newest of those put aside.
fn numbered(path: &Path, number: u32) -> PathBuf {
    path.with_extension(format!("log.{number}"))
}

/// The last lines of one instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    pub(super) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

/// Reads an instance's output to its end.
pub(super) fn pump(mut output: impl Read, source: &str, mut masker: Masker, tail: &Tail, files: &LogFiles) {
    let mut buffer = [0; 16 << 10];
    let mut line = Vec::new();
    let mut take = |bytes: &[u8], last: bool| {
        for byte in bytes {
            if *byte == b'\n' || line.len() >= LINE {
                end_line(&mut line, source, tail, files);
            }
            if *byte != b'\n' {
                line.push(*byte);
            }
        }
        if last && !line.is_empty() {
            end_line(&mut line, source, tail, files);
        }
    };
    loop {
        match output.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => take(&masker.push(&buffer[..count]), false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    take(&masker.finish(), true);
}

fn end_line(line: &mut Vec<u8>, source: &str, tail: &Tail, files: &LogFiles) {
    let text = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
    files.line(source, &text);
    tail.push(text);
    line.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.log");
        let files = LogFiles::new(path.clone());
        let text = "x".repeat(1 << 20);
        for _ in 0..45 {
            files.line("1", &text);
        }
        let sizes: Vec<u64> = [path.clone(), numbered(&path, 1), numbered(&path, 2)]
            .iter()
            .map(|path| fs::metadata(path).unwrap().len())
            .collect();
        assert!(sizes.iter().all(|size| *size <= FILE) && sizes[1] > FILE / 2, "{sizes:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn an_error_shows_the_last_lines_masked() {
        let folder = tempfile::tempdir().unwrap();
        let files = LogFiles::new(folder.path().join("service.log"));
        let tail = Tail::default();
        let output: String = (0..30).map(|n| format!("line {n} hunter22\r\n")).collect();
        pump(output.as_bytes(), "1.1", Masker::new(["hunter22"]), &tail, &files);
        let shown = tail.text();
        assert!(shown.ends_with("line 29 ***"), "{shown}");
        assert!(!shown.contains("line 9 ") && shown.starts_with("line 10 ") && !shown.contains("hunter22"));
    }
}
