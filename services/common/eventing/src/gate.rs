//! One writer at a time on a SQLite file, in the order of asking.
//!
//! SQLite itself lets a second writer sleep and try again, which costs milliseconds; all writers of this process
//! that share a file share a gate instead.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// The gate of one file. Clones are the same gate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<Mutex<()>>);

/// The right to write, until it is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl Gate {
    pub(crate) async fn enter(&self) -> Turn {
        Arc::clone(&self.0).lock_owned().await
    }
}
