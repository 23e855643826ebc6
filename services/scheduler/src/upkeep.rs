//! Upkeep of the log: the proof that it is whole, and copies of everything.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use shipway_contracts::{
    Error,
    v1::{BackupChunk, VerifyProgress},
};
use shipway_eventing::{backup, verify};
use tokio::{io::AsyncReadExt, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use uuid::Uuid;

use crate::service::Shared;

/// Bytes of a backup in one message.
const CHUNK: usize = 1 << 20;

/// Reads the whole log and checks it.
pub(crate) fn verify(
    shared: Arc<Shared>,
) -> impl Stream<Item = Result<VerifyProgress, Status>> + Send + 'static {
    futures::stream::once(async move {
        let head = shared.log.head().await.map_err(|error| Error::internal(&error))?;
        let report = verify::verify(&*shared.log).await.map_err(|error| Error::internal(&error))?;
        let (fault_position, fault) = match &report.bad {
            None => (0, String::new()),
            Some(bad) => (bad.position, bad.to_string()),
        };
        Ok(VerifyProgress {
            position: report.head,
            head: head.position,
            done: true,
            fault,
            fault_position,
            hash: head.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    })
}

/// Copies everything, while all goes on, into one archive, and sends it.
pub(crate) async fn backup(
    shared: Arc<Shared>,
    with_keys: bool,
) -> Result<impl Stream<Item = Result<BackupChunk, Status>> + Send + 'static, Error> {
    let Some(data) = shared.data.clone() else {
        return Err(Error::new(
            shipway_contracts::Code::FailedPrecondition,
            "this Shipway has no data folder: back its PostgreSQL and its blobs up",
        ));
    };
    let archive = data.join(format!("backup-{}.tmp", Uuid::now_v7()));
    let made = backup::backup(&data, &archive, with_keys).await;
    let manifest = made.map_err(|error| Error::internal(&error))?;
    // The open file is all that is needed; nothing stays behind, however this ends.
    let opened = tokio::fs::File::open(&archive).await;
    let removed = tokio::fs::remove_file(&archive).await;
    let mut file = opened.and_then(|file| removed.map(|()| file)).map_err(|error| Error::internal(&error))?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        loop {
            let mut data = Vec::with_capacity(CHUNK);
            let chunk = match (&mut file).take(CHUNK as u64).read_to_end(&mut data).await {
                Ok(0) => return,
                Ok(_) => Ok(BackupChunk { data, position: manifest.position }),
                Err(error) => Err(Error::internal(&error).into()),
            };
            let ended = chunk.is_err();
            if sender.send(chunk).await.is_err() || ended {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(receiver).boxed())
}
