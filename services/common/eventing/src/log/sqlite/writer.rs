//! The one writer of the embedded log.
//!
//! Because this process is the only one that writes (the data folder's lock sees to it), the head and the
//! versions of recently used streams are known here. What is not known is found out by trying: the unique indexes
//! refuse a known command or an existing stream, then both are looked up and the batch is decided again.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use shipway_events::{CommandId, Position, StreamName, Timestamp, Version};
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::watch;

use super::{file::SqliteFile, schema};
use crate::{
    failing,
    log::{
        AppendError, Appended, Head,
        chain::Link,
        clock::Clock,
        group::{Outcome, Writer},
        prepare::Prepared,
        rows::{self, AnswerRow},
    },
};

/// How many streams' versions are kept in memory; about 150 bytes each.
const KNOWN_STREAMS: usize = 20_000;

pub(super) struct SqliteWriter {
    pub connection: SqliteConnection,
    pub file: SqliteFile,
    pub clock: Arc<Clock>,
    pub tail: watch::Sender<Position>,
    pub head: Head,
    pub last_stream: i64,
    /// Whether the last transaction failed, so that what is known here may be wrong.
    pub doubtful: bool,
    pub streams: HashMap<StreamName, Known>,
}

/// A stream as the database has it.
#[derive(Clone, Copy)]
pub(super) struct Known {
    number: i64,
    version: Version,
}

type EventRow<'a> = (Position, i64, Version, &'static str, u16, i64, Option<usize>, i64, &'a str, &'a str);

/// What a batch comes to.
#[derive(Default)]
struct Decided<'a> {
    outcomes: Vec<Outcome>,
    created: Vec<(i64, &'a str, Version)>,
    streams: HashMap<&'a StreamName, Known>,
    events: Vec<EventRow<'a>>,
    commands: Vec<u8>,
    hashes: Vec<u8>,
}

#[async_trait]
impl Writer for SqliteWriter {
    async fn commit(&mut self, items: &[Prepared]) -> Result<Vec<Outcome>, sqlx::Error> {
        let gate = self.file.gate.clone();
        let _turn = gate.enter().await;
        if self.doubtful {
            self.forget().await?;
        }
        let writes = || items.iter().flat_map(|item| &item.writes);
        let mut answers = match writes().any(|write| self.must_look_up(write)) {
            true => Some(self.look_up(items).await?),
            false => None,
        };
        loop {
            let at = self.clock.now().max(self.head.at);
            let (decided, head) = self.decide(items, answers.as_ref(), at);
            // A conflict may be a known command's, which gets its old answer instead.
            if answers.is_none() && decided.outcomes.iter().any(Result::is_err) {
                answers = Some(self.look_up(items).await?);
                continue;
            }
            if decided.events.is_empty() {
                return Ok(decided.outcomes);
            }
            match self.insert(&decided, head).await {
                Ok(()) => return Ok(self.committed(decided, head)),
                Err(error) => {
                    self.doubtful = true;
                    self.forget().await?;
                    let unknown = error.as_database_error().is_some_and(|error| error.is_unique_violation());
                    if answers.is_some() || !unknown {
                        return Err(error);
                    }
                    answers = Some(self.look_up(items).await?);
                }
            }
        }
    }

    async fn close(self) {
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "the log's writer could not be closed cleanly");
        }
    }
}

impl SqliteWriter {
    /// Whether the stream's version is needed but not known.
    fn must_look_up(&self, write: &crate::log::prepare::PreparedWrite) -> bool {
        write.expected.version() != Some(0) && !self.streams.contains_key(&write.stream)
    }

    /// Reads the items' streams, and the answers of those commands that are known.
    async fn look_up(&mut self, items: &[Prepared]) -> Result<HashMap<CommandId, Appended>, sqlx::Error> {
        let names: Vec<_> =
            items.iter().flat_map(|item| &item.writes).map(|write| write.stream.as_str()).collect();
        let find = sqlx::query_as(schema::STREAMS_BY_NAME).bind(json(&names));
        let found: Vec<(i64, String, i64)> =
            failing!("db.lite.find_streams", find.fetch_all(&mut self.connection).await)?;
        for (number, name, version) in found {
            if let Ok(name) = StreamName::parse(&name) {
                self.streams.insert(name, Known { number, version: version.cast_unsigned() });
            }
        }
        let commands: Vec<_> = items.iter().map(|item| hex::encode(item.command.uuid())).collect();
        let find = sqlx::query_as(schema::ANSWERS).bind(json(&commands));
        let rows: Vec<AnswerRow> =
            failing!("db.lite.find_commands", find.fetch_all(&mut self.connection).await)?;
        Ok(rows::answers(rows))
    }

