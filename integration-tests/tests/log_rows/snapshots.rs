//! L-15: a snapshot is only a cache: without it, with a damaged one and with an old one the state is the same.

use shipway_eventing::{Expected, Log, ReadError, Snapshot, fold};
use shipway_events::{StreamName, Version};

use crate::given::{Given, item, stream};

const STREAMS: u64 = 60;
const EVENTS: usize = 40;
const SCHEMA: u32 = 3;

/// A state that depends on every event and on their order.
type State = u64;

pub(crate) async fn a_snapshot_is_only_a_cache(given: &Given) {
    let log = &*given.log;
    let mut expected = Vec::new();
    for n in 0..STREAMS {
        let name = stream(format!("run-{n}"));
        log.append(item(&name, Expected::New, EVENTS)).await.unwrap();
        let (state, version) = load(log, &name, SCHEMA).await;
        log.put_snapshot(&name, SCHEMA, Snapshot { version, state: state.to_be_bytes().to_vec() })
            .await
            .unwrap();
        log.append(item(&name, Expected::Version(version), 5)).await.unwrap();
        expected.push(replay(log, &name).await);
    }
    // A good one is used: it saves reading what it holds.
    let mut used = 0;
    let mut different = 0;
    for (n, expected) in expected.iter().enumerate() {
        let name = stream(format!("run-{n}"));
        used += usize::from(log.snapshot(&name, SCHEMA).await.unwrap().is_some());
        different += usize::from(load(log, &name, SCHEMA).await != *expected);
    }
    let mut direct = given.direct().await;
    let zeros = if given.is_postgres() { "decode(repeat('00', 40), 'hex')" } else { "zeroblob(40)" };
    let empty = if given.is_postgres() { "''::bytea" } else { "x''" };
    let damages = [
        "DELETE FROM snapshots WHERE stream % 6 = 0".to_owned(),
        format!("UPDATE snapshots SET state = {zeros} WHERE stream % 6 = 1"),
        format!("UPDATE snapshots SET state = {empty} WHERE stream % 6 = 2"),
        "UPDATE snapshots SET version = version + 1 WHERE stream % 6 = 3".to_owned(),
        "UPDATE snapshots SET version = 1000 WHERE stream % 6 = 4".to_owned(),
        // Made by another shape of the state.
        "UPDATE snapshots SET schema = schema - 1 WHERE stream % 6 = 5".to_owned(),
    ];
    for damage in &damages {
        direct.run(damage).await;
    }
    let (mut left, mut errors) = (0, 0);
    for (n, expected) in expected.iter().enumerate() {
        let name = stream(format!("run-{n}"));
        match log.snapshot(&name, SCHEMA).await {
            Ok(snapshot) => left += usize::from(snapshot.is_some()),
            Err(_) => errors += 1,
        }
        different += usize::from(load(log, &name, SCHEMA).await != *expected);
        different += usize::from(load(log, &name, SCHEMA + 1).await != *expected);
    }
    println!(
        "ROW L-15 {} streams={STREAMS} used={used} damaged={} used_after={left} different={different} errors={errors}",
        given.name(),
        STREAMS,
    );
    assert_eq!((used as u64, left, different, errors), (STREAMS, 0, 0, 0));
}

async fn load(log: &dyn Log, name: &StreamName, schema: u32) -> (State, Version) {
    let decode = |bytes: &[u8]| Some(State::from_be_bytes(bytes.try_into().ok()?));
    let fold =
        fold(log, name, schema, 7, decode, |state, event| Ok::<_, ReadError>(evolve(state, &event.data)));
    fold.await.unwrap()
}

/// Every event from the first, no cache.
async fn replay(log: &dyn Log, name: &StreamName) -> (State, Version) {
    let events = log.read_stream(name, 0, 1_000).await.unwrap();
    let state = events.iter().fold(7, |state, event| evolve(state, &event.data));
    (state, events.len() as u64)
}

fn evolve(state: State, data: &str) -> State {
    data.bytes().fold(state, |state, byte| state.wrapping_mul(31).wrapping_add(u64::from(byte)))
}
