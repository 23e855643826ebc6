//! Blobs: bytes by their SHA-256. Artifacts, backups, logs and large event data.
//!
//! Content is hashed while it is written to a file of its own, synced, and renamed to its name when whole: what
//! has a name is complete and on disk. The same content is stored once.

use std::{fmt, ops::Range, path::Path, str::FromStr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path as Key};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

/// How much is read, hashed and written at once.
const CHUNK: usize = 1 << 20;

/// What an upload that was cut off leaves is removed after this time.
const STALE_UPLOAD: Duration = Duration::from_secs(24 * 3600);

/// The name of a blob: `sha256:` and 64 hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobId(String);

/// A text that names no blob.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` names no blob; expected `sha256:` and 64 lower case hex digits")]
pub struct BlobIdError(String);

impl BlobId {
    /// The blob with this content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self::from_digest(Sha256::digest(content).into())
    }

    /// The blob with this SHA-256.
    #[must_use]
    pub fn from_digest(digest: [u8; 32]) -> Self {
        Self(format!("sha256:{}", hex::encode(digest)))
    }

    /// The 64 hex digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn key(&self) -> Key {
        Key::from_iter(["sha256", &self.hex()[..2], self.hex()])
    }
}

impl FromStr for BlobId {
    type Err = BlobIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower_hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        text.strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.bytes().all(lower_hex))
            .map(|_| Self(text.to_owned()))
            .ok_or_else(|| BlobIdError(text.to_owned()))
    }
}

