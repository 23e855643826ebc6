//! The rules of what runs when, one table line each: a plan, what happened, then a command and the events that it
//! makes.

use crate::story::Story;

/// Given this plan and these commands, when this command comes, then these events are recorded.
#[track_caller]
pub(crate) fn rule(plan: &str, given: &[&str], when: &str, then: &[&str]) -> Story {
    let mut story = Story::new(plan);
    for command in given {
        story.tell(command);
    }
    let answer = story.tell(when);
    let events: Vec<&str> = answer.iter().map(|line| line.split_once(' ').unwrap_or(("", line)).1).collect();
    assert_eq!(events, then, "after `{when}`");
    story
}

pub(crate) const TWO: &str = "main: sequential\n  a: Noop\n  b: Noop";
const PAIR: &str = "main: parallel\n  a: Noop\n  b: Noop";

mod order {
    use super::*;

    #[test]
    fn a_sequence_goes_on_in_the_commit_that_ends_a_step() {
        rule(TWO, &[], "start", &["started", "attempt requested a attempt=1 on=a"]);
        rule(TWO, &["start"], "a ok", &["node succeeded a", "attempt requested b attempt=1 on=a"]);
        rule(TWO, &["start", "a ok"], "b ok", &["node succeeded b", "ended status=success"]);
    }

    #[test]
    fn ten_steps_in_sequence_take_two_events_each_and_two_for_the_run() {
        let steps: String = (0..10).map(|n| format!("\n  n{n}: Noop")).collect();
        let mut story = Story::new(&format!("main: sequential{steps}"));
        story.tell("start");
        for n in 0..10 {
            story.tell(&format!("n{n} ok"));
        }
        assert_eq!(story.log.len(), 2 * 10 + 2);
    }

    #[test]
    fn steps_of_a_parallel_workflow_start_together() {
        let both = ["started", "attempt requested a attempt=1 on=a", "attempt requested b attempt=1 on=a"];
        rule(PAIR, &[], "start", &both);
        rule(PAIR, &["start"], "b ok", &["node succeeded b"]);
        rule(PAIR, &["start", "b ok"], "a ok", &["node succeeded a", "ended status=success"]);
    }

    #[test]
    fn a_nested_workflow_holds_up_what_follows_until_all_of_it_has_ended() {
        let plan = "main: sequential\n  w: parallel\n    a: Noop\n    b: Noop\n  c: Noop";
        rule(plan, &["start"], "a ok", &["node succeeded a"]);
        rule(plan, &["start", "a ok"], "b ok", &["node succeeded b", "attempt requested c attempt=1 on=a"]);
    }

    #[test]
    fn a_graph_starts_a_step_when_those_it_depends_on_have_ended() {
        let plan = "main: graph\n  a: Noop\n  b: Noop\n  c: Noop after=a,b\n  d: Noop after=a";
        rule(plan, &["start"], "a ok", &["node succeeded a", "attempt requested d attempt=1 on=a"]);
        rule(plan, &["start", "a ok"], "b ok", &["node succeeded b", "attempt requested c attempt=1 on=a"]);
        rule(plan, &["start", "d ok"], "b fails", &["node failed b code=broken"]);
        rule(
            plan,
            &["start", "b fails", "a ok"],
            "d ok",
            &["node succeeded d", "ended status=failure because=the node `b` failed (broken)"],
        );
    }

    #[test]
    fn an_empty_workflow_is_done_at_once() {
        rule("main: sequential", &[], "start", &["started", "ended status=success"]);
        let plan = "main: sequential\n  w: parallel\n  a: Noop";
        rule(plan, &[], "start", &["started", "attempt requested a attempt=1 on=a"]);
    }

    #[test]
    fn a_run_of_one_node_needs_no_workflow() {
        rule("a: Noop", &["start"], "a ok", &["node succeeded a", "ended status=success"]);
    }

    #[test]
    fn what_asks_for_no_work_is_done_without_an_executor() {
        let plan = "main: sequential\n  a: Noop done\n  b: Noop needs=a";
        let done = ["started", "node succeeded a", "attempt requested b attempt=1 on=a"];
        rule(plan, &[], "start", &done);
    }

