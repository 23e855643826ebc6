//! Blobs: bytes by their SHA-256. Artifacts, backups, logs and large event data.
//!
//! They are in a folder, or in a bucket of any store that `object_store` knows ([`Blobs::connect`]). Content is hashed
//! while it is written and gets its name when it is whole: what has a name is complete and on disk. The same content is
//! stored once.
//!
//! * [`BlobId`]: the name. [`BlobWriter`]: how content gets it.
//! * [`Objects`]: things with names of their own beside the blobs, like the logs of nodes.

mod error;
mod id;
mod objects;
mod place;
mod writer;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Key};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

pub use error::BlobError;
use error::{file_error, store_error};
pub use id::{BlobId, BlobIdError};
pub use objects::{Object, Objects};
pub use place::BlobOptions;
pub use writer::BlobWriter;

/// How much is read, hashed and written at once.
const CHUNK: usize = 1 << 20;

/// What an upload that was cut off leaves is removed after this time.
const STALE_UPLOAD: Duration = Duration::from_secs(24 * 3600);

/// A store of blobs. Clones share it.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// The folder, or the URL.
    place: Arc<str>,
    /// Buckets only: where content is gathered whose size is not known. A folder takes it under another name.
    scratch: Option<PathBuf>,
}

impl Blobs {
    /// The blobs in a folder, which is made if it is missing. Everything is synced before it is answered.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub async fn open(folder: &Path) -> Result<Self, BlobError> {
        std::fs::create_dir_all(folder).map_err(file_error("create the blob folder", folder))?;
        let place = Arc::from(folder.display().to_string());
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(store_error(&place, "opening its folder"))?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        let blobs = Self { store: Arc::new(store), place, scratch: None };
        blobs.sweep().await?;
        Ok(blobs)
    }

    /// Where they are, for what has names of its own beside them.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Stores bytes. On return they are on disk.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn put(&self, content: impl Into<Bytes>) -> Result<BlobId, BlobError> {
        let content = content.into();
        let id = BlobId::of(&content);
        self.store_whole(&id, content).await?;
        Ok(id)
    }

    /// Stores a file's content. On return it is on disk.
    ///
    /// # Errors
    /// [`BlobError::File`] if it cannot be read, [`BlobError::Damaged`] if it changes meanwhile, [`BlobError::Store`].
    pub async fn put_file(&self, path: &Path) -> Result<BlobId, BlobError> {
        if self.scratch.is_some() {
            return self.send_file(path).await;
        }
        let mut file = tokio::fs::File::open(path).await.map_err(file_error("open", path))?;
        let mut writer = self.writer().await?;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let read = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await;
            if read.map_err(file_error("read", path))? == 0 {
                return writer.finish().await;
            }
            writer.write(chunk.into()).await?;
        }
    }

    /// A new blob that is written bit by bit; it exists once it is finished.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn writer(&self) -> Result<BlobWriter, BlobError> {
        BlobWriter::new(self.clone()).await
    }

    /// A blob's content, its digest checked.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Damaged`], [`BlobError::Store`].
    pub async fn get(&self, id: &BlobId) -> Result<Bytes, BlobError> {
        let found = self.store.get(&id.key()).await.map_err(|error| self.missing(id, error))?;
        let content = found.bytes().await.map_err(store_error(&self.place, "reading a blob"))?;
        let actual = BlobId::of(&content);
        if actual != *id {
            return Err(BlobError::Damaged { id: id.clone(), found: actual });
        }
        Ok(content)
    }

    /// Some bytes of a blob; fewer than asked for if it ends before. The digest is not checked.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Store`], the latter also for a range that begins after the end.
    pub async fn get_range(&self, id: &BlobId, range: Range<u64>) -> Result<Bytes, BlobError> {
        self.store.get_range(&id.key(), range).await.map_err(|error| self.missing(id, error))
    }

    /// A blob's content bit by bit. Its digest is checked with the last bit: a stream that ends without an error was the
    /// blob.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Store`]; the latter also later, from the stream, and
    /// [`BlobError::Damaged`] at its end.
    pub async fn stream(
        &self,
        id: &BlobId,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let found = self.store.get(&id.key()).await.map_err(|error| self.missing(id, error))?;
        let content = found.into_stream().map_err(store_error(&self.place, "reading a blob")).boxed();
        let begin = (content, Sha256::new(), id.clone());
        let checked = futures::stream::try_unfold(begin, |(mut content, mut hash, id)| async move {
            if let Some(chunk) = content.try_next().await? {
                hash.update(&chunk);
                return Ok(Some((chunk, (content, hash, id))));
            }
            let found = BlobId::from_digest(hash.finalize().into());
            if found == id { Ok(None) } else { Err(BlobError::Damaged { id, found }) }
        });
        Ok(checked.boxed())
    }

    /// Copies a blob into a file, which is replaced if it exists; the digest is checked. The file is not synced.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Damaged`], [`BlobError::File`], [`BlobError::Store`]; what was copied is
    /// removed then.
    pub async fn copy_to(&self, id: &BlobId, path: &Path) -> Result<(), BlobError> {
        use tokio::io::AsyncWriteExt;
        let mut content = self.stream(id).await?;
        let mut file = tokio::fs::File::create(path).await.map_err(file_error("create", path))?;
        loop {
            match content.try_next().await {
                Ok(Some(chunk)) => file.write_all(&chunk).await.map_err(file_error("write", path))?,
                Ok(None) => return file.flush().await.map_err(file_error("write", path)),
                Err(error) => {
                    tokio::fs::remove_file(path).await.map_err(file_error("remove", path))?;
                    return Err(error);
                }
            }
        }
    }

    /// Whether there is such a blob.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn exists(&self, id: &BlobId) -> Result<bool, BlobError> {
        match self.size(id).await {
            Ok(_) => Ok(true),
            Err(BlobError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A blob's size in bytes.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Store`].
    pub async fn size(&self, id: &BlobId) -> Result<u64, BlobError> {
        Ok(self.store.head(&id.key()).await.map_err(|error| self.missing(id, error))?.size)
    }

    /// Every blob with its size in bytes, in no order.
    ///
    /// # Errors
    /// [`BlobError::Store`], from the stream.
    #[must_use]
    pub fn list(&self) -> BoxStream<'static, Result<(BlobId, u64), BlobError>> {
        let named = |object: object_store::ObjectMeta| {
            let id = format!("sha256:{}", object.location.filename()?).parse().ok()?;
            Some((id, object.size))
        };
        self.store
            .list(Some(&Key::from("sha256")))
            .map_err(store_error(&self.place, "listing the blobs"))
            .try_filter_map(move |object| futures::future::ready(Ok(named(object))))
            .boxed()
    }

    /// Removes a blob; one that does not exist is fine.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn delete(&self, id: &BlobId) -> Result<(), BlobError> {
        match self.store.delete(&id.key()).await.map_err(|error| self.missing(id, error)) {
            Ok(()) | Err(BlobError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes what uploads left that were cut off.
    async fn sweep(&self) -> Result<(), BlobError> {
        let mut left = self.store.list(Some(&Key::from("incoming")));
        while let Some(object) =
            left.try_next().await.map_err(store_error(&self.place, "listing old uploads"))?
        {
            let modified = std::time::SystemTime::from(object.last_modified);
            if modified.elapsed().is_ok_and(|age| age > STALE_UPLOAD) {
                self.store
                    .delete(&object.location)
                    .await
                    .map_err(store_error(&self.place, "removing an old upload"))?;
            }
        }
        Ok(())
    }

    /// Things with names of their own under a prefix that is theirs: `logs`.
    #[must_use]
    pub fn objects(&self, prefix: &'static str) -> Objects {
        Objects::new(self.clone(), prefix)
    }

    fn missing(&self, id: &BlobId, error: object_store::Error) -> BlobError {
        match error {
            object_store::Error::NotFound { .. } => BlobError::Missing(id.clone()),
            source => store_error(&self.place, "reading a blob")(source),
        }
    }
}