    /// Pure: what the items come to on top of what is known, and the head afterwards.
    fn decide<'a>(
        &self,
        items: &'a [Prepared],
        answers: Option<&HashMap<CommandId, Appended>>,
        at: Timestamp,
    ) -> (Decided<'a>, Head) {
        let mut decided = Decided::default();
        let mut head = self.head;
        for item in items {
            let outcome = match answers.and_then(|answers| answers.get(&item.command)) {
                Some(answer) => Ok(answer.clone()),
                None => self.decide_item(item, at, &mut decided, &mut head),
            };
            decided.outcomes.push(outcome);
        }
        (decided, head)
    }

    fn decide_item<'a>(
        &self,
        item: &'a Prepared,
        at: Timestamp,
        decided: &mut Decided<'a>,
        head: &mut Head,
    ) -> Outcome {
        for write in &item.writes {
            let actual = self.known(decided, &write.stream).map_or(0, |known| known.version);
            if !write.expected.allows(actual) {
                let (stream, expected) = (write.stream.clone(), write.expected);
                return Err(AppendError::Conflict { stream, expected, actual });
            }
        }
        let first = head.position + 1;
        let command = item.command.uuid();
        let mut versions = Vec::with_capacity(item.writes.len());
        for write in &item.writes {
            let new = Known { number: self.last_stream + 1 + decided.created.len() as i64, version: 0 };
            let known = self.known(decided, &write.stream);
            let mut stream = known.unwrap_or(new);
            for event in &write.events {
                stream.version += 1;
                head.position += 1;
                let link = Link {
                    digest: event.digest,
                    position: head.position,
                    version: stream.version,
                    at: at.micros(),
                    schema: event.schema.into(),
                    command: command.as_bytes(),
                    stream: write.stream.as_str(),
                    kind: event.kind,
                    meta: &item.meta,
                };
                head.hash = link.after(&head.hash);
                decided.commands.extend_from_slice(command.as_bytes());
                decided.hashes.extend_from_slice(&head.hash);
                decided.events.push((
                    head.position,
                    stream.number,
                    stream.version,
                    event.kind,
                    event.schema,
                    event.form.number(),
                    (head.position == first).then_some(item.events),
                    at.micros(),
                    &item.meta,
                    &event.data,
                ));
            }
            if known.is_none() {
                decided.created.push((stream.number, write.stream.as_str(), 0));
            }
            decided.streams.insert(&write.stream, stream);
            versions.push((write.stream.clone(), stream.version));
        }
        head.at = at;
        Ok(Appended { first, last: head.position, at, versions, duplicate: false })
    }

    fn known(&self, decided: &Decided<'_>, stream: &StreamName) -> Option<Known> {
        decided.streams.get(stream).or_else(|| self.streams.get(stream)).copied()
    }

    async fn insert(&mut self, decided: &Decided<'_>, head: Head) -> Result<(), sqlx::Error> {
        let versions: Vec<_> =
            decided.streams.values().map(|stream| (stream.number, stream.version)).collect();
        let append = sqlx::query(schema::APPEND)
            .bind(json(&decided.created))
            .bind(json(&versions))
            .bind(json(&decided.events))
            .bind(&decided.commands)
            .bind(&decided.hashes)
            .bind(head.position.cast_signed())
            .bind(head.at.micros())
            .bind(head.hash.as_slice())
            .execute(&mut self.connection);
        failing!("db.lite.append", append.await)?;
        Ok(())
    }

    /// Takes over what was committed, and tells the readers.
    fn committed(&mut self, decided: Decided<'_>, head: Head) -> Vec<Outcome> {
        if self.streams.len() + decided.streams.len() > KNOWN_STREAMS {
            self.streams.clear();
        }
        self.last_stream += decided.created.len() as i64;
        for (name, stream) in decided.streams {
            match self.streams.get_mut(name) {
                Some(known) => *known = stream,
                None => drop(self.streams.insert(name.clone(), stream)),
            }
        }
        self.head = head;
        self.file.wal.written(decided.events.len());
        self.tail.send_replace(head.position);
        decided.outcomes
    }

    /// After a failure: ends the transaction if one is open, and asks the database for what is true.
    async fn forget(&mut self) -> Result<(), sqlx::Error> {
        // Without an open transaction this is refused, which is fine.
        drop(sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await);
        self.streams.clear();
        self.last_stream = sqlx::query_scalar(schema::LAST_STREAM).fetch_one(&mut self.connection).await?;
        self.head = read_head(&mut self.connection).await?;
        self.doubtful = false;
        Ok(())
    }
}

/// The end of the log as the database has it.
pub(super) async fn read_head<'c>(
    executor: impl sqlx::Executor<'c, Database = sqlx::Sqlite>,
) -> Result<Head, sqlx::Error> {
    let row = failing!("db.lite.head", sqlx::query(schema::HEAD).fetch_one(executor).await)?;
    let hash: Vec<u8> = row.try_get("hash")?;
    let hash =
        hash.try_into().map_err(|_| sqlx::Error::Protocol("the head's hash is not 32 bytes".into()))?;
    let position = row.try_get::<i64, _>("position")?.cast_unsigned();
    Ok(Head { position, hash, at: Timestamp::from_micros(row.try_get("at")?) })
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists of numbers and texts are JSON")
}
