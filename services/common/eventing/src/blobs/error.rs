//! Why a store of blobs did not do what it was asked for, and what to do about it.

use std::{path::Path, sync::Arc};

use super::BlobId;

/// Why a blob could not be stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// There is no such blob.
    #[error("there is no blob {0}")]
    Missing(BlobId),
    /// There is no object with this name.
    #[error("there is no object {0}")]
    NoObject(String),
    /// The blob's content is not what its name says.
    #[error("blob {id} is damaged: its content has the digest {found}")]
    Damaged {
        /// The blob.
        id: BlobId,
        /// The name of what was found.
        found: BlobId,
    },
    /// The store did not do it.
    #[error("the blob store {place} failed while {attempting}{hint}")]
    Store {
        /// The folder, or the bucket and the prefix in it.
        place: Arc<str>,
        /// What was being attempted.
        attempting: &'static str,
        /// What to do, if that is known; begins with `: `.
        hint: &'static str,
        /// Why it failed.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The settings name no store that could be used.
    #[error("the blob store {url} cannot be used: {why}")]
    Settings {
        /// What the settings name.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A name of an object that leads out of its place.
    #[error("`{0}` is no name for an object: names are words parted by `/`")]
    BadName(String),
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

/// Errors of a store that is at this place.
pub(super) fn store_error(
    place: &Arc<str>,
    attempting: &'static str,
) -> impl Fn(object_store::Error) -> BlobError + use<> {
    let place = Arc::clone(place);
    move |source| BlobError::Store {
        place: Arc::clone(&place),
        attempting,
        hint: hint(&source),
        source: Box::new(source),
    }
}

pub(super) fn file_error(
    attempting: &'static str,
    path: &Path,
) -> impl Fn(std::io::Error) -> BlobError + use<> {
    let path = path.display().to_string();
    move |source| BlobError::File { attempting, path: path.clone(), source }
}

/// What can be done. A refused listing has no kind of its own in `object_store`: its text tells.
fn hint(error: &object_store::Error) -> &'static str {
    use object_store::Error;
    const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];
    const REFUSED: [&str; 2] = ["status code: 401", "status code: 403"];
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        text.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&NO_BUCKET) {
        return ": there is no such bucket or container; make it, or correct the URL";
    }
    match error {
        Error::Unauthenticated { .. } | Error::PermissionDenied { .. } => REFUSED_HINT,
        Error::Generic { .. } if says(&REFUSED) => REFUSED_HINT,
        _ => "",
    }
}

const REFUSED_HINT: &str = ": it refused these credentials; check the key in the settings or the environment (or this machine's role), and that it may list, read, write and delete here";
