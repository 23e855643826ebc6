//! Things with names of their own, kept where the blobs are: the logs of nodes.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStoreExt, path::Path as Key};
use shipway_events::Timestamp;

use super::{
    Blobs,
    error::{BlobError, store_error},
};

/// The objects under one prefix. An object is written in one go, whole or not at all, and may be replaced.
#[derive(Clone, Debug)]
pub struct Objects {
    blobs: Blobs,
    prefix: &'static str,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name, without the prefix.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub written: Timestamp,
}

impl Objects {
    pub(super) const fn new(blobs: Blobs, prefix: &'static str) -> Self {
        Self { blobs, prefix }
    }

    /// Writes an object; on return it is on disk.
    ///
    /// # Errors
    /// [`BlobError::BadName`], [`BlobError::Store`].
    pub async fn put(&self, name: &str, content: impl Into<Bytes>) -> Result<(), BlobError> {
        let put = self.blobs.store.put(&self.key(name)?, content.into().into()).await;
        put.map_err(store_error(&self.blobs.place, "storing an object")).map(drop)
    }

    /// An object's content.
    ///
    /// # Errors
    /// [`BlobError::NoObject`], [`BlobError::BadName`], [`BlobError::Store`].
    pub async fn get(&self, name: &str) -> Result<Bytes, BlobError> {
        let found = self.blobs.store.get(&self.key(name)?).await.map_err(|error| self.failed(name, error))?;
        found.bytes().await.map_err(|error| self.failed(name, error))
    }

    /// Some bytes of an object; fewer than asked for if it ends before.
    ///
    /// # Errors
    /// As [`Objects::get`]; [`BlobError::Store`] also for a range that begins after the end.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, BlobError> {
        let got = self.blobs.store.get_range(&self.key(name)?, range).await;
        got.map_err(|error| self.failed(name, error))
    }

    /// The objects whose names begin with this folder, in no order; all with an empty one.
    ///
    /// # Errors
    /// [`BlobError::BadName`] at once, [`BlobError::Store`] from the stream.
    pub fn list(&self, folder: &str) -> Result<BoxStream<'static, Result<Object, BlobError>>, BlobError> {
        let under = if folder.is_empty() { Key::from(self.prefix) } else { self.key(folder)? };
        let cut = self.prefix.len() + 1;
        let object = move |meta: object_store::ObjectMeta| Object {
            name: meta.location.as_ref().get(cut..).unwrap_or_default().to_owned(),
            size: meta.size,
            written: Timestamp::from_micros(meta.last_modified.timestamp_micros()),
        };
        let listed = self.blobs.store.list(Some(&under));
        Ok(listed.map_ok(object).map_err(store_error(&self.blobs.place, "listing objects")).boxed())
    }

    /// Removes an object; one that does not exist is fine.
    ///
    /// # Errors
    /// [`BlobError::BadName`], [`BlobError::Store`].
    pub async fn delete(&self, name: &str) -> Result<(), BlobError> {
        match self.blobs.store.delete(&self.key(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store_error(&self.blobs.place, "removing an object")(error)),
        }
    }

    /// A name never leads out of the prefix.
    fn key(&self, name: &str) -> Result<Key, BlobError> {
        let key = Key::parse(name).map_err(|_| BlobError::BadName(name.to_owned()))?;
        if key.as_ref().is_empty() {
            return Err(BlobError::BadName(name.to_owned()));
        }
        Ok(Key::from(self.prefix).parts().chain(key.parts()).collect())
    }

    fn failed(&self, name: &str, error: object_store::Error) -> BlobError {
        match error {
            object_store::Error::NotFound { .. } => BlobError::NoObject(name.to_owned()),
            source => store_error(&self.blobs.place, "reading an object")(source),
        }
    }
}
