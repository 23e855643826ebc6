//! Reading.

use shipway_eventing::{AppendError, Expected, Item, Snapshot};
use shipway_events::{Actor, Cause, Meta, NewEvent};

use crate::fixture::{Fixture, command, event, item, meta, stream};

pub(crate) async fn a_stream_is_read_from_a_version_and_the_log_from_a_position(given: &Fixture) {
    given.append("run-a", Expected::New, 3).await.unwrap();
    given.append("run-b", Expected::New, 2).await.unwrap();
    given.append("run-a", Expected::Any, 1).await.unwrap();
    let log = &given.log;
    let positions =
        |events: Vec<shipway_events::RawEvent>| -> Vec<_> { events.iter().map(|e| e.position).collect() };
    assert_eq!(positions(log.read_stream(&stream("run-a"), 0, 100).await.unwrap()), [1, 2, 3, 6]);
    assert_eq!(positions(log.read_stream(&stream("run-a"), 2, 1).await.unwrap()), [3]);
    assert_eq!(positions(log.read_stream(&stream("run-a"), 4, 10).await.unwrap()), [0; 0]);
    assert_eq!(positions(log.read_stream(&stream("run-z"), 0, 10).await.unwrap()), [0; 0]);
    assert_eq!(positions(log.read(0, 2).await.unwrap()), [1, 2]);
    assert_eq!(positions(log.read(2, 3).await.unwrap()), [3, 4, 5]);
    assert_eq!(positions(log.read(6, 10).await.unwrap()), [0; 0]);
    assert_eq!(positions(log.read(99, 10).await.unwrap()), [0; 0]);
}

pub(crate) async fn everything_of_the_envelope_comes_back(given: &Fixture) {
    let id = command();
    let meta = Meta {
        actor: Actor::System("scheduler".into()),
        cause: Cause::Event(41),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    };
    let odd = r#"{"text":"quote \" back \\ nul \u0000 tab \t","emoji":"🚢","snow":"☃","n":1e300}"#;
    let new = NewEvent { kind: "run.node_succeeded", schema: 7, data: odd.into() };
    let item = Item::one(id, meta.clone(), stream("run-a"), Expected::New, vec![new, event("[]")]);
    let answer = given.log.append(item).await.unwrap();
    let events = given.read_all().await;
    let first = &events[0];
    assert_eq!((first.kind.as_str(), first.schema, first.data.as_str()), ("run.node_succeeded", 7, odd));
    assert_eq!((first.command, &first.meta, first.at), (id, &meta, answer.at));
    assert_eq!((events[1].command, &events[1].meta, events[1].version), (id, &meta, 2));
}

pub(crate) async fn large_data_is_a_blob_and_reads_like_any_other(given: &Fixture) {
    let large = format!("\"{}\"", "ü".repeat(200_000));
    let events = vec![event("1"), event(large.clone()), event("3")];
    given.log.append(Item::one(command(), meta(), stream("run-a"), Expected::New, events)).await.unwrap();
    let data: Vec<_> = given.read_all().await.into_iter().map(|event| event.data).collect();
    assert_eq!(data, ["1", &large, "3"]);
    let report = shipway_eventing::verify::verify(&*given.log).await.unwrap();
    assert_eq!((report.blobs, report.bad), (1, None));
    // A blob that is gone is an error of the reader, not an event with other data.
    std::fs::remove_dir_all(given.folder.path().join("blobs/sha256")).unwrap();
    let error = given.log.read(0, 10).await.unwrap_err();
    assert!(error.to_string().contains("position 2"), "{error}");
    let report = shipway_eventing::verify::verify(&*given.log).await.unwrap();
    assert_eq!(report.bad.unwrap().position, 2);
}

pub(crate) async fn the_tail_tells_of_every_commit(given: &Fixture) {
    let mut tail = given.log.tail();
    assert_eq!(*tail.borrow_and_update(), 0);
    given.append("run-a", Expected::New, 3).await.unwrap();
    tail.changed().await.unwrap();
    assert_eq!(*tail.borrow_and_update(), 3);
    if given.server.is_some() {
        // Another process appends.
        let other = given.again().await;
        other.append(item("run-b", Expected::New, 1)).await.unwrap();
        tail.changed().await.unwrap();
        assert_eq!(*tail.borrow_and_update(), 4);
        other.close().await;
    }
}

pub(crate) async fn snapshots_are_kept_by_schema_and_never_go_back(given: &Fixture) {
    let (log, name) = (&given.log, stream("run-a"));
    let snapshot = |version, state: &[u8]| Snapshot { version, state: state.to_vec() };
    log.put_snapshot(&name, 1, snapshot(1, b"no such stream")).await.unwrap();
    assert_eq!(log.snapshot(&name, 1).await.unwrap(), None);
    given.append("run-a", Expected::New, 9).await.unwrap();
    log.put_snapshot(&name, 1, snapshot(5, b"five")).await.unwrap();
    log.put_snapshot(&name, 1, snapshot(4, b"late")).await.unwrap();
    assert_eq!(log.snapshot(&name, 1).await.unwrap(), Some(snapshot(5, b"five")));
    assert_eq!(log.snapshot(&name, 2).await.unwrap(), None);
    log.put_snapshot(&name, 2, snapshot(3, b"other schema")).await.unwrap();
    assert_eq!(log.snapshot(&name, 2).await.unwrap(), Some(snapshot(3, b"other schema")));
    assert_eq!(log.snapshot(&name, 1).await.unwrap(), None);
}

pub(crate) async fn after_closing_appends_are_refused(given: &Fixture) {
    given.append("run-a", Expected::New, 1).await.unwrap();
    given.log.close().await;
    assert!(matches!(given.append("run-a", Expected::Any, 1).await, Err(AppendError::Closed)));
    given.log.close().await;
}
