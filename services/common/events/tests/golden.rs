//! Stored events outlive code. `golden/<type>.<schema>.json` is an event's payload as some version of Shipway
//! wrote it. A file that exists is never changed: a new shape is a new schema number, an upcast and a new file.
//!
//! `golden-next/` is what the next Shipway writes (the feature `next-schema`): this one reads it too.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use shipway_events::{StreamEvent, delivery, lane, lock, org, place, policy, project, run, schedule};

/// Files by type and schema number.
type Files = BTreeMap<(String, u16), PathBuf>;

#[test]
fn row_l_13_every_version_of_every_event_is_read() {
    let mut files = files("golden");
    if cfg!(feature = "next-schema") {
        files.extend(self::files("golden-next"));
    }
    let mut read = 0;
    read += check::<org::Event>(&files, org::Event::TYPES);
    read += check::<project::Event>(&files, project::Event::TYPES);
    read += check::<delivery::Event>(&files, delivery::Event::TYPES);
    read += check::<lane::Event>(&files, lane::Event::TYPES);
    read += check::<lock::Event>(&files, lock::Event::TYPES);
    read += check::<place::Event>(&files, place::Event::TYPES);
    read += check::<policy::Event>(&files, policy::Event::TYPES);
    read += check::<run::Event>(&files, run::Event::TYPES);
    read += check::<schedule::Event>(&files, schedule::Event::TYPES);
    assert_eq!(read, files.len(), "a golden file belongs to no event");
    println!("ROW L-13 versions_of_events={read} unread=0");
}

/// An older Shipway beside a newer one leaves out what the newer shape adds. It must be all that it adds.
#[test]
fn row_l_13_a_newer_shape_only_adds() {
    let (mut all, mut compared) = (files("golden"), 0);
    all.extend(files("golden-next"));
    for ((kind, schema), path) in &all {
        let Some(newer) = all.get(&(kind.clone(), schema + 1)) else { continue };
        assert!(adds(&json(path), &json(newer)), "{} lacks something of {}", newer.display(), path.display());
        compared += 1;
    }
    assert!(compared > 0);
}

/// Each file of these types; what the newest shape wrote is written the same again.
fn check<E: StreamEvent>(files: &Files, types: &[(&str, u16)]) -> usize {
    let mut read = 0;
    for (kind, newest) in types {
        for schema in 1..=*newest {
            let path = files.get(&((*kind).to_owned(), schema));
            let path = path.unwrap_or_else(|| panic!("{kind}.{schema}.json is missing"));
            let event = decode::<E>(kind, schema, path);
            assert_eq!(event.kind(), *kind);
            if schema == *newest {
                let again: Value =
                    serde_json::from_str(&event.encode().data).expect("an event is encoded as JSON");
                assert_eq!(again, json(path), "{}", path.display());
            }
            read += 1;
        }
    }
    read
}

fn decode<E: StreamEvent>(kind: &str, schema: u16, path: &Path) -> E {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    E::decode(kind, schema, &text).unwrap_or_else(|error| {
        let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        panic!("{}: {error}: {why}", path.display())
    })
}

/// Whether all that is in one payload is in the other, in the same form.
fn adds(older: &Value, newer: &Value) -> bool {
    match (older, newer) {
        (Value::Object(older), Value::Object(newer)) => {
            older.iter().all(|(key, value)| newer.get(key).is_some_and(|newer| adds(value, newer)))
        }
        (Value::Array(older), Value::Array(newer)) => older.iter().zip(newer).all(|(o, n)| adds(o, n)),
        (older, newer) => std::mem::discriminant(older) == std::mem::discriminant(newer),
    }
}

fn files(folder: &str) -> Files {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let file = |path: PathBuf| {
        let (kind, schema) = path.file_stem()?.to_str()?.rsplit_once('.')?;
        Some(((kind.to_owned(), schema.parse().ok()?), path))
    };
    let paths = fs::read_dir(folder)
        .expect("the folder of golden files is there")
        .map(|entry| entry.expect("a folder can be listed").path());
    paths
        .map(|path| file(path.clone()).unwrap_or_else(|| panic!("{}: no golden file", path.display())))
        .collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a golden file can be read"))
        .expect("a golden file is JSON")
}

/// What the next Shipway writes, as this one meets it.
#[cfg(not(feature = "next-schema"))]
mod beside_a_newer_one {
    use shipway_events::{
        Actor, Cause, CommandId, DecodeError, Meta, RawEvent, RunId, StreamName, Timestamp,
    };
    use uuid::Uuid;

    use super::*;

    fn raw(kind: &str, schema: u16, data: &str) -> RawEvent {
        RawEvent {
            position: 7,
            stream: StreamName::run(RunId::new(Uuid::from_u128(1))),
            version: 7,
            kind: kind.to_owned(),
            schema,
            data: data.to_owned(),
            command: CommandId::new(Uuid::from_u128(2)),
            meta: Meta { actor: Actor::System("scheduler".to_owned()), cause: Cause::Clock, trace: None },
            at: Timestamp::from_micros(1),
        }
    }

    #[test]
    fn an_added_field_is_left_out() {
        let (old, new) = (files("golden"), files("golden-next"));
        let kind = "run.attempt_requested";
        let known: run::Event = decode(kind, 1, &old[&(kind.to_owned(), 1)]);
        let newer: run::Event = decode(kind, 2, &new[&(kind.to_owned(), 2)]);
        assert_eq!(newer, known);
    }

    #[test]
    fn a_note_is_passed_over_and_any_other_unknown_type_refused() {
        for ((kind, schema), path) in files("golden-next") {
            let event = raw(&kind, schema, &json(&path).to_string());
            let read = run::Event::read(&event).unwrap();
            assert_eq!(read.is_none(), kind == "run.noted_writer");
        }
        let unknown = raw("run.forked", 1, "{}");
        let refused = run::Event::read(&unknown).unwrap_err();
        assert!(matches!(refused, DecodeError::Unknown { .. }), "{refused}");
    }

    #[test]
    fn a_newer_shape_that_cannot_be_read_is_newer_and_no_damage() {
        let refused = run::Event::read(&raw("run.aborting", 2, "{}")).unwrap_err();
        assert!(matches!(refused, DecodeError::Unknown { schema: 2, .. }), "{refused}");
        let damaged = run::Event::read(&raw("run.aborting", 1, "{}")).unwrap_err();
        assert!(matches!(damaged, DecodeError::Shape { .. }), "{damaged}");
    }
}

/// What the Shipway before wrote, as the next one reads it.
#[cfg(feature = "next-schema")]
#[test]
fn a_request_without_the_added_field_gets_it() {
    let kind = "run.attempt_requested";
    let event: run::Event = decode(kind, 1, &files("golden")[&(kind.to_owned(), 1)]);
    let run::Event::AttemptRequested(request) = event else { panic!("{event:?}") };
    assert_eq!((request.attempt, request.of), (2, 2));
}
