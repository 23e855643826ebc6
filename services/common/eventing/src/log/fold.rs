//! Folding a stream into a state, from its snapshot where there is a good one.

use sha2::{Digest, Sha256};
use shipway_events::{RawEvent, StreamName, Version};

use super::{Log, ReadError, Snapshot};

/// How many events are read at once.
const PAGE: usize = 1_000;

/// A stream's state and the version that it is of.
///
/// `schema` is the number of the state's own shape: raise it with every change. `decode` turns a snapshot's bytes
/// into a state, or none if it cannot; then the stream is folded from its start, so a snapshot is never more than a
/// cache. `evolve` applies one event.
///
/// # Errors
/// `E` as `evolve` gives it, or made from the [`ReadError`] of the stream. A snapshot that cannot be read is no error.
pub async fn fold<S, E: From<ReadError>>(
    log: &dyn Log,
    stream: &StreamName,
    schema: u32,
    initial: S,
    decode: impl FnOnce(&[u8]) -> Option<S>,
    mut evolve: impl FnMut(S, &RawEvent) -> Result<S, E>,
) -> Result<(S, Version), E> {
    let snapshot = log.snapshot(stream, schema).await.unwrap_or_else(|error| {
        tracing::warn!(%stream, %error, "a snapshot could not be read; the stream is folded from its start");
        None
    });
    let kept = snapshot.and_then(|snapshot| Some((decode(&snapshot.state)?, snapshot.version)));
    let (mut state, mut version) = kept.unwrap_or((initial, 0));
    loop {
        let events = log.read_stream(stream, version, PAGE).await?;
        for event in &events {
            state = evolve(state, event)?;
            version = event.version;
        }
        if events.len() < PAGE {
            return Ok((state, version));
        }
    }
}

/// A snapshot's bytes with a digest before them, so that damage is no other state.
pub(super) fn seal(stream: &StreamName, schema: u32, snapshot: &Snapshot) -> Vec<u8> {
    let mut sealed = digest(stream, schema, snapshot).to_vec();
    sealed.extend_from_slice(&snapshot.state);
    sealed
}

/// The snapshot, if it is what was sealed.
pub(super) fn unseal(
    stream: &StreamName,
    schema: u32,
    version: Version,
    mut sealed: Vec<u8>,
) -> Option<Snapshot> {
    if sealed.len() < 32 {
        return None;
    }
    let state = sealed.split_off(32);
    let snapshot = Snapshot { version, state };
    (digest(stream, schema, &snapshot)[..] == sealed[..]).then_some(snapshot)
}

fn digest(stream: &StreamName, schema: u32, snapshot: &Snapshot) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(stream.as_str());
    hash.update([0]);
    hash.update(schema.to_be_bytes());
    hash.update(snapshot.version.to_be_bytes());
    hash.update(&snapshot.state);
    hash.finalize().into()
}
