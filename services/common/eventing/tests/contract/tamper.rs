//! What `verify` finds. Tampering goes straight to the database, past the triggers.

use shipway_eventing::{
    Expected,
    verify::{Why, verify},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::fixture::{Fixture, event, item, meta, stream};

pub(crate) async fn an_honest_log_is_whole(given: &Fixture) {
    let empty = verify(&*given.log).await.unwrap();
    assert_eq!((empty.events, empty.bad), (0, None));
    fill(given).await;
    let report = verify(&*given.log).await.unwrap();
    assert_eq!((report.events, report.head, report.streams, report.bad), (60, 60, 10, None));
}

pub(crate) async fn events_cannot_be_changed_or_deleted_by_accident(given: &Fixture) {
    fill(given).await;
    let mut statements =
        vec!["UPDATE events SET data = '{}' WHERE position = 3", "DELETE FROM events WHERE position = 3"];
    if given.server.is_some() {
        statements.push("TRUNCATE events");
    }
    for statement in statements {
        let error = execute(given, statement).await.unwrap_err().to_string();
        assert!(error.contains("events are never"), "{statement}: {error}");
    }
    assert!(verify(&*given.log).await.unwrap().is_whole());
}

pub(crate) async fn every_kind_of_tampering_is_named(given: &Fixture) {
    fill(given).await;
    let unlock: &[&str] = if given.server.is_some() {
        &["ALTER TABLE events DISABLE TRIGGER ALL"]
    } else {
        &["DROP TRIGGER events_are_not_changed", "DROP TRIGGER events_are_not_deleted"]
    };
    for statement in unlock {
        execute(given, statement).await.unwrap();
    }
    // What is done, what undoes it, and where it must be found.
    let cases: &[(&str, &str, u64)] = &[
        (
            "UPDATE events SET data = '{\"n\":9}' WHERE position = 31",
            "UPDATE events SET data = '{\"n\":0}' WHERE position = 31",
            31,
        ),
        (
            "UPDATE events SET kind = 'test.other' WHERE position = 7",
            "UPDATE events SET kind = 'test.happened' WHERE position = 7",
            7,
        ),
        (
            "UPDATE events SET meta = '{}' WHERE position = 1",
            "UPDATE events SET meta = (SELECT meta FROM events WHERE position = 2) WHERE position = 1",
            1,
        ),
        (
            "UPDATE events SET at = at + 1 WHERE position = 60",
            "UPDATE events SET at = at - 1 WHERE position = 60",
            60,
        ),
        (
            "UPDATE events SET schema = 4 WHERE position = 12",
            "UPDATE events SET schema = 3 WHERE position = 12",
            12,
        ),
        (
            "UPDATE streams SET name = 'run-x' WHERE number = 1",
            "UPDATE streams SET name = 'run-0' WHERE number = 1",
            1,
        ),
        (
            "UPDATE streams SET version = version + 1 WHERE number = 10",
            "UPDATE streams SET version = version - 1 WHERE number = 10",
            60,
        ),
        ("UPDATE head SET position = position - 1", "UPDATE head SET position = position + 1", 60),
        ("UPDATE head SET position = position + 1", "UPDATE head SET position = position - 1", 61),
        (
            "UPDATE events SET items = 9 WHERE position = 4",
            "UPDATE events SET items = 3 WHERE position = 4",
            7,
        ),
        (
            "UPDATE events SET position = 1000 WHERE position = 20",
            "UPDATE events SET position = 20 WHERE position = 1000",
            20,
        ),
        (
            "UPDATE events SET position = 1000 WHERE position = 60",
            "UPDATE events SET position = 60 WHERE position = 1000",
            60,
        ),
    ];
    for (tamper, undo, position) in cases {
        execute(given, tamper).await.unwrap();
        let bad = verify(&*given.log).await.unwrap().bad;
        assert_eq!(bad.map(|bad| bad.position), Some(*position), "{tamper}");
        execute(given, undo).await.unwrap();
        assert!(verify(&*given.log).await.unwrap().is_whole(), "{undo}");
    }
    execute(given, "DELETE FROM events WHERE position = 44").await.unwrap();
    let bad = verify(&*given.log).await.unwrap().bad.unwrap();
    assert_eq!((bad.position, bad.why), (44, Why::Missing));
    // The reader stops before the gap, loudly.
    let error = given.log.read(40, 100).await.unwrap_err().to_string();
    assert!(error.contains("position 44 is missing"), "{error}");
}

/// Ten streams with two commands of three events each.
async fn fill(given: &Fixture) {
    for round in 0..2 {
        for run in 0..10 {
            let mut item = item(&format!("run-{run}"), Expected::Version(round * 3), 3);
            item.meta = meta();
            item.writes[0].stream = stream(&format!("run-{run}"));
            item.writes[0].events[0] = event("{\"n\":0}");
            given.log.append(item).await.unwrap();
        }
    }
}

async fn execute(given: &Fixture, statement: &'static str) -> Result<(), sqlx::Error> {
    match given.url() {
        None => {
            let mut database = SqliteConnection::connect(given.sqlite_file().to_str().unwrap()).await?;
            sqlx::query(statement).execute(&mut database).await?;
            database.close().await
        }
        Some(url) => {
            let mut database = PgConnection::connect(&url).await?;
            let statement = format!("SET search_path = shipway_log; {statement}");
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut database).await?;
            database.close().await
        }
    }
}
