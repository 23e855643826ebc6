//! The log of each node of each run: appended by shims and the executor, read while it grows.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use shipway_events::RunId;

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// All node logs of an executor.
#[derive(Clone, Debug)]
pub struct NodeLogs {
    folder: PathBuf,
}

/// A piece of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// The bytes; empty at the present end.
    pub bytes: Bytes,
    /// Where the next piece begins.
    pub next: u64,
}

impl NodeLogs {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a node's log is.
    #[must_use]
    pub fn path(&self, run: RunId, node: u32) -> PathBuf {
        self.folder.join(run.to_string()).join(format!("{node}.log"))
    }

    /// At most `limit` bytes from `offset` on. A log that does not exist yet is empty.
    ///
    /// # Errors
    /// It could not be read.
    pub fn read(&self, run: RunId, node: u32, offset: u64, limit: usize) -> io::Result<LogChunk> {
        let mut file = match File::open(self.path(run, node)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(LogChunk { bytes: Bytes::new(), next: offset });
            }
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(LogChunk { next: offset + bytes.len() as u64, bytes: bytes.into() })
    }

    /// The log from `offset` on, and what is appended, for ever: who follows knows when the node has ended, and
    /// stops then.
    pub fn follow(
        &self,
        run: RunId,
        node: u32,
        offset: u64,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let logs = self.clone();
        futures::stream::try_unfold(offset, move |mut offset| {
            let logs = logs.clone();
            async move {
                loop {
                    let chunk = logs.read(run, node, offset, 64 << 10)?;
                    offset = chunk.next;
                    if !chunk.bytes.is_empty() {
                        return Ok(Some((chunk.bytes, offset)));
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        })
    }

    /// Appends a line of the executor's own. A log that cannot be written does not stop the work.
    pub(crate) fn note(&self, run: RunId, node: u32, line: &str) {
        let path = self.path(run, node);
        let append = || -> io::Result<()> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            writeln!(File::options().create(true).append(true).open(&path)?, "[shipway] {line}")
        };
        if let Err(error) = append() {
            tracing::warn!(path = %path.display(), %error, "a node's log cannot be written");
        }
    }
}
