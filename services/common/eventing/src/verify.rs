//! Proves a log whole, or names the first position that is not.
//!
//! Every row is read as it is stored and its hash computed again from the row before: what was changed, removed,
//! swapped or put in breaks the chain there. The head and the streams' recorded versions guard the end. Data that a
//! retention rule erased leaves its digest, so the chain holds over it.

use std::{collections::HashMap, fmt};

use shipway_events::{Position, Version};

use crate::log::{Form, GENESIS, Log, ReadError, Stored};

/// How many rows are read at once.
const PAGE: usize = 2_000;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Events read, up to the first bad one.
    pub events: u64,
    /// Streams that they belong to.
    pub streams: u64,
    /// Events whose data is a blob.
    pub blobs: u64,
    /// Events whose data was erased by a retention rule.
    pub erased: u64,
    /// The end of the log, or of its good part.
    pub head: Position,
    /// The first thing that is wrong.
    pub bad: Option<Bad>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.bad.is_none()
    }
}

/// A position where the log is not what was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Where.
    pub position: Position,
    /// What is wrong there.
    pub why: Why,
}

/// What is wrong with a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no such row.
    Missing,
    /// The hash does not follow from the row and the one before: one of them was changed, swapped or put in.
    BrokenChain,
    /// The event is not the next of its stream.
    WrongVersion {
        /// The version it should have.
        expected: Version,
        /// The version it has.
        found: Version,
    },
    /// The first event of a command says another number of events than the command has.
    WrongItem,
    /// The row's data is in a blob that is missing or damaged.
    Blob(String),
    /// The row is after the recorded end of the log.
    BeyondHead,
    /// The recorded end of the log has another hash.
    WrongHead,
    /// The stream's recorded version is not that of its last event, which is here.
    WrongStream {
        /// The stream.
        stream: String,
        /// The version that is recorded for it.
        recorded: Version,
    },
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {}: ", self.position)?;
        match &self.why {
            Why::Missing => f.write_str("the event is missing"),
            Why::BrokenChain => {
                f.write_str("the hash does not fit: the event was changed, swapped or put in")
            }
            Why::WrongVersion { expected, found } => {
                write!(f, "the event has version {found} of its stream, not {expected}")
            }
            Why::WrongItem => f.write_str("the number of events of its command is wrong"),
            Why::Blob(why) => write!(f, "the event's data is not in the blobs: {why}"),
            Why::BeyondHead => f.write_str("the event is after the recorded end of the log"),
            Why::WrongHead => f.write_str("the recorded end of the log has another hash"),
            Why::WrongStream { stream, recorded } => {
                write!(
                    f,
                    "stream {stream} is recorded with version {recorded}, which is not its last event's"
                )
            }
        }
    }
}

/// Reads the whole log. Appends may go on meanwhile; they are read too.
///
/// # Errors
/// Only if the log cannot be read; what is wrong in it is in the report.
pub async fn verify(log: &dyn Log) -> Result<Report, ReadError> {
    verify_telling(log, |_| {}).await
}

/// Like [`verify`], and tells now and then up to where the log is whole.
///
/// # Errors
/// As [`verify`].
pub async fn verify_telling(
    log: &dyn Log,
    mut tell: impl FnMut(Position) + Send,
) -> Result<Report, ReadError> {
    let mut check = Check::default();
    loop {
        tell(check.last);
        let rows = match log.stored(check.last, PAGE).await {
            // An archive's.
            Err(ReadError::Blob { source, .. }) => {
                return Ok(check.report(Some(Why::Blob(source.to_string()))));
            }
            rows => rows?,
        };
        let end = rows.is_empty();
        for row in rows {
            let found = match check.row(&row) {
                Some(why) => Some(why),
                None if row.form == Form::Blob.number() => {
                    log.large(&row.data).await.err().map(|error| Why::Blob(error.to_string()))
                }
                None => None,
            };
            if let Some(why) = found {
                return Ok(check.report(Some(why)));
            }
            check.accept(row);
        }
        if end && let Some(report) = check.end(log).await? {
            return Ok(report);
        }
    }
}

#[derive(Default)]
struct Check {
    last: Position,
    hash: Option<[u8; 32]>,
    /// Version and position of the last event of each stream, by number.
    streams: HashMap<i64, (Version, Position)>,
    /// The current command, and how many of its events are still to come.
    command: (Vec<u8>, i64),
    blobs: u64,
    erased: u64,
}

impl Check {
    fn row(&self, row: &Stored) -> Option<Why> {
        if row.position != self.last + 1 {
            return Some(Why::Missing);
        }
        let link = row.link(&self.hash.unwrap_or(GENESIS));
        if link.is_none_or(|link| link[..] != row.hash[..]) {
            return Some(Why::BrokenChain);
        }
        let expected = self.streams.get(&row.stream).map_or(0, |(version, _)| *version) + 1;
        if row.version != expected {
            return Some(Why::WrongVersion { expected, found: row.version });
        }
        let goes_on = self.command.1 > 0;
        let fits = match row.items {
            None => goes_on && row.command == self.command.0,
            Some(items) => !goes_on && items > 0,
        };
        (!fits).then_some(Why::WrongItem)
    }

    fn accept(&mut self, row: Stored) {
        self.last = row.position;
        self.hash = row.hash.try_into().ok();
        self.streams.insert(row.stream, (row.version, row.position));
        self.blobs += u64::from(row.form == Form::Blob.number());
        self.erased += u64::from(row.form == Form::Erased.number());
        self.command = (row.command, row.items.unwrap_or(self.command.1) - 1);
    }

    /// No more rows: none if more have been appended since.
    async fn end(&self, log: &dyn Log) -> Result<Option<Report>, ReadError> {
        let head = log.head().await?;
        if head.position > self.last {
            let appended_since = !log.stored(self.last, 1).await?.is_empty();
            return Ok((!appended_since).then(|| self.report(Some(Why::Missing))));
        }
        if head.position < self.last {
            return Ok(Some(self.report_at(head.position + 1, Why::BeyondHead)));
        }
        if head.hash != self.hash.unwrap_or(GENESIS) {
            return Ok(Some(self.report_at(self.last, Why::WrongHead)));
        }
        if self.command.1 > 0 {
            return Ok(Some(self.report_at(self.last, Why::WrongItem)));
        }
        let wrong = self.wrong_stream(log).await?;
        if log.head().await? != head {
            return Ok(None);
        }
        Ok(Some(wrong.unwrap_or_else(|| self.report(None))))
    }

    async fn wrong_stream(&self, log: &dyn Log) -> Result<Option<Report>, ReadError> {
        let mut after = 0;
        loop {
            let page = log.streams(after, PAGE).await?;
            let Some(&(last, ..)) = page.last() else { return Ok(None) };
            after = last;
            for (number, stream, recorded) in page {
                let (version, position) = self.streams.get(&number).copied().unwrap_or((0, self.last));
                if recorded != version {
                    let why = Why::WrongStream { stream, recorded };
                    return Ok(Some(self.report_at(position, why)));
                }
            }
        }
    }

    fn report(&self, why: Option<Why>) -> Report {
        Report {
            events: self.last,
            streams: self.streams.len() as u64,
            blobs: self.blobs,
            erased: self.erased,
            head: self.last,
            bad: why.map(|why| Bad { position: self.last + 1, why }),
        }
    }

    fn report_at(&self, position: Position, why: Why) -> Report {
        Report { bad: Some(Bad { position, why }), ..self.report(None) }
    }
}
