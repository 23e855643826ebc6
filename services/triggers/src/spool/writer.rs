//! The thread that writes the spool's files.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use tokio::sync::{oneshot, watch};

use super::{ASIDE, ENDING, SpoolError, frame, name, row};
use crate::sealer::Sealer;

/// How large a file grows before the next one is begun.
const FILE: u64 = if cfg!(test) { 100_000 } else { 8 << 20 };

/// How many orders are taken together at most.
const TOGETHER: usize = 256;

/// What the thread is asked to do.
pub(super) enum Order {
    /// Keep a delivery.
    Keep { plain: Vec<u8>, reply: oneshot::Sender<Result<(), SpoolError>> },
    /// Name the oldest file, and write no more to it.
    Oldest { reply: oneshot::Sender<Option<PathBuf>> },
    /// Delete a file.
    Done { file: PathBuf, damaged: bool, reply: oneshot::Sender<Result<(), SpoolError>> },
}

pub(super) struct Writer {
    folder: PathBuf,
    /// Files that are not written to any more, oldest first.
    closed: VecDeque<PathBuf>,
    current: Option<Current>,
    /// Bytes of all files.
    size: u64,
    most: u64,
    sealer: Arc<Sealer>,
    holds: Arc<watch::Sender<usize>>,
}

/// The file that is written to.
struct Current {
    file: File,
    path: PathBuf,
    name: String,
    /// How much of it is synced.
    length: u64,
}

type Kept = oneshot::Sender<Result<(), SpoolError>>;

impl Writer {
    pub(super) fn new(
        folder: PathBuf,
        files: Vec<PathBuf>,
        size: u64,
        most: u64,
        sealer: Arc<Sealer>,
        holds: Arc<watch::Sender<usize>>,
    ) -> Self {
        Self { folder, closed: files.into(), current: None, size, most, sealer, holds }
    }

    /// Does what it is asked until nobody can ask any more.
    pub(super) fn run(mut self, orders: &mpsc::Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            let mut plains: Vec<(Vec<u8>, Kept)> = Vec::new();
            let more = std::iter::from_fn(|| orders.try_recv().ok()).take(TOGETHER);
            for order in std::iter::once(first).chain(more) {
                if let Order::Keep { plain, reply } = order {
                    plains.push((plain, reply));
                    continue;
                }
                // In the order in which it was asked.
                self.keep(std::mem::take(&mut plains));
                match order {
                    Order::Oldest { reply } => drop(reply.send(self.oldest())),
                    Order::Done { file, damaged, reply } => drop(reply.send(self.done(&file, damaged))),
                    Order::Keep { .. } => {}
                }
            }
            self.keep(plains);
        }
    }

    /// Writes deliveries, syncs once, and tells each how it went.
    fn keep(&mut self, all: Vec<(Vec<u8>, Kept)>) {
        if all.is_empty() {
            return;
        }
        let mut written: Vec<Kept> = Vec::with_capacity(all.len());
        let mut refused: Vec<(Kept, SpoolError)> = Vec::new();
        let mut bytes = Vec::new();
        let begun = self.current();
        for (plain, reply) in all {
            let (length, name) = match &begun {
                Ok((length, name)) => (*length, name),
                Err(error) => {
                    refused.push((reply, error.clone()));
                    continue;
                }
            };
            let at = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(bytes.len());
            let sealed = self.sealer.seal(&row(name, at), &plain);
            let wanted = (frame::HEAD + sealed.len()) as u64;
            if self.size + bytes.len() as u64 + wanted > self.most {
                let (folder, most) = (self.folder.clone(), self.most);
                refused.push((reply, SpoolError::Full { folder, wanted, most }));
                continue;
            }
            frame::put(&mut bytes, &sealed);
            written.push(reply);
        }
        let outcome = if bytes.is_empty() { self.close_if_empty() } else { self.write(&bytes) };
        // Only now: whoever hears of it finds the spool as it is.
        for reply in written {
            drop(reply.send(outcome.clone()));
        }
        for (reply, error) in refused {
            drop(reply.send(Err(error)));
        }
    }

    /// The length and name of the file that is written to; begins one if there is none.
    fn current(&mut self) -> Result<(u64, String), SpoolError> {
        if self.current.as_ref().is_some_and(|current| current.length >= FILE) {
            self.close();
        }
        if self.current.is_none() {
            // Names grow with time.
            let name = format!("{}.{ENDING}", uuid::Uuid::now_v7().simple());
            let path = self.folder.join(&name);
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
            let file = file.map_err(SpoolError::disk("begin a file in", &self.folder))?;
            self.holds.send_modify(|holds| *holds += 1);
            self.current = Some(Current { file, path, name, length: 0 });
            if let Err(error) = sync_folder(&self.folder) {
                self.discard();
                return Err(SpoolError::disk("sync", &self.folder)(error));
            }
        }
        match &self.current {
            Some(current) => Ok((current.length, current.name.clone())),
            None => Err(SpoolError::Closed),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let Some(current) = &mut self.current else { return Err(SpoolError::Closed) };
        let written = current.file.write_all(bytes).and_then(|()| current.file.sync_data());
        match written {
            Ok(()) => {
                current.length += bytes.len() as u64;
                self.size += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                let error = SpoolError::disk("write to", &current.path)(error);
                // Nobody knows what of it is on disk. Nobody was told that it is, so it goes.
                let cut = current.file.set_len(current.length).and_then(|()| current.file.sync_data());
                if let Err(error) = cut {
                    tracing::warn!(%error, "what was not written whole to the spool could not be cut off");
                }
                if current.length == 0 {
                    self.discard()
                } else {
                    self.close()
                }
                Err(error)
            }
        }
    }

    /// Nothing was written: a file that was begun for it goes again.
    fn close_if_empty(&mut self) -> Result<(), SpoolError> {
        if self.current.as_ref().is_some_and(|current| current.length == 0) {
            self.discard();
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some(current) = self.current.take() {
            self.closed.push_back(current.path);
        }
    }

    /// Takes away the file that is written to, with nothing in it.
    fn discard(&mut self) {
        if let Some(current) = self.current.take() {
            if let Err(error) = std::fs::remove_file(&current.path) {
                tracing::warn!(%error, "an empty file of the spool could not be deleted");
            }
            self.holds.send_modify(|holds| *holds -= 1);
        }
    }

    fn oldest(&mut self) -> Option<PathBuf> {
        if self.closed.is_empty() {
            self.close();
        }
        self.closed.front().cloned()
    }

    fn done(&mut self, file: &Path, damaged: bool) -> Result<(), SpoolError> {
        let size = std::fs::metadata(file).map_or(0, |known| known.len());
        let gone = if damaged {
            std::fs::rename(file, file.with_extension(ASIDE))
        } else {
            std::fs::remove_file(file)
        };
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SpoolError::disk("delete a file of", file)(error));
            }
            _ => {}
        }
        let before = self.closed.len();
        self.closed.retain(|known| name(known) != name(file));
        if self.closed.len() < before {
            self.size = self.size.saturating_sub(size);
            self.holds.send_modify(|holds| *holds -= 1);
        }
        sync_folder(&self.folder).map_err(SpoolError::disk("sync", &self.folder))
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
