//! The log itself: `shipway.v1.Events`.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt};
use shipway_contracts::{
    Error,
    v1::{
        BackupChunk, BackupRequest, Event, GetLogReply, GetLogRequest, ReadEventsRequest, VerifyProgress,
        VerifyRequest, events_server::Events,
    },
};
use shipway_eventing::log::{Log, ReadError};
use shipway_events::{RawEvent, StreamName};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::service::Shared;

/// How many events are read at a time.
const PAGE: usize = 500;

/// Serves `Events`.
#[derive(Clone)]
pub struct EventsApi {
    pub(crate) shared: Arc<Shared>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Events for EventsApi {
    type ReadEventsStream = Answers<Event>;
    type VerifyStream = Answers<VerifyProgress>;
    type BackupStream = Answers<BackupChunk>;

    async fn read_events(
        &self,
        request: Request<ReadEventsRequest>,
    ) -> Result<Response<Self::ReadEventsStream>, Status> {
        let request = request.into_inner();
        let stream = match request.stream.as_str() {
            "" => None,
            name => Some(
                StreamName::parse(name)
                    .map_err(|error| Error::bad_request(format!("field `stream`: {error}")))?,
            ),
        };
        let (sender, receiver) = mpsc::channel(64);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let reading = read(&*shared.log, stream, &request, &sender);
            tokio::select! {
                result = reading => if let Err(error) = result {
                    // The client is gone if it does not hear this.
                    let _ = sender.send(Err(Error::internal(&error).into())).await;
                },
                () = shared.stopping.cancelled() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver).boxed()))
    }

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<Self::VerifyStream>, Status> {
        Ok(Response::new(crate::upkeep::verify(self.shared.clone()).boxed()))
    }

    async fn backup(&self, request: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let with_keys = request.into_inner().with_keys;
        Ok(Response::new(crate::upkeep::backup(self.shared.clone(), with_keys).await?.boxed()))
    }

    async fn get_log(&self, _: Request<GetLogRequest>) -> Result<Response<GetLogReply>, Status> {
        let head = self.shared.log.head().await.map_err(|error| Error::unavailable(error.to_string()))?;
        let stats = self.shared.log.stats();
        Ok(Response::new(GetLogReply {
            position: head.position,
            hash: head.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            generation: self.shared.log.generation(),
            commits: stats.commits,
            transactions: stats.commits + self.shared.views.commits(),
            events: stats.events,
            id: self.shared.log.id().to_owned(),
        }))
    }
}

/// Sends what there is, then what comes, until the limit, the end or a client that has gone.
async fn read(
    log: &dyn Log,
    stream: Option<StreamName>,
    request: &ReadEventsRequest,
    sender: &mpsc::Sender<Result<Event, Status>>,
) -> Result<(), ReadError> {
    let mut after = request.after;
    let mut left = if request.limit == 0 { u64::MAX } else { request.limit };
    let mut tail = log.tail();
    loop {
        tail.borrow_and_update();
        let page = match &stream {
            Some(stream) => log.read_stream(stream, after, PAGE).await?,
            None => log.read(after, PAGE).await?,
        };
        let full = page.len() == PAGE;
        for raw in page {
            after = if stream.is_some() { raw.version } else { raw.position };
            if sender.send(Ok(event(raw))).await.is_err() {
                return Ok(());
            }
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
        if full {
            continue;
        }
        if !request.follow {
            return Ok(());
        }
        tokio::select! {
            changed = tail.changed() => if changed.is_err() { return Ok(()) },
            () = sender.closed() => return Ok(()),
        }
    }
}

fn event(raw: RawEvent) -> Event {
    Event {
        position: raw.position,
        stream: raw.stream.to_string(),
        version: raw.version,
        r#type: raw.kind,
        schema: u32::from(raw.schema),
        data_json: raw.data,
        meta_json: serde_json::to_string(&raw.meta).unwrap_or_default(),
        command: raw.command.to_string(),
        at: raw.at.to_string(),
    }
}