impl TryFrom<String> for BlobId {
    type Error = BlobIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BlobId> for String {
    fn from(id: BlobId) -> Self {
        id.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a blob could not be stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// There is no such blob.
    #[error("there is no blob {0}")]
    Missing(BlobId),
    /// The blob's content is not what its name says.
    #[error("blob {id} is damaged: its content has the digest {found}")]
    Damaged {
        /// The blob.
        id: BlobId,
        /// The name of what was found.
        found: BlobId,
    },
    /// The store did not do it.
    #[error("the blob store failed while {attempting}")]
    Store {
        /// What was being attempted.
        attempting: &'static str,
        /// Why it failed.
        #[source]
        source: object_store::Error,
    },
    /// A local file could not be read or written.
    #[error("could not {attempting} {path}")]
    File {
        /// What was being attempted.
        attempting: &'static str,
        /// The file.
        path: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The log was opened without blobs, but large event data needs them.
    #[error("no blob store is configured, and event data over 256 KiB needs one")]
    NotConfigured,
}

fn store_error(attempting: &'static str) -> impl Fn(object_store::Error) -> BlobError {
    move |source| BlobError::Store { attempting, source }
}

fn file_error(attempting: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BlobError {
    let path = path.display().to_string();
    move |source| BlobError::File { attempting, path, source }
}

/// A store of blobs. Clones share it.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
}

impl Blobs {
    /// The blobs in a folder, which is made if it is missing. Everything is synced before it is answered.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub async fn open(folder: &Path) -> Result<Self, BlobError> {
        std::fs::create_dir_all(folder).map_err(file_error("create the blob folder", folder))?;
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(store_error("opening its folder"))?
            .with_fsync(true);
        let blobs = Self { store: Arc::new(store) };
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
        if !self.exists(&id).await? {
            self.store.put(&id.key(), content.into()).await.map_err(store_error("storing bytes"))?;
        }
        Ok(id)
    }

    /// Stores a file's content, read once. On return it is on disk.
    ///
    /// # Errors
    /// [`BlobError::File`] if it cannot be read, [`BlobError::Store`].
    pub async fn put_file(&self, path: &Path) -> Result<BlobId, BlobError> {
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
        let key = Key::from_iter(["incoming", &uuid::Uuid::now_v7().simple().to_string()]);
        let upload = self.store.put_multipart(&key).await.map_err(store_error("beginning an upload"))?;
        Ok(BlobWriter { blobs: self.clone(), key, upload, hash: Sha256::new(), size: 0 })
    }

    /// A blob's content, its digest checked.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Damaged`], [`BlobError::Store`].
    pub async fn get(&self, id: &BlobId) -> Result<Bytes, BlobError> {
        let found = self.store.get(&id.key()).await.map_err(|error| missing(id, error))?;
        let content = found.bytes().await.map_err(store_error("reading a blob"))?;
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
        self.store.get_range(&id.key(), range).await.map_err(|error| missing(id, error))
    }

    /// A blob's content bit by bit. The digest is not checked.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Store`]; the latter also later, from the stream.
    pub async fn stream(
        &self,
        id: &BlobId,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let found = self.store.get(&id.key()).await.map_err(|error| missing(id, error))?;
        Ok(found.into_stream().map_err(store_error("reading a blob")).boxed())
    }

    /// Copies a blob into a file, which is replaced if it exists; the digest is checked. The file is not synced.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::Damaged`] (the file is removed then), [`BlobError::File`],
    /// [`BlobError::Store`].
    pub async fn copy_to(&self, id: &BlobId, path: &Path) -> Result<(), BlobError> {
        use tokio::io::AsyncWriteExt;
        let mut content = self.stream(id).await?;
        let mut file = tokio::fs::File::create(path).await.map_err(file_error("create", path))?;
        let mut hash = Sha256::new();
        while let Some(chunk) = content.try_next().await? {
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(file_error("write", path))?;
        }
        file.flush().await.map_err(file_error("write", path))?;
        let found = BlobId::from_digest(hash.finalize().into());
        if found != *id {
            tokio::fs::remove_file(path).await.map_err(file_error("remove", path))?;
            return Err(BlobError::Damaged { id: id.clone(), found });
        }
        Ok(())
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
        Ok(self.store.head(&id.key()).await.map_err(|error| missing(id, error))?.size)
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
            .map_err(store_error("listing the blobs"))
            .try_filter_map(move |object| futures::future::ready(Ok(named(object))))
            .boxed()
    }

    /// Removes a blob; one that does not exist is fine.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn delete(&self, id: &BlobId) -> Result<(), BlobError> {
        match self.store.delete(&id.key()).await.map_err(|error| missing(id, error)) {
            Ok(()) | Err(BlobError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes what uploads left that were cut off.
    async fn sweep(&self) -> Result<(), BlobError> {
        let mut left = self.store.list(Some(&Key::from("incoming")));
        while let Some(object) = left.try_next().await.map_err(store_error("listing old uploads"))? {
            let modified = std::time::SystemTime::from(object.last_modified);
            if modified.elapsed().is_ok_and(|age| age > STALE_UPLOAD) {
                self.store.delete(&object.location).await.map_err(store_error("removing an old upload"))?;
            }
        }
        Ok(())
    }
}

fn missing(id: &BlobId, error: object_store::Error) -> BlobError {
    match error {
        object_store::Error::NotFound { .. } => BlobError::Missing(id.clone()),
        source => BlobError::Store { attempting: "reading a blob", source },
    }
}

/// A blob that is being written. Dropped before it is finished, it never was.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    key: Key,
    upload: Box<dyn MultipartUpload>,
    hash: Sha256,
    size: u64,
}

impl BlobWriter {
    /// Adds bytes to the end.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.hash.update(&chunk);
        self.size += chunk.len() as u64;
        self.upload.put_part(chunk.into()).await.map_err(store_error("writing an upload"))
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Syncs the content and gives it its name.
    ///
    /// # Errors
    /// [`BlobError::Store`].
    pub async fn finish(mut self) -> Result<BlobId, BlobError> {
        let id = BlobId::from_digest(self.hash.finalize().into());
        self.upload.complete().await.map_err(store_error("completing an upload"))?;
        let named = self.blobs.store.rename(&self.key, &id.key()).await;
        named.map_err(store_error("naming an upload"))?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_put_can_be_read_in_every_way_and_is_stored_once() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&folder.path().join("blobs")).await.unwrap();
        let content = vec![7_u8; 3 * CHUNK + 5];
        let file = folder.path().join("in");
        std::fs::write(&file, &content).unwrap();
        let id = blobs.put_file(&file).await.unwrap();
        assert_eq!(id, blobs.put(content.clone()).await.unwrap());
        assert_eq!(id, BlobId::of(&content));
        assert_eq!(blobs.get(&id).await.unwrap(), content);
        assert_eq!(blobs.get_range(&id, 5..9).await.unwrap(), content[5..9]);
        assert_eq!(blobs.size(&id).await.unwrap(), content.len() as u64);
        let copy = folder.path().join("out");
        blobs.copy_to(&id, &copy).await.unwrap();
        assert_eq!(std::fs::read(copy).unwrap(), content);
        let all: Vec<_> = blobs.list().try_collect().await.unwrap();
        assert_eq!(all, [(id.clone(), content.len() as u64)]);
        blobs.delete(&id).await.unwrap();
        blobs.delete(&id).await.unwrap();
        assert!(matches!(blobs.get(&id).await, Err(BlobError::Missing(_))));
    }

    #[tokio::test]
    async fn damage_is_found_and_a_dropped_upload_leaves_no_blob() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).await.unwrap();
        let id = blobs.put("original").await.unwrap();
        let path = folder.path().join("sha256").join(&id.hex()[..2]).join(id.hex());
        std::fs::write(path, "tampered").unwrap();
        assert!(matches!(blobs.get(&id).await, Err(BlobError::Damaged { .. })));
        let target = folder.path().join("copy");
        assert!(matches!(blobs.copy_to(&id, &target).await, Err(BlobError::Damaged { .. })));
        assert!(!target.exists());
        let mut writer = blobs.writer().await.unwrap();
        writer.write("half".into()).await.unwrap();
        drop(writer);
        let all: Vec<_> = blobs.list().try_collect().await.unwrap();
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn only_digests_name_blobs() {
        let good = BlobId::of(b"x");
        assert_eq!(good.to_string().parse::<BlobId>().unwrap(), good);
        for bad in ["", "sha256:", "sha256:zz", "sha256:../../etc/passwd", &good.to_string().to_uppercase()] {
            assert!(bad.parse::<BlobId>().is_err(), "{bad}");
        }
    }
}
