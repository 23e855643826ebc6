use uuid::Uuid;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn wanted(cron: &str, missed: Missed) -> Wanted {
    Wanted {
        project: ProjectId::new(Uuid::from_u128(1)),
        flow: FlowId::new(Uuid::from_u128(2)),
        path: "shop/development".to_owned(),
        trigger: "nightly".to_owned(),
        rule: CronRule {
            cron: cron.to_owned(),
            timezone: UTC.to_owned(),
            missed: missed.as_str().to_owned(),
        },
        paused: false,
    }
}

/// Decides and applies; what happened in short.
fn go(state: &mut State, wanted: Option<&Wanted>, now: &str) -> Vec<String> {
    let schedule = wanted.map(|wanted| Schedule::parse(&wanted.rule.cron, &wanted.rule.timezone).unwrap());
    let events = decide(state, wanted.zip(schedule.as_ref()), at(now));
    let short = |at: Timestamp| at.to_string()[5..16].to_owned();
    let said = events
        .iter()
        .map(|event| match event {
            Event::Set(set) => format!("set from {}", short(set.from)),
            Event::Ticked(ticked) => format!("run {}", short(ticked.scheduled_at)),
            Event::Skipped(skipped) => {
                format!("skip {} {}..{}", skipped.count, short(skipped.first), short(skipped.last))
            }
            Event::Stopped(stopped) => format!("stop: {}", stopped.reason),
        })
        .collect();
    *state = events.into_iter().fold(std::mem::take(state), evolve);
    said
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_tick_is_one_run() {
    let mut state = State::default();
    let hourly = wanted("0 * * * *", Missed::Skip);
    assert_eq!(go(&mut state, Some(&hourly), "2026-03-01T09:30:00Z"), ["set from 03-01T09:30"]);
    assert_eq!(go(&mut state, Some(&hourly), "2026-03-01T09:59:59.999Z"), NOTHING);
    assert_eq!(go(&mut state, Some(&hourly), "2026-03-01T10:00:00Z"), ["run 03-01T10:00"]);
    assert_eq!(go(&mut state, Some(&hourly), "2026-03-01T10:00:30Z"), NOTHING);
    // As late as it may be, and as early.
    assert_eq!(go(&mut state, Some(&hourly), "2026-03-01T11:01:00Z"), ["run 03-01T11:00"]);
    assert_eq!(
        go(&mut state, Some(&hourly), "2026-03-01T12:01:00.001Z"),
        ["skip 1 03-01T12:00..03-01T12:00"]
    );
    let run = state.ticked.as_ref().unwrap();
    assert_eq!(run.summary, "due at 2026-03-01T11:00:00Z by `0 * * * *` (UTC)");
}

#[test]
fn row_e_14_what_was_missed_is_up_to_the_policy() {
    let set = |missed| {
        let mut state = State::default();
        go(&mut state, Some(&wanted("0 * * * *", missed)), "2026-03-01T09:30:00Z");
        state
    };
    let after = |missed, now| go(&mut set(missed), Some(&wanted("0 * * * *", missed)), now);

    // 10:00, 11:00 and 12:00 are over; 13:00 is just now.
    assert_eq!(after(Missed::Skip, "2026-03-01T12:30:00Z"), ["skip 3 03-01T10:00..03-01T12:00"]);
    assert_eq!(
        after(Missed::Skip, "2026-03-01T13:00:01Z"),
        ["skip 3 03-01T10:00..03-01T12:00", "run 03-01T13:00"]
    );
    assert_eq!(
        after(Missed::One, "2026-03-01T12:30:00Z"),
        ["skip 2 03-01T10:00..03-01T11:00", "run 03-01T12:00"]
    );
    assert_eq!(
        after(Missed::One, "2026-03-01T13:00:01Z"),
        ["skip 3 03-01T10:00..03-01T12:00", "run 03-01T13:00"]
    );
    assert_eq!(
        after(Missed::All, "2026-03-01T12:30:00Z"),
        ["run 03-01T10:00", "run 03-01T11:00", "run 03-01T12:00"]
    );
    for missed in Missed::ALL {
        let mut state = set(missed);
        let all = wanted("0 * * * *", missed);
        go(&mut state, Some(&all), "2026-03-01T12:30:00Z");
        assert_eq!(go(&mut state, Some(&all), "2026-03-01T12:40:00Z"), NOTHING, "{missed}: once");
        assert_eq!(go(&mut state, Some(&all), "2026-03-01T13:00:00Z"), ["run 03-01T13:00"], "{missed}");
    }
    assert!(set(Missed::Skip).skipped.is_none());
}

#[test]
fn no_more_than_a_hundred_are_made_up_for() {
    let all = wanted("*/10 * * * *", Missed::All);
    let mut state = State::default();
    go(&mut state, Some(&all), "2026-03-01T00:00:00Z");
    // A day and a night: 144, the last of them at midnight.
    let said = go(&mut state, Some(&all), "2026-03-02T00:05:00Z");
    assert_eq!(said[0], "skip 44 03-01T00:10..03-01T07:20");
    assert_eq!((said[1].as_str(), said[100].as_str()), ("run 03-01T07:30", "run 03-02T00:00"));
    assert_eq!(said.len(), 101);
    assert!(state.skipped.unwrap().reason.contains("no more than 100"));
    assert!(state.ticked.unwrap().summary.ends_with(", made up for"));

    // However long it was, the others know of all of them.
    for (missed, runs, skipped) in [(Missed::Skip, 0, 1440), (Missed::One, 1, 1439)] {
        let other = wanted("*/10 * * * *", missed);
        let mut state = State::default();
        go(&mut state, Some(&other), "2026-03-01T00:00:00Z");
        let said = go(&mut state, Some(&other), "2026-03-11T00:05:00Z");
        assert_eq!(said.len(), runs + 1, "{said:?}");
        assert_eq!(state.skipped.unwrap().count, skipped);
    }
}

#[test]
fn a_pause_is_no_miss() {
    let all = wanted("0 * * * *", Missed::All);
    let paused = Wanted { paused: true, ..all.clone() };
    let mut state = State::default();
    go(&mut state, Some(&all), "2026-03-01T09:30:00Z");
    assert_eq!(go(&mut state, Some(&paused), "2026-03-01T10:00:00Z"), ["stop: the flow is paused"]);
    assert_eq!(go(&mut state, Some(&paused), "2026-03-01T11:00:00Z"), NOTHING);
    assert_eq!(go(&mut state, Some(&all), "2026-03-01T12:30:00Z"), ["set from 03-01T12:30"]);
    assert_eq!(go(&mut state, Some(&all), "2026-03-01T13:00:00Z"), ["run 03-01T13:00"]);
    assert_eq!(go(&mut state, None, "2026-03-01T14:00:00Z"), ["stop: the flow has no schedule any more"]);
    assert_eq!(go(&mut state, None, "2026-03-01T15:00:00Z"), NOTHING);
}

#[test]
fn another_schedule_begins_when_it_is_seen_and_another_policy_holds_at_once() {
    let mut state = State::default();
    go(&mut state, Some(&wanted("0 * * * *", Missed::Skip)), "2026-03-01T09:30:00Z");
    let said = go(&mut state, Some(&wanted("15 * * * *", Missed::All)), "2026-03-01T10:20:00Z");
    assert_eq!(said, ["set from 03-01T10:20"], "10:15 was before");
    let said = go(&mut state, Some(&wanted("15 * * * *", Missed::One)), "2026-03-01T12:30:00Z");
    assert_eq!(said, ["set from 03-01T10:20", "skip 1 03-01T11:15..03-01T11:15", "run 03-01T12:15"]);
}
