//! Stored events outlive code. `golden/<type>.<schema>.json` is an event's payload as some version of Shipway
//! wrote it. A file that exists is never changed: a new shape is a new schema number, an upcast and a new file.

use std::{fs, path::Path};

use serde_json::Value;
use shipway_events::{StreamEvent, delivery, lane, lock, org, place, project, run};

#[test]
fn row_l_13_every_version_of_every_event_is_read() {
    let mut read = 0;
    read += check::<org::Event>(org::Event::TYPES);
    read += check::<project::Event>(project::Event::TYPES);
    read += check::<delivery::Event>(delivery::Event::TYPES);
    read += check::<lane::Event>(lane::Event::TYPES);
    read += check::<lock::Event>(lock::Event::TYPES);
    read += check::<place::Event>(place::Event::TYPES);
    read += check::<run::Event>(run::Event::TYPES);
    let files = fs::read_dir(folder()).unwrap().count();
    assert_eq!(read, files, "a golden file belongs to no event");
    println!("L-13: {read} versions of events read, 0 unread");
}

/// Reads each file of these types; what the newest shape wrote is written the same again.
fn check<E: StreamEvent>(types: &[(&str, u16)]) -> usize {
    let mut read = 0;
    for (kind, newest) in types {
        for schema in 1..=*newest {
            let path = folder().join(format!("{kind}.{schema}.json"));
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let event = E::decode(kind, schema, &text).unwrap_or_else(|error| {
                let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                panic!("{}: {error}: {why}", path.display())
            });
            assert_eq!(event.kind(), *kind);
            if schema == *newest {
                let again: Value =
                    serde_json::from_str(&event.encode().data).expect("an event is encoded as JSON");
                let golden: Value = serde_json::from_str(&text).expect("what was decoded is JSON");
                assert_eq!(again, golden, "{}", path.display());
            }
            read += 1;
        }
    }
    read
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}
