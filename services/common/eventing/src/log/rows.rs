//! What both databases' rows are read into. They answer the same columns in the same types.

use std::collections::HashMap;

use shipway_events::{CommandId, RawEvent, StreamName, Timestamp};

use super::{Appended, Form, Log, ReadError, Stored, chain::command_id};
use crate::blobs::{BlobError, BlobId};

/// Reads a row with the columns of `READ` into a [`Stored`].
macro_rules! stored {
    ($row:expr) => {{
        let row = $row;
        $crate::log::Stored {
            position: row.try_get::<i64, _>("position")?.cast_unsigned(),
            stream: row.try_get("stream")?,
            name: row.try_get("name")?,
            version: row.try_get::<i64, _>("version")?.cast_unsigned(),
            kind: row.try_get("kind")?,
            schema: row.try_get("schema")?,
            form: row.try_get("form")?,
            data: row.try_get("data")?,
            command: row.try_get("command")?,
            items: row.try_get("items")?,
            meta: row.try_get("meta")?,
            at: row.try_get("at")?,
            hash: row.try_get("hash")?,
        }
    }};
}
pub(super) use stored;

/// A row of the query for old answers.
pub(super) type AnswerRow = (Vec<u8>, i64, i64, i64, String, i64);

/// The answers by command, from a row per command and stream.
pub(super) fn answers(rows: Vec<AnswerRow>) -> HashMap<CommandId, Appended> {
    let mut answers: HashMap<CommandId, Appended> = HashMap::new();
    for (command, first, items, at, name, version) in rows {
        let (Some(command), Ok(stream)) = (command_id(&command), StreamName::parse(&name)) else { continue };
        let first = first.cast_unsigned();
        let answer = answers.entry(command).or_insert_with(|| Appended {
            first,
            last: first + items.cast_unsigned() - 1,
            at: Timestamp::from_micros(at),
            versions: Vec::new(),
            duplicate: true,
        });
        answer.versions.push((stream, version.cast_unsigned()));
    }
    answers
}

/// Checks that nothing is missing after `after` and fetches large data.
pub(crate) async fn events(
    log: &dyn Log,
    rows: Vec<Stored>,
    after: u64,
    number: fn(&Stored) -> u64,
) -> Result<Vec<RawEvent>, ReadError> {
    let mut events = Vec::with_capacity(rows.len());
    for (mut row, expected) in rows.into_iter().zip(after + 1..) {
        if number(&row) != expected {
            return Err(ReadError::Gap { expected, found: number(&row) });
        }
        let position = row.position;
        match Form::from_number(row.form) {
            Some(Form::Inline) => {}
            Some(Form::Blob) => {
                let data = log.large(&row.data).await;
                row.data = data.map_err(|source| ReadError::Blob { position, source })?;
            }
            Some(Form::Erased) => return Err(ReadError::Erased { position }),
            None => {
                return Err(ReadError::Damaged { position, what: format!("its form is {}", row.form) });
            }
        }
        events.push(row.into_event()?);
    }
    Ok(events)
}

/// The text of the blob with this digest in hex.
pub(super) async fn large(blobs: Option<&crate::blobs::Blobs>, digest: &str) -> Result<String, BlobError> {
    let blobs = blobs.ok_or(BlobError::NotConfigured)?;
    let mut bytes = [0; 32];
    // What is no digest is the name of no blob.
    let id = match hex::decode_to_slice(digest, &mut bytes) {
        Ok(()) => BlobId::from_digest(bytes),
        Err(_) => return Err(BlobError::Missing(BlobId::from_digest([0; 32]))),
    };
    let content = blobs.get(&id).await?;
    String::from_utf8(content.into()).map_err(|_| BlobError::Damaged { id: id.clone(), found: id })
}
