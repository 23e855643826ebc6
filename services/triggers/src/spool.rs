//! Where deliveries wait while the database is away: files of this machine, encrypted, synced before their sender hears
//! 202, and given to the inbox in their order once the database is back.
//!
//! One thread writes: whatever was handed to it during the last sync is synced together. A file is never written to
//! again once somebody began to read it, and is deleted when the inbox has all of it; a process that dies in between
//! gives the same again, and the inbox knows them by their keys.
//!
//! Several processes may have the same folder. Each has a folder of its own in it, with a lock, and at its start takes
//! over what was left by those that are no longer.

mod frame;
mod writer;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use shipway_eventing::{DataLock, LockError};
use tokio::sync::{oneshot, watch};

use crate::sealer::Sealer;
use frame::Found;
use writer::{Order, Writer};

/// How many processes may have one folder.
const PROCESSES: usize = 1_000;

/// The ending of a file with deliveries.
const ENDING: &str = "spool";

/// The ending of one that a person has to look at.
const ASIDE: &str = "damaged";

/// Why a delivery could not be kept, or what is kept not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// There is as much in it as there may be.
    #[error("the spool {} has no room for {wanted} bytes: it may have {most} in all", folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
        /// What the delivery takes.
        wanted: u64,
        /// The most that it may have.
        most: u64,
    },
    /// The disk did not do it.
    #[error("could not {attempting} the spool {}", path.display())]
    Disk {
        /// What was being attempted.
        attempting: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
    /// The folder's lock could not be used.
    #[error("the spool's folder could not be taken")]
    Lock(#[from] Arc<LockError>),
    /// The writer has ended; nothing was kept.
    #[error("the spool is closed")]
    Closed,
}

impl SpoolError {
    fn disk(attempting: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Disk { attempting, path: path.clone(), source: Arc::new(source) }
    }
}

/// The spool. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    orders: mpsc::Sender<Order>,
    /// Files that the inbox has not got, and deliveries that are being written.
    holds: Arc<watch::Sender<usize>>,
    sealer: Arc<Sealer>,
    folder: PathBuf,
    _lock: Arc<DataLock>,
}