    #[test]
    fn a_specification_that_cannot_be_resolved_fails_the_node() {
        rule(
            "main: sequential\n  a: Noop broken\n  b: Noop",
            &[],
            "start",
            &[
                "started",
                "node failed a code=bad_reference",
                "ended status=failure because=the node `a` failed (bad_reference)",
            ],
        );
    }

    #[test]
    fn a_run_starts_once_and_nothing_comes_before() {
        rule(TWO, &[], "assign", &["the run has not started"]);
        rule(TWO, &["start"], "start", &["the run has started already"]);
    }
}

mod slots {
    use super::*;

    #[test]
    fn without_a_slot_a_node_is_ready_and_nothing_is_recorded() {
        let given = ["executors a:1/0", "start"];
        let story = rule(PAIR, &given, "assign", &[]);
        assert_eq!(story.state.ready().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn an_end_gives_its_slot_to_the_next() {
        let given = ["executors a:1/0", "start"];
        rule(PAIR, &given, "a ok", &["node succeeded a", "attempt requested b attempt=1 on=a"]);
    }

    #[test]
    fn the_executor_with_most_room_gets_it_and_the_lowest_id_among_equals() {
        let given = ["executors b:3/0 a:2/0"];
        let plan = "main: parallel\n  x: Noop\n  y: Noop\n  z: Noop";
        rule(
            plan,
            &given,
            "start",
            &[
                "started",
                "attempt requested x attempt=1 on=b",
                "attempt requested y attempt=1 on=a",
                "attempt requested z attempt=1 on=b",
            ],
        );
    }

    #[test]
    fn work_with_a_process_waits_for_a_slot_of_its_own() {
        let plan = "main: parallel\n  a: Job heavy\n  b: Job heavy\n  c: Noop";
        let given = ["executors a:1/1"];
        let first = ["started", "attempt requested a attempt=1 on=a", "attempt requested c attempt=1 on=a"];
        rule(plan, &given, "start", &first);
        let second = ["node succeeded a", "attempt requested b attempt=1 on=a"];
        rule(plan, &[given[0], "start"], "a ok", &second);
    }
}

mod failure {
    use super::*;

    #[test]
    fn a_failure_in_sequence_ends_the_run() {
        let ended =
            ["node failed a code=broken", "ended status=failure because=the node `a` failed (broken)"];
        rule(TWO, &["start"], "a fails", &ended);
    }

    #[test]
    fn in_parallel_the_others_run_to_their_end() {
        rule(PAIR, &["start"], "a fails", &["node failed a code=broken"]);
        let ended = ["node succeeded b", "ended status=failure because=the node `a` failed (broken)"];
        rule(PAIR, &["start", "a fails"], "b ok", &ended);
    }

    #[test]
    fn failing_fast_stops_the_others() {
        let plan = "main: parallel failFast\n  a: Noop\n  b: Noop";
        let story = rule(plan, &["start"], "a fails", &["node failed a code=broken"]);
        assert!(story.state.assignment(2).unwrap().stopping);
        let ended = ["node aborted b", "ended status=failure because=the node `a` failed (broken)"];
        rule(plan, &["start", "a fails"], "b stopped", &ended);
        rule(
            plan,
            &["executors a:1/0", "start"],
            "a fails",
            &["node failed a code=broken", "ended status=failure because=the node `a` failed (broken)"],
        );
    }

    #[test]
    fn when_failure_and_always_run_after_a_failure_and_the_run_still_fails() {
        let plan =
            "main: sequential\n  a: Noop\n  b: Noop\n  undo: Noop when=failure\n  tidy: Noop when=always";
        let undo = ["node failed a code=broken", "attempt requested undo attempt=1 on=a"];
        rule(plan, &["start"], "a fails", &undo);
        let tidy = ["node succeeded undo", "attempt requested tidy attempt=1 on=a"];
        rule(plan, &["start", "a fails"], "undo ok", &tidy);
        let ended = ["node succeeded tidy", "ended status=failure because=the node `a` failed (broken)"];
        rule(plan, &["start", "a fails", "undo ok"], "tidy ok", &ended);
        let fine = ["node succeeded b", "attempt requested tidy attempt=1 on=a"];
        rule(plan, &["start", "a ok"], "b ok", &fine);
    }

    #[test]
    fn in_parallel_clean_up_comes_after_the_others() {
        let plan = "main: parallel\n  a: Noop\n  undo: Noop when=failure\n  b: Noop";
        rule(plan, &["start"], "a fails", &["node failed a code=broken"]);
        let undo = ["node succeeded b", "attempt requested undo attempt=1 on=a"];
        rule(plan, &["start", "a fails"], "b ok", &undo);
        rule(plan, &["start", "a ok"], "b ok", &["node succeeded b", "ended status=success"]);
    }
}

mod skip {
    use super::*;

    #[test]
    fn a_true_skip_passes_over_the_node() {
        let plan = "main: sequential\n  a: Noop skip=true\n  b: Noop skip=false";
        let events = ["started", "node skipped a", "attempt requested b attempt=1 on=a"];
        rule(plan, &[], "start", &events);
    }

    #[test]
    fn a_skip_may_ask_for_outputs() {
        let plan = "main: sequential\n  a: Noop\n  b: Noop skip=a.enough";
        let given = ["start"];
        rule(
            plan,
            &given,
            "a ok enough=true",
            &["node succeeded a", "node skipped b", "ended status=success"],
        );
        let goes_on = ["node succeeded a", "attempt requested b attempt=1 on=a"];
        rule(plan, &given, "a ok enough=false", &goes_on);
        rule(
            plan,
            &given,
            "a ok",
            &[
                "node succeeded a",
                "node failed b code=bad_reference",
                "ended status=failure because=the node `b` failed (bad_reference)",
            ],
        );
    }

    #[test]
    fn a_skipped_workflow_skips_all_in_it() {
        let plan = "main: sequential\n  w: sequential skip=true\n    a: Noop\n    v: parallel\n      b: Noop when=always";
        let story = rule(plan, &[], "start", &["started", "node skipped w", "ended status=success"]);
        assert!(story.state.nodes()[1..].iter().all(|node| node.status.as_str() == "skipped"));
        rule(
            "main: sequential skip=true\n  a: Noop",
            &[],
            "start",
            &["started", "node skipped main", "ended status=skipped because=skipNodeExecution is true"],
        );
    }

    #[test]
    fn a_workflow_that_is_asked_and_not_skipped_is_recorded_as_entered() {
        let plan = "main: sequential\n  w: sequential skip=false\n    a: Noop\n  b: Noop";
        let entered = ["started", "workflow entered w", "attempt requested a attempt=1 on=a"];
        rule(plan, &[], "start", &entered);
        rule(
            plan,
            &["start", "restart"],
            "a ok",
            &["node succeeded a", "attempt requested b attempt=1 on=a"],
        );
        let empty = "main: sequential\n  w: sequential skip=false\n  b: Noop";
        let on = ["started", "workflow entered w", "attempt requested b attempt=1 on=a"];
        rule(empty, &[], "start", &on);
    }
}

#[test]
fn locks_around_a_node_are_its_own_and_those_of_what_it_is_in() {
    let plan = "main: sequential\n  w: sequential locks=db\n    a: Noop\n    v: parallel\n      b: Noop\n  c: Noop locks=dns";
    let mut story = Story::new(plan);
    story.tell("start");
    let around = |story: &Story, node: u32| {
        let found = story.state.locks_around(node);
        found
            .into_iter()
            .map(|(name, by)| format!("{name} by {}", story.state.name_of(by)))
            .collect::<Vec<_>>()
    };
    assert_eq!(around(&story, 2), ["db by w"]);
    story.tell("a ok");
    assert_eq!(around(&story, 4), ["db by w"], "also further in");
    assert_eq!(around(&story, 5), [""; 0], "it has not begun, so it holds nothing");
    story.tell("b ok");
    assert_eq!(around(&story, 4), [""; 0], "what has ended has given its locks back");
    assert_eq!(around(&story, 5), ["dns by c"]);
}
