//! When schedules tick: against a table that was made in another way, and against a clock that is looked at each minute.

use std::collections::BTreeSet;

use jiff::{
    civil::DateTime,
    tz::{TimeZone, TimeZoneDatabase},
};
use shipway_documents::schedule::{Schedule, ScheduleError};
use shipway_events::Timestamp;

/// Zone, schedule, from when, and the ticks that follow: made by `schedules/expected.py` from another copy of the zones.
const EXPECTED: &str = include_str!("schedules/expected.txt");

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ticks(schedule: &Schedule, from: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(schedule.after(from), |tick| schedule.after(*tick))
}

/// The same fields in the same zone may be nearer than they may be in a document: the table is about times.
fn schedule(cron: &str, zone: &str) -> Schedule {
    Schedule::parse(cron, zone).unwrap_or_else(|error| panic!("{cron} in {zone}: {error}"))
}

#[test]
fn row_e_14_schedules_tick_as_the_table_says() {
    let (mut rows, mut times, mut zones, mut different) = (0, 0, BTreeSet::new(), Vec::new());
    for line in EXPECTED.lines() {
        let [zone, cron, from, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let expected: Vec<Timestamp> =
            expected.split(' ').map(|time| at(&time.replace('Z', ":00Z"))).collect();
        let from = at(&from.replace('Z', ":00Z"));
        let found: Vec<_> = ticks(&schedule(cron, zone), from).take(expected.len()).collect();
        if found != expected {
            different.push(format!("{line}\n    {found:?}"));
        }
        rows += 1;
        times += expected.len();
        zones.insert(zone);
    }
    println!(
        "ROW E-14 {rows} schedules, {times} expected times, {} zones, {} differences",
        zones.len(),
        different.len()
    );
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(rows >= 700 && zones.len() >= 200, "{rows} rows of {} zones", zones.len());
}

/// Looks at the clock on the wall each minute. A schedule of all hours ticks whenever the wall shows one of its minutes;
/// another one when the wall has newly reached one.
fn looked_at(
    zone: &TimeZone,
    from: i64,
    until: i64,
    all_hours: bool,
    has: impl Fn(DateTime) -> bool,
) -> Vec<i64> {
    let wall = |second: i64| zone.to_datetime(jiff::Timestamp::from_second(second).unwrap());
    let minute = jiff::SignedDuration::from_mins(1);
    let (mut found, mut mark) = (Vec::new(), wall(from));
    for second in (from + 60..=until).step_by(60) {
        let now = wall(second);
        let mut tick = all_hours && has(now);
        while mark < now {
            mark += minute;
            tick |= !all_hours && has(mark);
        }
        if tick {
            found.push(second);
        }
    }
    found
}

#[test]
fn row_e_14_every_zone_ticks_as_its_clock_shows() {
    let database = TimeZoneDatabase::bundled();
    let first = jiff::Timestamp::from_second(at("2026-01-01T00:00:00Z").micros() / 1_000_000).unwrap();
    let last = jiff::Timestamp::from_second(at("2027-01-01T00:00:00Z").micros() / 1_000_000).unwrap();
    let (mut zones, mut compared, mut changed) = (0, 0, 0);
    for name in database.available() {
        let name = name.to_string();
        let zone = database.get(&name).unwrap();
        zones += 1;
        schedule("0 2 * * *", &name);
        let changes = zone.following(first).take_while(|change| change.timestamp() < last);
        for change in changes.map(|change| change.timestamp().as_second()) {
            changed += 1;
            let (from, until) = (change - 3 * 3600, change + 3 * 3600);
            let wall = zone.to_datetime(jiff::Timestamp::from_second(change).unwrap());
            // The hours that are left out or come twice are among these.
            let hours: BTreeSet<i8> = (0..4).map(|n| (wall.hour() + 23 - n + 1) % 24).collect();
            let list = hours.iter().map(i8::to_string).collect::<Vec<_>>().join(",");
            for (cron, all_hours, minutes) in [
                (format!("10,50 {list} * * *"), false, [10, 50]),
                ("20,40 * * * *".to_owned(), true, [20, 40]),
            ] {
                let has = |wall: DateTime| {
                    minutes.contains(&wall.minute()) && (all_hours || hours.contains(&wall.hour()))
                };
                let expected = looked_at(&zone, from, until, all_hours, has);
                let found: Vec<i64> =
                    ticks(&schedule(&cron, &name), Timestamp::from_micros(from * 1_000_000))
                        .map(|tick| tick.micros() / 1_000_000)
                        .take_while(|second| *second <= until)
                        .collect();
                assert_eq!(found, expected, "{cron} in {name} around {wall}");
                compared += found.len();
            }
        }
    }
    println!(
        "ROW E-14 {zones} zones, {changed} changes of clocks in 2026, {compared} ticks compared, 0 differences"
    );
    assert!(zones > 500 && changed > 300, "{zones} zones, {changed} changes");
}

#[test]
fn names_and_lists_are_read() {
    let nine = |cron| ticks(&schedule(cron, "UTC"), at("2026-01-01T00:00:00Z")).take(9).collect::<Vec<_>>();
    assert_eq!(nine("0 6 * JAN-MAR mon,Wed,FRI"), nine("0 6 * 1-3 1,3,5"));
    assert_eq!(nine("0 6 * * 7"), nine("0 6 * * SUN"));
    assert_eq!(nine("0 */6 * * *"), nine("0  0,6,12,18 * * *"));
}

#[test]
fn what_is_no_schedule_is_said() {
    let wrong = |cron, zone| Schedule::parse(cron, zone).unwrap_err();
    for cron in [
        "",
        "* * * *",
        "0 2 * * * *",
        "0 2 * * * UTC",
        "@daily",
        "0 2 * * ?",
        "0 2 1W * *",
        "0 2 * * 5#2",
        "H 2 * * *",
        "0 2 1,,2 * *",
        "0 2 MON * *",
    ] {
        assert!(matches!(wrong(cron, "UTC"), ScheduleError::Fields { .. }), "{cron}");
    }
    assert!(matches!(wrong("0 2 31 2,4,6 *", "UTC"), ScheduleError::Never { .. }));
    assert!(matches!(wrong("0 2 * * *", "CEST"), ScheduleError::Zone { .. }));
    assert!(matches!(wrong("0,9 2 * * *", "UTC"), ScheduleError::TooNear { minutes: 9, .. }));
    // One day a year has no neighbour; the last day of a month has the first of the next.
    assert!(Schedule::parse("0,55 0,23 1 1 *", "UTC").is_ok());
    assert!(matches!(wrong("0,55 0,23 1,31 * *", "UTC"), ScheduleError::TooNear { minutes: 5, .. }));
    assert!(Schedule::parse("*/10 * * * *", "UTC").is_ok());
}