impl Spool {
    /// Takes a folder of its own below `parent`, which is made if it is missing. `most` bytes may be in it.
    ///
    /// # Errors
    /// If a folder cannot be made, read or locked.
    pub(crate) fn open(parent: &Path, most: u64, sealer: Arc<Sealer>) -> Result<Self, SpoolError> {
        fs::create_dir_all(parent).map_err(SpoolError::disk("make", parent))?;
        let (folder, lock) = own_folder(parent)?;
        take_over(parent, &folder)?;
        let files = files(&folder)?;
        let mut size = 0;
        for file in &files {
            size += fs::metadata(file).map_err(SpoolError::disk("look at", file))?.len();
        }
        if !files.is_empty() {
            tracing::info!(files = files.len(), bytes = size, "deliveries wait in the spool");
        }
        let holds = Arc::new(watch::Sender::new(files.len()));
        let (orders, taken) = mpsc::channel();
        let writer = Writer::new(folder.clone(), files, size, most, Arc::clone(&sealer), Arc::clone(&holds));
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || writer.run(&taken))
            .map_err(SpoolError::disk("start the thread of", &folder))?;
        Ok(Self { orders, holds, sealer, folder, _lock: Arc::new(lock) })
    }

    /// Whether anything waits in it, so that what comes now has to wait behind it.
    pub(crate) fn holds_any(&self) -> bool {
        *self.holds.borrow() > 0
    }

    /// Waits until something waits in it.
    pub(crate) async fn filled(&self) {
        // The sender is in `self`: it does not close.
        drop(self.holds.subscribe().wait_for(|holds| *holds > 0).await);
    }

    /// Keeps a delivery; on return it is on disk.
    ///
    /// # Errors
    /// See [`SpoolError`]; nothing is kept then.
    pub(crate) async fn keep(&self, plain: Vec<u8>) -> Result<(), SpoolError> {
        let (reply, kept) = oneshot::channel();
        self.holds.send_modify(|holds| *holds += 1);
        let order = Order::Keep { plain, reply };
        let kept = match self.orders.send(order) {
            Ok(()) => kept.await.unwrap_or(Err(SpoolError::Closed)),
            Err(_) => Err(SpoolError::Closed),
        };
        self.holds.send_modify(|holds| *holds -= 1);
        kept
    }

    /// The oldest file that the inbox has not got; nothing is added to it any more.
    ///
    /// # Errors
    /// [`SpoolError::Closed`].
    pub(crate) async fn oldest(&self) -> Result<Option<PathBuf>, SpoolError> {
        let (reply, oldest) = oneshot::channel();
        self.orders.send(Order::Oldest { reply }).map_err(|_| SpoolError::Closed)?;
        oldest.await.map_err(|_| SpoolError::Closed)
    }

    /// The deliveries in a file, oldest first. Damage is said and passed over.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn read(&self, file: &Path) -> Result<Contents, SpoolError> {
        let bytes = fs::read(file).map_err(SpoolError::disk("read", file))?;
        let name = name(file);
        let mut contents = Contents::default();
        for found in frame::read(&bytes, |at, sealed| self.sealer.unseal(&row(&name, at), sealed).ok()) {
            match found {
                Found::Record(plain) => contents.deliveries.push(plain),
                Found::Torn(bytes) => {
                    tracing::warn!(file = %file.display(), bytes, "the end of a file of the spool was not written whole");
                }
                Found::Damaged(bytes) => {
                    contents.damaged = true;
                    tracing::error!(
                        file = %file.display(),
                        bytes,
                        "deliveries in the spool cannot be opened: they are damaged, or the key of the inbox is another \
                         one; the file is set aside with the ending .{ASIDE}; with the right key in place, give it back \
                         its ending .{ENDING} and start again"
                    );
                }
            }
        }
        Ok(contents)
    }

    /// The inbox has all of a file. One with damage is set aside for a person, others go.
    ///
    /// # Errors
    /// If it cannot be deleted or renamed; then the inbox gets the same again.
    pub(crate) async fn done(&self, file: PathBuf, damaged: bool) -> Result<(), SpoolError> {
        let (reply, done) = oneshot::channel();
        self.orders.send(Order::Done { file, damaged, reply }).map_err(|_| SpoolError::Closed)?;
        done.await.unwrap_or(Err(SpoolError::Closed))
    }

    /// Its own folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What is in a file.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Deliveries, oldest first.
    pub deliveries: Vec<Vec<u8>>,
    /// Whether something in it can be neither opened nor a torn end.
    pub damaged: bool,
}

/// What a record is sealed for: its file and its place there.
fn row(name: &str, at: usize) -> Vec<u8> {
    format!("spool/{name}/{at}").into_bytes()
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The first folder that nobody has.
fn own_folder(parent: &Path) -> Result<(PathBuf, DataLock), SpoolError> {
    let mut held = None;
    for number in 0..PROCESSES {
        let folder = parent.join(number.to_string());
        fs::create_dir_all(&folder).map_err(SpoolError::disk("make", &folder))?;
        match DataLock::take(&folder) {
            Ok(lock) => return Ok((folder, lock)),
            Err(error @ LockError::Held { .. }) => held = Some(error),
            Err(error) => return Err(Arc::new(error).into()),
        }
    }
    Err(held.map_or(SpoolError::Closed, |error| Arc::new(error).into()))
}

/// Moves what is in the folders that nobody has into this one. Names of files are unlike all others.
fn take_over(parent: &Path, own: &Path) -> Result<(), SpoolError> {
    let failed = SpoolError::disk("take over", parent);
    for entry in fs::read_dir(parent).map_err(&failed)? {
        let folder = entry.map_err(&failed)?.path();
        if folder == own || !folder.is_dir() {
            continue;
        }
        let Ok(_lock) = DataLock::take(&folder) else { continue };
        for file in files(&folder)? {
            fs::rename(&file, own.join(name(&file))).map_err(SpoolError::disk("take over", &file))?;
        }
    }
    fs::File::open(own).and_then(|folder| folder.sync_all()).map_err(SpoolError::disk("sync", own))
}

/// The files of a folder, oldest first.
fn files(folder: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let failed = SpoolError::disk("list", folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(&failed)? {
        let path = entry.map_err(&failed)?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
