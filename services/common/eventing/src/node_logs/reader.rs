//! Who reads a node's log: what is stored, then what comes.

use std::{collections::VecDeque, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use object_store::ObjectStoreExt;
use shipway_events::RunId;

use super::{
    Kind, Line, NodeLogError, NodeLogs, Record,
    chunk::{self, Name},
    failed, folder,
    writer::End,
};

/// How long a tail is waited for in one go.
const WAIT: Duration = Duration::from_secs(10);
/// The pause before a host that cannot be reached is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the record of this number.
    Record(u64),
    /// With the record that this byte of the log is in.
    Offset(u64),
}

/// Why the tail of a log is not known.
#[derive(Debug, thiserror::Error)]
#[error("the executor that has the newest lines does not answer: {0}")]
pub struct TailError(pub String);

/// What a host has not stored yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The records from this number on are not stored yet.
    pub stored: u64,
    /// Of those, the ones that were asked for.
    pub lines: Vec<Line>,
}

/// The way to the host that works on a node.
#[async_trait]
pub trait LiveTail: Send + Sync {
    /// Records from `from` on that are not stored yet. Waits so long for one if there is none and
    /// `from` is not stored either. None when no host writes this log.
    ///
    /// # Errors
    /// The host that does cannot be reached.
    async fn tail(&self, run: RunId, node: u32, from: u64, wait: Duration)
    -> Result<Option<Tail>, TailError>;
}

/// Nobody writes: what is stored is all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTail;

#[async_trait]
impl LiveTail for NoTail {
    async fn tail(&self, _: RunId, _: u32, _: u64, _: Duration) -> Result<Option<Tail>, TailError> {
        Ok(None)
    }
}

#[async_trait]
impl<T: LiveTail + ?Sized> LiveTail for std::sync::Arc<T> {
    async fn tail(
        &self,
        run: RunId,
        node: u32,
        from: u64,
        wait: Duration,
    ) -> Result<Option<Tail>, TailError> {
        (**self).tail(run, node, from, wait).await
    }
}

/// Reads node logs.
#[derive(Clone, Debug)]
pub struct NodeLogReader<T> {
    logs: NodeLogs,
    tail: T,
}

impl<T: LiveTail + Clone> NodeLogReader<T> {
    pub(super) fn new(logs: NodeLogs, tail: T) -> Self {
        Self { logs, tail }
    }

    /// At most `limit` lines of what there is now.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn read(
        &self,
        run: RunId,
        node: u32,
        from: From,
        limit: usize,
    ) -> Result<Vec<Line>, NodeLogError> {
        let mut lines = Vec::new();
        let mut batches = std::pin::pin!(self.lines(run, node, from, false));
        while lines.len() < limit
            && let Some(batch) = batches.try_next().await?
        {
            lines.extend(batch);
        }
        lines.truncate(limit);
        Ok(lines)
    }

    /// All lines; when they are followed, also those that come, until no host works on the node.
    pub fn lines(
        &self,
        run: RunId,
        node: u32,
        from: From,
        follow: bool,
    ) -> impl Stream<Item = Result<Vec<Line>, NodeLogError>> + Send + use<T> {
        let state = Reading {
            reader: self.clone(),
            run,
            node,
            from,
            follow,
            end: End::default(),
            named: VecDeque::new(),
            closed: Vec::new(),
            turn: Turn::List { last: false },
            behind: false,
        };
        futures::stream::try_unfold(state, |mut state| async move {
            Ok(state.next().await?.map(|lines| (lines, state)))
        })
    }
}

/// A reading on its way.
struct Reading<T> {
    reader: NodeLogReader<T>,
    run: RunId,
    node: u32,
    from: From,
    follow: bool,
    /// Everything before has been read.
    end: End,
    named: VecDeque<Name>,
    closed: Vec<End>,
    turn: Turn,
    /// The tail began after the stored part's end.
    behind: bool,
}

/// What comes next.
#[derive(Clone, Copy)]
enum Turn {
    /// See what is stored; the `last` time, because no host has any more.
    List { last: bool },
    /// Read what is listed.
    Stored { last: bool },
    /// Ask the host.
    Tail,
    /// There is no more.
    Over,
}

