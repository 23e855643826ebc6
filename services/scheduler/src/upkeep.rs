//! Upkeep of the log: the proof that it is whole, and copies of everything.

use std::{
    io::{self, BufWriter, Write},
    sync::Arc,
};

use futures::{Stream, StreamExt};
use shipway_contracts::{
    Code, Error,
    v1::{BackupChunk, VerifyProgress},
};
use shipway_eventing::{
    backup::{Backup, Source},
    verify::verify_telling,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::service::Shared;

/// Bytes of a backup in one message.
const CHUNK: usize = 1 << 20;

/// Reads the whole log and checks it; tells how far it is.
pub(crate) fn verify(
    shared: Arc<Shared>,
) -> impl Stream<Item = Result<VerifyProgress, Status>> + Send + 'static {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let checking = check(&shared, &sender);
        let verdict = tokio::select! {
            verdict = checking => verdict.map_err(Status::from),
            // Nobody wants to know any more.
            () = sender.closed() => return,
        };
        drop(sender.send(verdict).await);
    });
    ReceiverStream::new(receiver)
}

async fn check(
    shared: &Shared,
    sender: &mpsc::Sender<Result<VerifyProgress, Status>>,
) -> Result<VerifyProgress, Error> {
    let head = shared.log.head().await.map_err(|error| Error::unavailable(error.to_string()))?;
    let tell = |position| {
        let progress = VerifyProgress { position, head: head.position, ..VerifyProgress::default() };
        // A client that is slow misses some.
        let _ = sender.try_send(Ok(progress));
    };
    let report = verify_telling(&*shared.log, tell).await.map_err(|error| Error::internal(&error))?;
    let (fault_position, fault) = match &report.bad {
        None => (0, String::new()),
        Some(bad) => (bad.position, bad.to_string()),
    };
    let end = shared.log.head().await.map_err(|error| Error::unavailable(error.to_string()))?;
    Ok(VerifyProgress {
        position: report.head,
        head: end.position,
        done: true,
        fault,
        fault_position,
        hash: end.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

/// Copies everything, while all goes on, into one archive, and sends it as it is made.
pub(crate) async fn backup(
    shared: Arc<Shared>,
    with_keys: bool,
) -> Result<impl Stream<Item = Result<BackupChunk, Status>> + Send + 'static, Error> {
    let keys = match (with_keys, &shared.data) {
        (false, _) => None,
        (true, Some(data)) => Some(data.join("keys")),
        (true, None) => {
            return Err(Error::new(
                Code::FailedPrecondition,
                "the keys are not at the scheduler: copy the folder that the pipelines service's [keys] names, and \
                 make the backup without them",
            ));
        }
    };
    let source = Source { log: shared.log.clone(), durable: shared.durable.clone(), keys };
    let begun = Backup::begin(source).await.map_err(|error| Error::internal(&error))?;
    let position = begun.manifest().position;
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let chunks = Chunks { sender: sender.clone(), position };
        if let Err(error) = begun.write(BufWriter::with_capacity(CHUNK, chunks)).await {
            // A client that has gone does not hear this.
            drop(sender.send(Err(Error::internal(&error).into())).await);
        }
    });
    Ok(ReceiverStream::new(receiver).boxed())
}

/// Turns what is written into messages. Written to on a thread that may wait.
struct Chunks {
    sender: mpsc::Sender<Result<BackupChunk, Status>>,
    position: u64,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = BackupChunk { data: bytes.to_vec(), position: self.position };
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(chunk)).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
