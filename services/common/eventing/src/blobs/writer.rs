//! How content gets into a store under a name that is known only when all of it has been read.
//!
//! A folder takes an upload under a name of its own and renames it when it is whole. A bucket cannot rename, only copy
//! (and no more than 5 GB at once): there, content whose size is not known is gathered in a file without a name first.
//! Then it is sent in parts under its digest, and only if it is not there already.

use std::path::Path;

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use object_store::{MultipartUpload, ObjectStoreExt, PutMode, PutOptions, path::Path as Key};
use sha2::{Digest, Sha256};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt},
};

use super::{
    BlobId, Blobs, CHUNK,
    error::{BlobError, file_error, store_error},
};

/// The size of an upload's parts, and what is gathered in memory before a file is used. At least 5 MiB: S3's rule.
const PART: usize = 8 << 20;

/// How many parts an upload has at most. (S3 takes 10,000.)
const PARTS: u64 = 9_000;

/// How many parts are under way at the same time.
const AT_ONCE: usize = 3;

/// A blob that is being written. Dropped before it is finished, it never was.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Blobs,
    place: Place,
    hash: Sha256,
    size: u64,
}

#[derive(Debug)]
enum Place {
    /// In the store, under a name of its own.
    Named { key: Key, upload: Box<dyn MultipartUpload> },
    /// Here: in memory, and in a file once it is more than a part.
    Gathered { memory: Vec<u8>, file: Option<File> },
}

impl BlobWriter {
    pub(super) async fn new(blobs: Blobs) -> Result<Self, BlobError> {
        let place = if blobs.scratch.is_some() {
            Place::Gathered { memory: Vec::new(), file: None }
        } else {
            let key = Key::from_iter(["incoming", &uuid::Uuid::now_v7().simple().to_string()]);
            let begun = blobs.store.put_multipart(&key).await;
            let upload = begun.map_err(store_error(&blobs.place, "beginning an upload"))?;
            Place::Named { key, upload }
        };
        Ok(Self { blobs, place, hash: Sha256::new(), size: 0 })
    }

    /// Adds bytes to the end.
    ///
    /// # Errors
    /// [`BlobError::Store`], [`BlobError::File`].
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.hash.update(&chunk);
        self.size += chunk.len() as u64;
        match &mut self.place {
            Place::Named { upload, .. } => {
                let put = upload.put_part(chunk.into()).await;
                put.map_err(store_error(&self.blobs.place, "writing an upload"))
            }
            Place::Gathered { memory, file: None } if memory.len() + chunk.len() <= PART => {
                memory.extend_from_slice(&chunk);
                Ok(())
            }
            Place::Gathered { memory, file } => {
                let scratch = self.blobs.scratch();
                let failed = file_error("gather an upload in", &scratch);
                if file.is_none() {
                    let made = tempfile::tempfile_in(&scratch).map_err(&failed)?;
                    let mut made = File::from_std(made);
                    made.write_all(memory).await.map_err(&failed)?;
                    memory.clear();
                    *file = Some(made);
                }
                let file = file.as_mut().expect("it was made above");
                file.write_all(&chunk).await.map_err(failed)
            }
        }
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Syncs the content and gives it its name.
    ///
    /// # Errors
    /// [`BlobError::Store`], [`BlobError::File`].
    pub async fn finish(self) -> Result<BlobId, BlobError> {
        let Self { blobs, place, hash, size } = self;
        let id = BlobId::from_digest(hash.finalize().into());
        match place {
            Place::Named { key, mut upload } => {
                upload.complete().await.map_err(store_error(&blobs.place, "completing an upload"))?;
                let named = blobs.store.rename(&key, &id.key()).await;
                named.map_err(store_error(&blobs.place, "naming an upload"))?;
            }
            Place::Gathered { memory, file: None } => blobs.store_whole(&id, memory.into()).await?,
            Place::Gathered { file: Some(mut file), .. } => {
                let scratch = blobs.scratch();
                file.flush().await.map_err(file_error("gather an upload in", &scratch))?;
                blobs.send(&id, file, size, &scratch).await?;
            }
        }
        Ok(id)
    }
}

