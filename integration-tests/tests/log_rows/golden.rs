//! L-13: what any version of Shipway wrote is read, also by one that does not know it.

use std::{fs, path::Path};

use shipway_eventing::{Expected, Item};
use shipway_events::{
    DecodeError, NewEvent, RawEvent, StreamEvent, delivery, lane, lock, org, place, policy, project, run,
    schedule,
};

use crate::given::{Given, command, meta, stream};

/// Each golden file goes through the log, as the event that it is, and is read as its newest shape.
pub(crate) async fn every_event_ever_written_is_read(given: &Given) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/common/events/tests/golden");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        // `run.started.1.json`
        let name = file.file_stem().unwrap().to_str().unwrap();
        let (kind, schema) = name.rsplit_once('.').unwrap();
        append(given, kind, schema.parse().unwrap(), &fs::read_to_string(file).unwrap()).await;
    }
    append(given, "future.happened", 9, "{\"from\":\"a newer Shipway\"}").await;
    let events = given.log.read(0, 10_000).await.unwrap();
    let mut types = 0;
    let read = read::<org::Event>(&events, org::Event::TYPES, &mut types)
        + read::<project::Event>(&events, project::Event::TYPES, &mut types)
        + read::<delivery::Event>(&events, delivery::Event::TYPES, &mut types)
        + read::<lane::Event>(&events, lane::Event::TYPES, &mut types)
        + read::<lock::Event>(&events, lock::Event::TYPES, &mut types)
        + read::<place::Event>(&events, place::Event::TYPES, &mut types)
        + read::<policy::Event>(&events, policy::Event::TYPES, &mut types)
        + read::<run::Event>(&events, run::Event::TYPES, &mut types)
        + read::<schedule::Event>(&events, schedule::Event::TYPES, &mut types);
    let unknown = events.last().unwrap();
    assert!(matches!(run::Event::from_raw(unknown), Err(DecodeError::Unknown { .. })));
    assert_eq!((unknown.kind.as_str(), unknown.schema), ("future.happened", 9));
    assert_eq!(unknown.data, "{\"from\":\"a newer Shipway\"}");
    let missing = types - read.min(types);
    println!(
        "ROW L-13 {} files={} types={types} read={read} unreadable={missing} unknown_kept=1",
        given.name(),
        files.len()
    );
    assert_eq!((read, missing), (files.len(), 0));
}

async fn append(given: &Given, kind: &str, schema: u16, data: &str) {
    // The log takes names of types that the program knows; a test may make them up.
    let kind: &'static str = Box::leak(kind.to_owned().into_boxed_str());
    let event = NewEvent { kind, schema, data: data.to_owned() };
    let to = stream(format!("{}-golden", kind.split('.').next().unwrap()));
    given.log.append(Item::one(command(), meta(), to, Expected::Any, vec![event])).await.unwrap();
}

/// How many of the events are of these types and readable; `versions` counts what there should be.
fn read<E: StreamEvent>(events: &[RawEvent], types: &[(&str, u16)], versions: &mut usize) -> usize {
    *versions += types.iter().map(|(_, newest)| usize::from(*newest)).sum::<usize>();
    let mine = events.iter().filter(|event| types.iter().any(|(kind, _)| *kind == event.kind));
    mine.filter(|event| {
        let recorded =
            E::from_raw(event).unwrap_or_else(|error| panic!("position {}: {error}", event.position));
        recorded.event.kind() == event.kind && recorded.position == event.position
    })
    .count()
}
