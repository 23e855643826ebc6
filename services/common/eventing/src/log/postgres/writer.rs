//! This process' connection to the function `append`.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use serde::Serialize;
use shipway_events::{Position, StreamName, Timestamp};
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::watch;

use super::{
    connect::{Server, within},
    sql,
};
use crate::{
    failing,
    log::{
        AppendError, Appended,
        clock::Clock,
        group::{Outcome, Writer},
        prepare::Prepared,
    },
};

pub(super) struct PostgresWriter {
    pub server: Server,
    /// None after a failure, until the next commit.
    pub connection: Option<PgConnection>,
    pub clock: Arc<Clock>,
    pub tail: watch::Sender<Position>,
}

/// The argument of the function `append`; see its comment.
#[derive(Default, Serialize)]
struct Batch<'a> {
    streams: Vec<&'a str>,
    items: Vec<BatchItem<'a>>,
    events: Vec<BatchEvent<'a>>,
}

#[derive(Serialize)]
struct BatchItem<'a> {
    c: uuid::Uuid,
    m: &'a str,
    w: usize,
    s: Vec<usize>,
    e: Vec<i64>,
    n: Vec<usize>,
}

#[derive(Serialize)]
struct BatchEvent<'a> {
    i: usize,
    w: usize,
    o: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<usize>,
    k: &'static str,
    v: u16,
    f: i64,
    d: &'a str,
}

#[async_trait]
impl Writer for PostgresWriter {
    async fn commit(&mut self, items: &[Prepared]) -> Result<Vec<Outcome>, sqlx::Error> {
        let batch = serde_json::to_string(&batch(items)).expect("a batch has only string keys");
        let connected = self.connection.is_some();
        let rows = match self.call(&batch).await {
            // The connection was cut, and nobody knows whether the batch was committed: the command ids make it
            // harmless to hand it over again. What could not even be made, or did not answer, is not waited for twice.
            Err(error) if connected && is_cut(&error) => self.call(&batch).await?,
            answer => answer?,
        };
        let outcomes: Vec<_> =
            items.iter().zip(&rows).map(|(item, row)| outcome(item, row)).collect::<Result<_, _>>()?;
        let last = |outcome: &Outcome| outcome.as_ref().ok().map(|answer| (answer.last, answer.at));
        if let Some((position, at)) = outcomes.iter().filter_map(last).max() {
            self.clock.observe(at);
            super::announce(&self.tail, position);
        }
        Ok(outcomes)
    }

    async fn close(self) {
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the log's writer could not be closed cleanly");
        }
    }
}

impl PostgresWriter {
    async fn call(&mut self, batch: &str) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => failing!("db.pg.connect", self.server.writer().await)?,
        };
        let append = sqlx::query(sql::APPEND).bind(batch);
        let rows = failing!("db.pg.append", within(append.fetch_all(&mut connection)).await);
        if !rows.as_ref().err().is_some_and(is_lost) {
            self.connection = Some(connection);
        }
        rows
    }
}

/// Whether the connection was cut, and another may be had at once.
fn is_cut(error: &sqlx::Error) -> bool {
    let silent = matches!(error, sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::TimedOut);
    is_lost(error) && !silent
}

/// Whether the connection is gone with this error. After one like a lock timeout it is good.
fn is_lost(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().map(sqlx::error::DatabaseError::code);
    // Class 08: connection exceptions; 57P: the server ends the connection.
    code.is_none_or(|code| code.is_some_and(|code| code.starts_with("08") || code.starts_with("57P")))
}

fn batch(items: &[Prepared]) -> Batch<'_> {
    let mut batch = Batch::default();
    let mut streams: HashMap<&StreamName, usize> = HashMap::new();
    let mut writes = 0;
    for (i, item) in items.iter().enumerate() {
        let before = writes;
        let mut s = Vec::with_capacity(item.writes.len());
        let mut lead = Some(item.events);
        for write in &item.writes {
            s.push(*streams.entry(&write.stream).or_insert_with(|| {
                batch.streams.push(write.stream.as_str());
                batch.streams.len()
            }));
            writes += 1;
            for (o, event) in write.events.iter().enumerate() {
                batch.events.push(BatchEvent {
                    i: i + 1,
                    w: writes,
                    o: o + 1,
                    t: lead.take(),
                    k: event.kind,
                    v: event.schema,
                    f: event.form.number(),
                    d: &event.data,
                });
            }
        }
        batch.items.push(BatchItem {
            c: item.command.uuid(),
            m: &item.meta,
            w: before,
            s,
            e: item
                .writes
                .iter()
                .map(|write| write.expected.version().map_or(-1, u64::cast_signed))
                .collect(),
            n: item.writes.iter().map(|write| write.events.len()).collect(),
        });
    }
    batch
}

fn outcome(item: &Prepared, row: &sqlx::postgres::PgRow) -> Result<Outcome, sqlx::Error> {
    let status: &str = row.try_get("status")?;
    let names: Vec<String> = row.try_get("names")?;
    let versions: Vec<i64> = row.try_get("versions")?;
    let name = |name: String| StreamName::parse(&name).map_err(|error| sqlx::Error::Decode(error.into()));
    let mut versions = names
        .into_iter()
        .zip(versions)
        .map(|(stream, version)| Ok((name(stream)?, version.cast_unsigned())))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    if status != "conflict" {
        return Ok(Ok(Appended {
            first: row.try_get::<i64, _>("first")?.cast_unsigned(),
            last: row.try_get::<i64, _>("last")?.cast_unsigned(),
            at: Timestamp::from_micros(row.try_get("time")?),
            versions,
            duplicate: status == "known",
        }));
    }
    let (stream, actual) = versions.pop().ok_or(sqlx::Error::RowNotFound)?;
    let write = item.writes.iter().find(|write| write.stream == stream).ok_or(sqlx::Error::RowNotFound)?;
    Ok(Err(AppendError::Conflict { expected: write.expected, stream, actual }))
}