impl Blobs {
    pub(super) fn scratch(&self) -> std::path::PathBuf {
        self.scratch.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// Stores content that is in memory, unless it is there.
    pub(super) async fn store_whole(&self, id: &BlobId, content: Bytes) -> Result<(), BlobError> {
        let failed = store_error(&self.place, "storing bytes");
        let mode = match self.size(id).await {
            Ok(size) if size == content.len() as u64 => return Ok(()),
            // What has this name has another size: it is damaged, and here is what it should be.
            Ok(_) => PutMode::Overwrite,
            Err(BlobError::Missing(_)) => PutMode::Create,
            Err(error) => return Err(error),
        };
        let options = PutOptions::from(mode.clone());
        match self.store.put_opts(&id.key(), content.clone().into(), options).await {
            // Somebody else was faster, with the same content.
            Err(object_store::Error::AlreadyExists { .. }) if mode == PutMode::Create => Ok(()),
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                self.store.put(&id.key(), content.into()).await.map_err(failed).map(drop)
            }
            put => put.map_err(failed).map(drop),
        }
    }

    /// Stores a local file's content in a bucket, unless it is there. The file is read twice, so that content which is
    /// there is not sent.
    pub(super) async fn send_file(&self, path: &Path) -> Result<BlobId, BlobError> {
        let unreadable = file_error("read", path);
        let mut file = File::open(path).await.map_err(file_error("open", path))?;
        let (mut hash, mut size) = (Sha256::new(), 0);
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = file.read(&mut buffer).await.map_err(&unreadable)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            size += read as u64;
        }
        let id = BlobId::from_digest(hash.finalize().into());
        self.send(&id, file, size, path).await?;
        Ok(id)
    }

    /// Sends a file whose digest and size are known, in parts if it is large. A file that changes meanwhile is found out
    /// before it gets the name.
    async fn send(&self, id: &BlobId, mut file: File, size: u64, path: &Path) -> Result<(), BlobError> {
        match self.size(id).await {
            Ok(there) if there == size => return Ok(()),
            Ok(_) | Err(BlobError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
        file.rewind().await.map_err(file_error("read", path))?;
        if size <= PART as u64 {
            let mut content = Vec::new();
            file.read_to_end(&mut content).await.map_err(file_error("read", path))?;
            let found = BlobId::of(&content);
            if found != *id {
                return Err(BlobError::Damaged { id: id.clone(), found });
            }
            return self.store_whole(id, content.into()).await;
        }
        let begun = self.store.put_multipart(&id.key()).await;
        let mut upload = begun.map_err(store_error(&self.place, "beginning an upload"))?;
        let sent = self.send_parts(id, &mut *upload, file, size, path).await;
        if sent.is_err()
            && let Err(error) = upload.abort().await
        {
            // Its parts stay until the bucket's rule for unfinished uploads removes them.
            tracing::warn!(%error, place = %self.place, "an upload could not be taken back");
        }
        sent
    }

    async fn send_parts(
        &self,
        id: &BlobId,
        upload: &mut dyn MultipartUpload,
        mut file: File,
        size: u64,
        path: &Path,
    ) -> Result<(), BlobError> {
        let part = (size / PARTS + 1).max(PART as u64);
        let failed = store_error(&self.place, "sending a part of an upload");
        let mut hash = Sha256::new();
        let mut under_way = FuturesUnordered::new();
        loop {
            let mut chunk = Vec::new();
            let read = (&mut file).take(part).read_to_end(&mut chunk).await;
            if read.map_err(file_error("read", path))? == 0 {
                break;
            }
            hash.update(&chunk);
            if under_way.len() == AT_ONCE {
                under_way.next().await.transpose().map_err(&failed)?;
            }
            under_way.push(upload.put_part(chunk.into()));
        }
        while let Some(done) = under_way.next().await {
            done.map_err(&failed)?;
        }
        let found = BlobId::from_digest(hash.finalize().into());
        if found != *id {
            return Err(BlobError::Damaged { id: id.clone(), found });
        }
        upload.complete().await.map_err(store_error(&self.place, "completing an upload")).map(drop)
    }
}
