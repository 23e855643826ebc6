//! A backup's file: a tar archive packed with zstd, written and read bit by bit.
//!
//! Packing and unpacking run on threads of their own; what they pack comes from, and goes to, databases and stores of
//! blobs that are asked asynchronously. Channels with few places connect the two, so that neither runs ahead.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::JoinHandle,
};

/// How well a backup is packed; 3 is zstd's usual.
const LEVEL: i32 = 3;

/// How much is handed over at once.
const CHUNK: usize = 1 << 20;

/// How many pieces may be on their way.
const AHEAD: usize = 4;

/// What every entry of a tar archive is filled up to.
const BLOCK: usize = 512;

/// An archive that is being written.
pub(super) struct Packer {
    pieces: mpsc::Sender<Bytes>,
    packing: JoinHandle<io::Result<()>>,
}

impl Packer {
    /// Begins an archive that goes to a place where bytes can be written.
    pub(super) fn new(to: impl Write + Send + 'static) -> Self {
        let (pieces, mut arriving) = mpsc::channel::<Bytes>(AHEAD);
        let packing = tokio::task::spawn_blocking(move || {
            let mut packer = zstd::Encoder::new(to, LEVEL)?;
            packer.include_checksum(true)?;
            let mut whole = false;
            while let Some(piece) = arriving.blocking_recv() {
                whole = piece.is_empty();
                packer.write_all(&piece)?;
            }
            if !whole {
                return Err(io::Error::other("it was given up"));
            }
            packer.finish()?.flush()
        });
        Self { pieces, packing }
    }

    /// An entry whose content is known.
    pub(super) async fn entry(&mut self, name: &str, content: Bytes) -> io::Result<()> {
        self.begin(name, content.len() as u64).await?;
        let size = content.len() as u64;
        self.raw(content).await?;
        self.end(size).await
    }

    /// The head of an entry of this size, whose content follows.
    pub(super) async fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.raw(head(name, size)?).await
    }

    /// Some of an entry's content, or entries that were made before.
    pub(super) async fn raw(&mut self, bytes: Bytes) -> io::Result<()> {
        if bytes.is_empty() || self.pieces.send(bytes).await.is_ok() {
            return Ok(());
        }
        // The thread has ended, and will tell why.
        match (&mut self.packing).await {
            Ok(Err(error)) => Err(error),
            _ => Err(io::Error::other("packing ended early")),
        }
    }

    /// The end of an entry of this size.
    pub(super) async fn end(&mut self, size: u64) -> io::Result<()> {
        self.raw(fill(size)).await
    }

    /// Copies entries that were made before.
    pub(super) async fn copy(&mut self, mut entries: tokio::fs::File) -> io::Result<()> {
        loop {
            let mut piece = Vec::with_capacity(CHUNK);
            if (&mut entries).take(CHUNK as u64).read_to_end(&mut piece).await? == 0 {
                return Ok(());
            }
            self.raw(piece.into()).await?;
        }
    }

    /// Ends the archive.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        self.raw(vec![0; 2 * BLOCK].into()).await?;
        // The mark that all was written.
        drop(self.pieces.send(Bytes::new()).await);
        drop(self.pieces);
        self.packing.await.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
    }
}

/// Entries that are made before they are packed: what has to be read quickly.
pub(super) struct Spool(tokio::fs::File);

impl Spool {
    /// In a file without a name.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(tokio::fs::File::from_std(tempfile::tempfile()?)))
    }

    pub(super) async fn entry(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.0.write_all(&head(name, content.len() as u64)?).await?;
        self.0.write_all(content).await?;
        self.0.write_all(&fill(content.len() as u64)).await
    }

    /// The entries, from the first on.
    pub(super) async fn read(mut self) -> io::Result<tokio::fs::File> {
        use tokio::io::AsyncSeekExt;
        self.0.flush().await?;
        self.0.rewind().await?;
        Ok(self.0)
    }
}

fn head(name: &str, size: u64) -> io::Result<Bytes> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(Bytes::copy_from_slice(header.as_bytes()))
}

fn fill(size: u64) -> Bytes {
    let beyond = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if beyond == 0 { Bytes::new() } else { vec![0; BLOCK - beyond].into() }
}

/// What an archive is made of, one after the other.
pub(super) enum Piece {
    /// An entry begins.
    Entry {
        /// Its name.
        name: String,
        /// How many bytes it has.
        size: u64,
    },
    /// Some of its content.
    Content(Bytes),
    /// It has ended.
    End,
}

/// An archive that is being read.
pub(super) struct Unpacker {
    pieces: mpsc::Receiver<io::Result<Piece>>,
}

impl Unpacker {
    pub(super) fn new(archive: PathBuf) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = unpack(&archive, &sender) {
                // Nobody listens if the reader gave up.
                drop(sender.blocking_send(Err(error)));
            }
        });
        Self { pieces }
    }

    /// The next piece; none at the archive's end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Piece>> {
        self.pieces.recv().await.transpose()
    }

    /// The rest of an entry that is read at once.
    pub(super) async fn content(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(64 * CHUNK));
        loop {
            match self.next().await? {
                Some(Piece::Content(bytes)) => content.extend_from_slice(&bytes),
                Some(Piece::End) => return Ok(content),
                Some(Piece::Entry { .. }) | None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

fn unpack(archive: &std::path::Path, sender: &mpsc::Sender<io::Result<Piece>>) -> io::Result<()> {
    let gone = |_| io::Error::other("nobody reads it any more");
    let send = |piece| sender.blocking_send(Ok(piece)).map_err(gone);
    let mut tar = tar::Archive::new(zstd::Decoder::new(std::fs::File::open(archive)?)?);
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_str().ok_or(io::ErrorKind::InvalidData)?.to_owned();
        if entry.header().entry_type().is_dir() {
            // The first format named its folders.
            continue;
        }
        if !entry.header().entry_type().is_file() {
            return Err(io::Error::other(format!("`{name}` in it is no file")));
        }
        let size = entry.size();
        send(Piece::Entry { name, size })?;
        let mut left = size;
        while left > 0 {
            let mut bytes = Vec::with_capacity(CHUNK);
            let read = (&mut entry).take(CHUNK as u64).read_to_end(&mut bytes)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
            send(Piece::Content(bytes.into()))?;
        }
        send(Piece::End)?;
    }
    // To the last byte: the checksum is there.
    io::copy(&mut tar.into_inner(), &mut io::sink())?;
    Ok(())
}
