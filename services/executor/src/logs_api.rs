//! `shipway.v1.Logs`: a node's log for whoever asks, wherever it was written. It stands in any process that has the
//! store of logs and a way to the executors.

use std::{pin::Pin, time::Duration};

use async_trait::async_trait;
use futures::{Stream, StreamExt, TryStreamExt};
use shipway_contracts::{
    Channel, Error, id,
    v1::{
        NodeLogKind, NodeLogLine, NodeLogLines, NodeLogRequest, ReadNodeLogRequest,
        executors_client::ExecutorsClient, logs_server::Logs, read_node_log_request,
    },
};
use shipway_eventing::node_logs::{From, Kind, Line, LiveTail, NodeLogReader, Record, Tail, TailError};
use shipway_events::RunId;
use tonic::{Request, Response, Status};

/// Serves `Logs`.
#[derive(Clone, Debug)]
pub struct LogsApi<T> {
    reader: NodeLogReader<T>,
}

impl<T> LogsApi<T> {
    /// Answers with what this reader reads.
    #[must_use]
    pub const fn new(reader: NodeLogReader<T>) -> Self {
        Self { reader }
    }
}

#[tonic::async_trait]
impl<T: LiveTail + Clone + 'static> Logs for LogsApi<T> {
    type ReadNodeLogStream = Pin<Box<dyn Stream<Item = Result<NodeLogLines, Status>> + Send>>;

    async fn read_node_log(
        &self,
        request: Request<ReadNodeLogRequest>,
    ) -> Result<Response<Self::ReadNodeLogStream>, Status> {
        let request = request.into_inner();
        let run: RunId = id("run", &request.run)?;
        let from = match request.from {
            None => From::Record(0),
            Some(read_node_log_request::From::Number(number)) => From::Record(number),
            Some(read_node_log_request::From::Offset(offset)) => From::Offset(offset),
        };
        let mut left = if request.limit == 0 { u64::MAX } else { request.limit };
        let batches = self.reader.lines(run, request.node, from, request.follow);
        let replies = batches
            .map_err(|error| Error::internal(&error).into())
            .scan((), move |(), batch| {
                let batch = batch.map(|mut lines| {
                    lines.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    left -= lines.len() as u64;
                    lines
                });
                // A limit that is reached ends the stream.
                let over = matches!(&batch, Ok(lines) if lines.is_empty());
                std::future::ready((!over).then_some(batch))
            })
            .map_ok(|lines| NodeLogLines { lines: lines.into_iter().map(shown).collect() });
        Ok(Response::new(replies.boxed()))
    }
}

/// A line as it is sent.
pub(crate) fn shown(line: Line) -> NodeLogLine {
    let kind = match line.record.kind {
        Kind::Line => NodeLogKind::Line,
        Kind::Piece => NodeLogKind::Piece,
        Kind::Full => NodeLogKind::Full,
        Kind::Gap => NodeLogKind::Gap,
    };
    NodeLogLine {
        number: line.number,
        offset: line.offset,
        kind: kind.into(),
        text: line.record.text.to_vec(),
    }
}

/// A line as it was sent.
fn read(line: NodeLogLine) -> Line {
    let kind = match line.kind() {
        NodeLogKind::Line => Kind::Line,
        NodeLogKind::Piece => Kind::Piece,
        NodeLogKind::Full => Kind::Full,
        NodeLogKind::Gap => Kind::Gap,
    };
    Line { number: line.number, offset: line.offset, record: Record { kind, text: line.text.into() } }
}

/// The tail of the logs that one executor writes, asked by gRPC.
#[derive(Clone, Debug)]
pub struct RemoteTail {
    executors: ExecutorsClient<Channel>,
}

/// How large a tail may be: it is what is stored in one go, and some more.
const LARGE: usize = 16 << 20;

impl RemoteTail {
    /// The executor at the end of this channel.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self { executors: ExecutorsClient::new(channel).max_decoding_message_size(LARGE) }
    }
}

#[async_trait]
impl LiveTail for RemoteTail {
    async fn tail(
        &self,
        run: RunId,
        node: u32,
        from: u64,
        wait: Duration,
    ) -> Result<Option<Tail>, TailError> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let request = NodeLogRequest { run: run.to_string(), node, from, wait_ms };
        let reply = self.executors.clone().node_log(request).await;
        let reply = reply.map_err(|status| TailError(status.message().to_owned()))?.into_inner();
        Ok(reply
            .open
            .then(|| Tail { stored: reply.stored, lines: reply.lines.into_iter().map(read).collect() }))
    }
}