impl<T: LiveTail> Reading<T> {
    async fn next(&mut self) -> Result<Option<Vec<Line>>, NodeLogError> {
        loop {
            let lines = match self.turn {
                Turn::List { last } => {
                    self.list().await?;
                    self.turn = Turn::Stored { last };
                    Vec::new()
                }
                Turn::Stored { last } => match self.named.pop_front() {
                    Some(name) => self.stored(name).await?,
                    None if last => {
                        self.turn = Turn::Over;
                        self.cut_off()
                    }
                    None => {
                        self.turn = Turn::Tail;
                        Vec::new()
                    }
                },
                Turn::Tail => self.tail().await,
                Turn::Over => return Ok(None),
            };
            let lines: Vec<Line> = lines.into_iter().filter(|line| self.wanted(line)).collect();
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
    }

    fn wanted(&self, line: &Line) -> bool {
        match self.from {
            From::Record(number) => line.number >= number,
            From::Offset(offset) => {
                line.offset + line.record.size() > offset || line.record.kind == Kind::Gap
            }
        }
    }

    async fn list(&mut self) -> Result<(), NodeLogError> {
        let first = self.end == End::default();
        let found = self.reader.logs.chunks(self.run, self.node, self.end.record).await?;
        self.named = found.names.into();
        self.closed = found.closed;
        if first {
            // What lies before the beginning is not read.
            let before = |name: &Name| match self.from {
                From::Record(number) => name.end.record <= number,
                From::Offset(offset) => name.end.offset <= offset,
            };
            while self.named.get(1).is_some_and(before) {
                self.named.pop_front();
            }
            self.end = match self.named.front() {
                Some(name) if before(name) => name.end,
                _ => End::default(),
            };
        }
        Ok(())
    }

    async fn stored(&mut self, name: Name) -> Result<Vec<Line>, NodeLogError> {
        let key = folder(self.run, self.node).join(name.to_string());
        let attempting = "reading a log's chunk";
        let bytes = match self.reader.logs.store.get(&key).await {
            Ok(found) => found.bytes().await.map_err(failed(attempting))?,
            // It has expired meanwhile: the next chunk shows the gap.
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(failed(attempting)(error)),
        };
        let records = match chunk::decode(name, &bytes) {
            Ok((_, records)) => records,
            Err(error) => {
                tracing::warn!(run = %self.run, node = self.node, %error, "a part of a log cannot be read");
                return Ok(Vec::new());
            }
        };
        self.behind = false;
        let mut lines = self.up_to(name.end);
        lines.extend(self.place(records));
        Ok(lines)
    }

    /// Goes on at `end`; says so if something is missing before it.
    fn up_to(&mut self, end: End) -> Vec<Line> {
        let (from, until) = (self.end, end);
        self.end = self.end.max(end);
        if until.record <= from.record {
            return Vec::new();
        }
        let text = format!("[shipway] the lines {} to {} are missing", from.record, until.record - 1);
        vec![gap(from, text)]
    }

    fn place(&mut self, records: Vec<Record>) -> Vec<Line> {
        let place = |record: Record| {
            let line = Line { number: self.end.record, offset: self.end.offset, record };
            self.end = End { record: line.number + 1, offset: line.offset + line.record.size() };
            line
        };
        records.into_iter().map(place).collect()
    }

    async fn tail(&mut self) -> Vec<Line> {
        let wait = if self.follow { WAIT } else { Duration::ZERO };
        let asked = self.reader.tail.tail(self.run, self.node, self.end.record, wait).await;
        match asked {
            Ok(Some(tail)) if tail.stored > self.end.record && !self.behind => {
                // Stored since the store was looked at.
                (self.behind, self.turn) = (true, Turn::List { last: false });
                Vec::new()
            }
            Ok(Some(tail)) => {
                self.behind = false;
                self.turn = if self.follow { Turn::Tail } else { Turn::Over };
                let new = tail.lines.into_iter().filter(|line| line.number >= self.end.record);
                let new: Vec<Line> = new.collect();
                let Some(first) = new.first() else { return Vec::new() };
                let mut all = self.up_to(End { record: first.number, offset: first.offset });
                all.extend(self.place(new.into_iter().map(|line| line.record).collect()));
                all
            }
            Ok(None) => {
                self.turn = Turn::List { last: true };
                Vec::new()
            }
            Err(_) if self.follow => {
                tokio::time::sleep(PAUSE).await;
                self.turn = Turn::List { last: false };
                Vec::new()
            }
            Err(error) => {
                self.turn = Turn::Over;
                vec![gap(self.end, format!("[shipway] {error}"))]
            }
        }
    }

    /// Whether the log ends as no complete log does.
    fn cut_off(&self) -> Vec<Line> {
        if self.end == End::default() || self.closed.contains(&self.end) {
            return Vec::new();
        }
        let text =
            "[shipway] the log ends here: what its executor had not stored yet is lost, or still to come";
        vec![gap(self.end, text.to_owned())]
    }
}

fn gap(end: End, text: String) -> Line {
    Line {
        number: end.record,
        offset: end.offset,
        record: Record { kind: Kind::Gap, text: Bytes::from(text) },
    }
}
