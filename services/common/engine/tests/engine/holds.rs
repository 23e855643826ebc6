//! The rules of holds and bad marks.

use crate::rules::{TWO, rule};

const RELEASE: &str = "main: sequential\n  a: Noop\n  b: Release commit=c1\n  c: Noop";
/// What it releases is known only when its turn has come.
const LATER: &str = "main: sequential\n  a: Noop\n  b: Release commit=c1 later\n  c: Noop";
const HOLD: &str = "hold h commit=c1";

#[test]
fn a_run_that_started_by_itself_is_skipped_and_says_by_which_hold() {
    let skipped = [
        "started",
        "held b by=h",
        "node skipped main",
        "ended status=skipped because=held by h of ana (broken): commit c1 of main for `shop-web`",
    ];
    let story = rule(RELEASE, &[HOLD], "start pushed", &skipped);
    assert!(story.state.is_over() && story.state.last_held().is_some_and(|held| held.name == "h"));
    rule(RELEASE, &["hold h commit=c2"], "start pushed", &["started", "attempt requested a attempt=1 on=a"]);
    // It is looked at before its lane: it supersedes nobody.
    let with_policy = [&skipped[..], &["lane rejected"]].concat();
    rule(RELEASE, &["lane admitted 9", HOLD], "start pushed latest", &with_policy);
}

#[test]
fn one_that_waits_for_its_turn_or_for_a_freeze_is_skipped_when_the_hold_comes() {
    let skipped = [
        "held b by=h",
        "node skipped main",
        "ended status=skipped because=held by h of ana (broken): commit c1 of main for `shop-web`",
    ];
    rule(RELEASE, &["freeze weekend", "start pushed"], HOLD, &skipped);
    let in_lane = [&skipped[..], &["lane left"]].concat();
    rule(RELEASE, &["lane admitted 9", "start pushed queue"], HOLD, &in_lane);
}

#[test]
fn one_that_has_begun_goes_on_to_the_release_and_waits_there() {
    let waits = ["node succeeded a", "held b by=h until=60s"];
    let given = ["start pushed", "hold h commit=c1 until=60"];
    let story = rule(RELEASE, &given, "a ok", &waits);
    assert_eq!(story.state.status().as_str(), "waiting");
    assert_eq!(story.state.next_due().map(|at| at.millis()), Some(60_000));
    let given = ["start pushed", "hold h commit=c1 until=60", "a ok"];
    rule(RELEASE, &given, "wait 59", &[]);
    let goes_on = ["let go b", "attempt requested b attempt=1 on=a"];
    rule(RELEASE, &given, "wait 60", &goes_on);
    rule(RELEASE, &given, "unhold h", &goes_on);
    rule(RELEASE, &["start pushed", "hold h commit=c1 until=60", "a ok", "restart"], "unhold h", &goes_on);
    // What has begun is seen to its end.
    rule(
        RELEASE,
        &["start pushed", "a ok", HOLD],
        "b ok",
        &["node succeeded b", "attempt requested c attempt=1 on=a"],
    );
}

#[test]
fn what_is_known_only_in_the_middle_waits_there_whoever_started_it() {
    for start in ["start", "start pushed", "start wanted"] {
        rule(LATER, &[HOLD, start], "a ok", &["node succeeded a", "held b by=h"]);
    }
    // A node of another run waits for it: it is not skipped behind its back.
    rule(RELEASE, &[HOLD], "start wanted", &["started", "attempt requested a attempt=1 on=a"]);
}

#[test]
fn of_several_holds_the_one_that_ends_last_is_told() {
    let given = ["start", "hold h commit=c1 until=60", "a ok"];
    rule(LATER, &given, "hold z commit=c1", &["held b by=z"]);
    let given = ["start", "hold h commit=c1 until=60", "a ok", "hold z commit=c1"];
    rule(LATER, &given, "unhold z", &["held b by=h until=60s"]);
    rule(LATER, &given, "hold y commit=c1 until=5", &[]);
}

#[test]
fn whoever_starts_it_by_hand_has_to_mean_it() {
    let mut story = rule(RELEASE, &[], HOLD, &[]);
    let refused = story.tell("start");
    assert!(
        refused[0]
            .starts_with("refused: `shop-web` may not get commit c1 of main: the hold `h` of ana (broken)")
    );
    assert!(refused[0].contains("--despite-hold"), "{refused:?}");
    let meant = ["started", "hold overridden by=bo", "attempt requested a attempt=1 on=a"];
    rule(RELEASE, &[HOLD], "start despite", &meant);
    let passes = ["node succeeded a", "attempt requested b attempt=1 on=a"];
    rule(RELEASE, &[HOLD, "start despite"], "a ok", &passes);
}

#[test]
fn a_person_lets_a_run_go_on() {
    let passes = ["hold overridden by=bo", "let go b", "attempt requested b attempt=1 on=a"];
    rule(LATER, &[HOLD, "start", "a ok"], "pass bo the fix", &passes);
    let mut story = rule(TWO, &["start"], "assign", &[]);
    assert_eq!(story.tell("pass bo the fix"), ["refused: no hold keeps the run from going on"]);
}

#[test]
fn what_is_marked_bad_is_refused_wherever_it_would_have_waited() {
    const BAD: &str = "hold m commit=c1 bad";
    let because =
        "ended status=skipped because=commit c1 of main for `shop-web` is marked bad by ana (broken)";
    let skipped = ["started", "held b by=a mark", "node skipped main", because];
    rule(RELEASE, &[BAD], "start pushed", &skipped);
    let mut story = rule(RELEASE, &[], BAD, &[]);
    let refused = "refused: `shop-web` may not get commit c1 of main: ana (broken) marked it bad; `shipway good sha256:c1`";
    assert_eq!(story.tell("start"), [refused]);
    assert_eq!(story.tell("start despite"), [refused], "nobody means that");
    let fails = [
        "node succeeded a",
        "held b by=a mark",
        "node failed b code=marked_bad",
        "ended status=failure because=the node `b` failed (marked_bad)",
    ];
    rule(LATER, &[BAD, "start"], "a ok", &fails);
    let comes = ["let go b", "held b by=a mark", "node failed b code=marked_bad", fails[3]];
    rule(LATER, &[HOLD, "start", "a ok"], BAD, &comes);
}

#[test]
fn an_abort_ends_what_waits_and_what_cleans_up_does_not_wait() {
    let aborted = ["aborting", "ended status=aborted because=no"];
    rule(LATER, &[HOLD, "start", "a ok"], "abort no", &aborted);
    let plan = "main: sequential\n  a: Noop\n  back: Release commit=c1 later when=always";
    let fails = [
        "node aborted a",
        "held back by=h",
        "node failed back code=on_hold",
        "ended status=aborted because=no",
    ];
    rule(plan, &[HOLD, "start", "abort no"], "a stopped", &fails);
}

#[test]
fn what_is_skipped_anyway_is_not_held() {
    let plan = "main: sequential\n  a: Noop\n  b: Release commit=c1 later skip=true\n  c: Noop";
    let goes_on = ["node succeeded a", "node skipped b", "attempt requested c attempt=1 on=a"];
    rule(plan, &[HOLD, "start"], "a ok", &goes_on);
}
