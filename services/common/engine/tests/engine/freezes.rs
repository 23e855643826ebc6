//! The rules of freezes.

use crate::rules::{TWO, rule};

#[test]
fn what_has_not_begun_waits_and_goes_on_when_the_freeze_has_ended() {
    rule(TWO, &["freeze weekend until=60"], "start", &["started", "frozen by=weekend until=60s"]);
    let goes_on = ["thawed", "attempt requested a attempt=1 on=a"];
    rule(TWO, &["freeze weekend until=60", "start"], "wait 59", &[]);
    rule(TWO, &["freeze weekend until=60", "start"], "wait 60", &goes_on);
    rule(TWO, &["freeze weekend", "start"], "wait 9999", &[]);
    rule(TWO, &["freeze weekend", "start"], "lift weekend", &goes_on);
    rule(TWO, &["freeze weekend", "start", "restart"], "lift weekend", &goes_on);
}

#[test]
fn it_says_when_it_goes_on() {
    let story = rule(TWO, &["freeze weekend until=60", "start"], "assign", &[]);
    assert_eq!(story.state.next_due().map(|at| at.millis()), Some(60_000));
    assert_eq!(story.state.status().as_str(), "waiting");
    let story = rule(TWO, &["freeze weekend", "start"], "assign", &[]);
    assert_eq!(story.state.next_due(), None, "somebody has to lift it");
}

#[test]
fn what_goes_on_goes_on_unless_the_freeze_stops_all() {
    let next = ["node succeeded a", "attempt requested b attempt=1 on=a"];
    rule(TWO, &["start", "freeze weekend"], "a ok", &next);
    rule(TWO, &["start", "freeze outage all"], "a ok", &["node succeeded a", "frozen by=outage"]);
    let lifted = ["thawed", "attempt requested b attempt=1 on=a"];
    rule(TWO, &["start", "freeze outage all", "a ok"], "lift outage", &lifted);
    rule(TWO, &["start", "freeze outage all", "a ok", "restart"], "lift outage", &lifted);
}

#[test]
fn a_retry_waits_for_the_end_of_what_stops_all_too() {
    let given = ["start", "a stumbles", "freeze outage all"];
    rule(TWO, &given, "wait 60", &["frozen by=outage"]);
    rule(
        TWO,
        &["start", "a stumbles", "freeze outage all", "wait 60"],
        "lift outage",
        &["thawed", "attempt requested a attempt=2 on=a"],
    );
}

#[test]
fn of_several_freezes_the_one_that_stops_most_and_ends_last_holds() {
    rule(
        TWO,
        &["freeze lunch until=30", "freeze weekend until=60"],
        "start",
        &["started", "frozen by=weekend until=60s"],
    );
    let given = ["freeze weekend until=60", "start"];
    rule(TWO, &given, "freeze outage all", &["frozen by=outage"]);
    let given = ["freeze weekend until=60", "start", "freeze outage all"];
    rule(TWO, &given, "lift outage", &["frozen by=weekend until=60s"]);
    rule(TWO, &["freeze weekend", "start"], "freeze night until=5", &[]);
}

#[test]
fn a_person_lets_one_run_pass_but_not_where_all_is_stopped() {
    let passes = ["freeze overridden by=bo", "thawed", "attempt requested a attempt=1 on=a"];
    rule(TWO, &["freeze weekend", "start"], "override bo the fix", &passes);
    let given = ["freeze weekend", "start", "override bo the fix", "a ok"];
    rule(TWO, &given, "freeze sunday", &[]);
    let mut story = rule(TWO, &["freeze outage all", "start"], "assign", &[]);
    assert_eq!(
        story.tell("override bo the fix"),
        [
            "refused: the freeze `outage` stops all that begins, and lets no run pass: it has to be lifted (`shipway \
             unfreeze`)"
        ]
    );
    let mut story = rule(TWO, &["start"], "assign", &[]);
    assert_eq!(story.tell("override bo the fix"), ["refused: no freeze holds the run"]);
}

#[test]
fn a_run_that_is_held_can_be_aborted_and_cleans_up() {
    let plan = "main: sequential\n  a: Noop\n  goodbye: Message when=always";
    let given = ["freeze weekend", "start"];
    rule(plan, &given, "abort no", &["aborting", "attempt requested goodbye attempt=1 on=a"]);
    // What stops all stops that, too.
    let given = ["freeze outage all", "start"];
    rule(plan, &given, "abort no", &["aborting", "frozen by=outage"]);
    let given = ["freeze outage all", "start", "abort no"];
    rule(plan, &given, "lift outage", &["thawed", "attempt requested goodbye attempt=1 on=a"]);
}

#[test]
fn a_run_that_waits_for_its_lane_is_held_when_its_turn_comes() {
    let given = ["lane admitted 9", "freeze weekend", "start queue"];
    rule(TWO, &given, "lane left 9", &["admitted", "frozen by=weekend", "lane admitted"]);
}
