//! An item made ready for any database: checked, its metadata as text, large data put away, digests taken.

use shipway_events::{CommandId, StreamName};

use super::{AppendError, Expected, Item, chain::Form};
use crate::blobs::{BlobError, BlobId, Blobs};

/// Event data up to this size in bytes is in the log itself; larger data is a blob that the log names.
pub const MAX_INLINE: usize = 256 * 1024;

/// How many events one command may write.
pub const MAX_ITEM_EVENTS: usize = 50_000;

/// How many bytes of data one command may write, blobs included.
pub const MAX_ITEM_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub(crate) struct Prepared {
    pub command: CommandId,
    pub meta: String,
    pub writes: Vec<PreparedWrite>,
    pub events: usize,
}

#[derive(Debug)]
pub(crate) struct PreparedWrite {
    pub stream: StreamName,
    pub expected: Expected,
    pub events: Vec<PreparedEvent>,
}

#[derive(Debug)]
pub(crate) struct PreparedEvent {
    pub kind: &'static str,
    pub schema: u16,
    pub form: Form,
    /// The data, or its digest in hex.
    pub data: String,
    pub digest: [u8; 32],
}

/// Does in the caller's task what needs no order.
pub(crate) async fn prepare(item: Item, blobs: Option<&Blobs>) -> Result<Prepared, AppendError> {
    let events = check(&item)?;
    let meta = serde_json::to_string(&item.meta).expect("metadata has only string keys");
    let mut writes = Vec::with_capacity(item.writes.len());
    for write in item.writes {
        let mut prepared = Vec::with_capacity(write.events.len());
        for event in write.events {
            let (kind, schema) = (event.kind, event.schema);
            let digest = super::chain::digest(&event.data);
            let (form, data) = if event.data.len() <= MAX_INLINE {
                (Form::Inline, event.data)
            } else {
                let blobs = blobs.ok_or(AppendError::Blob(BlobError::NotConfigured))?;
                blobs.put(event.data).await.map_err(AppendError::Blob)?;
                (Form::Blob, BlobId::from_digest(digest).hex().to_owned())
            };
            prepared.push(PreparedEvent { kind, schema, form, data, digest });
        }
        writes.push(PreparedWrite { stream: write.stream, expected: write.expected, events: prepared });
    }
    Ok(Prepared { command: item.command, meta, writes, events })
}

fn check(item: &Item) -> Result<usize, AppendError> {
    if item.writes.is_empty() || item.writes.iter().any(|write| write.events.is_empty()) {
        return Err(AppendError::Empty);
    }
    for (index, write) in item.writes.iter().enumerate() {
        if item.writes[..index].iter().any(|earlier| earlier.stream == write.stream) {
            return Err(AppendError::RepeatedStream(write.stream.clone()));
        }
    }
    let events = item.writes.iter().map(|write| write.events.len()).sum();
    let data = item.writes.iter().flat_map(|write| &write.events).map(|event| event.data.len());
    for (unit, size, limit) in
        [("events", events, MAX_ITEM_EVENTS), ("bytes", data.sum::<usize>(), MAX_ITEM_BYTES)]
    {
        if size > limit {
            return Err(AppendError::TooLarge { unit, size, limit });
        }
    }
    Ok(events)
}

/// Prepares all items and hands those that may be appended over together.
pub(crate) async fn append_all(
    items: Vec<Item>,
    blobs: Option<&Blobs>,
    group: &super::group::Group,
) -> Vec<super::group::Outcome> {
    let mut refused = Vec::with_capacity(items.len());
    let mut ready = Vec::with_capacity(items.len());
    for item in items {
        match prepare(item, blobs).await {
            Ok(item) => {
                ready.push(item);
                refused.push(None);
            }
            Err(error) => refused.push(Some(error)),
        }
    }
    let mut outcomes = group.append(ready).await.into_iter();
    let mut next = || outcomes.next().unwrap_or(Err(AppendError::Closed));
    refused.into_iter().map(|error| error.map_or_else(&mut next, Err)).collect()
}
