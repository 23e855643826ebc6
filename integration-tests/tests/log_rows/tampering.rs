//! L-11: whatever is changed, removed, swapped or put in behind the log's back, `verify` finds it and names where.

use std::time::Instant;

use rand::RngExt;
use shipway_eventing::{Expected, verify::verify};

use crate::given::{Given, chance, item, seed, stream};

const EVENTS: u64 = 400;
const PLACES: u32 = 1_000;

pub(crate) async fn every_change_is_found_and_named(given: &Given) {
    let seed = seed();
    let mut chance = chance(seed);
    let begun = Instant::now();
    let mut head = 0;
    while head < EVENTS {
        let to = stream(format!("run-{}", chance.random_range(0..20)));
        head = given.log.append(item(&to, Expected::Any, chance.random_range(1..5))).await.unwrap().last;
    }
    let mut direct = given.direct().await;
    direct.run("CREATE TABLE kept AS SELECT * FROM events").await;
    if given.is_postgres() {
        direct.run("ALTER TABLE events DISABLE TRIGGER ALL").await;
    } else {
        direct.run("DROP TRIGGER events_are_not_changed; DROP TRIGGER events_are_not_deleted").await;
    }
    let (mut found, mut named) = (0, 0);
    for place in 0..PLACES {
        let at = chance.random_range(1..=head);
        let other = if at == 1 { 2 } else { chance.random_range(1..at) };
        let (sql, expected) = tamper(place % 12, at, other, head, given.is_postgres());
        direct.run(&sql).await;
        if let Some(bad) = verify(&*given.log).await.unwrap().bad {
            found += 1;
            named += u32::from(bad.position == expected);
            if bad.position != expected {
                println!("named {bad} instead of position {expected}: {sql}");
            }
        }
        repair(&mut direct, at, other, head).await;
    }
    let after = verify(&*given.log).await.unwrap();
    println!(
        "ROW L-11 {} events={head} tampered={PLACES} found={found} named={named} seconds={:.1} seed={seed}",
        given.name(),
        begun.elapsed().as_secs_f64()
    );
    assert_eq!((found, named, after.bad), (PLACES, PLACES, None));
}

/// One way to tamper with position `at`, and the first position that is wrong then.
fn tamper(way: u32, at: u64, other: u64, head: u64, postgres: bool) -> (String, u64) {
    let change = |what: &str| (format!("UPDATE events SET {what} WHERE position = {at}"), at);
    let first = at.min(other);
    match way {
        0 => change("data = '{\"n\":-1}'"),
        1 => change("data = replace(data, 'x', 'y')"),
        2 => change("kind = 'test.other'"),
        3 => change("meta = replace(meta, 'rows', 'sows')"),
        4 => change("at = at - 1000000"),
        5 => change("schema = schema + 1"),
        6 => change(if postgres { "hash = sha256(hash)" } else { "hash = zeroblob(32)" }),
        7 => change(if postgres {
            "command = gen_random_uuid(), items = NULL"
        } else {
            "command = randomblob(16), items = NULL"
        }),
        8 => (format!("DELETE FROM events WHERE position = {at}"), at),
        // Two rows change places; everything else of them stays.
        9 => (
            format!(
                "UPDATE events SET position = -1 WHERE position = {at};
                 UPDATE events SET position = {at} WHERE position = {other};
                 UPDATE events SET position = {other} WHERE position = -1"
            ),
            first,
        ),
        // Two rows change their data.
        10 => (
            format!(
                "UPDATE events SET data = '{{\"n\":1000}}' WHERE position = {at};
                 UPDATE events SET data = '{{\"n\":2000}}' WHERE position = {other}"
            ),
            first,
        ),
        // One is put in at the end, a copy of another with a version and a command of its own.
        _ => {
            let command = if postgres { "gen_random_uuid()" } else { "randomblob(16)" };
            let end = head + 1;
            (
                format!(
                    "INSERT INTO events (position, at, stream, version, items, schema, form, command, hash, kind, meta, data)
                     SELECT {end}, at, stream, 1000000, 1, schema, form, {command}, hash, kind, meta, data
                     FROM events WHERE position = {at}"
                ),
                end,
            )
        }
    }
}

async fn repair(direct: &mut crate::given::Direct, at: u64, other: u64, head: u64) {
    direct
        .run(&format!(
            "DELETE FROM events WHERE position IN ({at}, {other}, -1) OR position > {head};
             INSERT INTO events SELECT * FROM kept WHERE position IN ({at}, {other})"
        ))
        .await;
}
