//! The rules of attempts and their ends, one table line each; as in `rules.rs`.

use crate::rules::{TWO, rule};

mod retry {
    use super::*;

    #[test]
    fn a_transient_error_is_tried_three_times_with_a_growing_pause() {
        let plan = "a: Noop";
        let first = ["attempt failed a", "retry scheduled a attempt=2 at=2s"];
        rule(plan, &["start"], "a stumbles", &first);
        rule(plan, &["start", "a stumbles"], "wait 1", &[]);
        rule(plan, &["start", "a stumbles"], "wait 2", &["attempt requested a attempt=2 on=a"]);
        let second = ["attempt failed a", "retry scheduled a attempt=3 at=6s"];
        rule(plan, &["start", "a stumbles", "wait 2"], "a stumbles", &second);
        let last = ["node failed a code=busy", "ended status=failure because=the node `a` failed (busy)"];
        rule(plan, &["start", "a stumbles", "wait 2", "a stumbles", "wait 4"], "a stumbles", &last);
    }

    #[test]
    fn a_rule_holds_for_every_error() {
        let plan = "a: Noop retry=2/fixed/60";
        rule(plan, &["start"], "a fails", &["attempt failed a", "retry scheduled a attempt=2 at=60s"]);
        let last = ["node failed a code=broken", "ended status=failure because=the node `a` failed (broken)"];
        rule(plan, &["start", "a fails", "wait 60"], "a fails", &last);
    }

    #[test]
    fn a_pause_of_nothing_is_no_pause() {
        let again =
            ["attempt failed a", "retry scheduled a attempt=2 at=0s", "attempt requested a attempt=2 on=a"];
        rule("a: Noop retry=2/fixed/0", &["start"], "a fails", &again);
    }

    #[test]
    fn a_wait_for_the_next_attempt_survives_a_restart() {
        rule(
            "a: Noop",
            &["start", "a stumbles", "restart"],
            "wait 2",
            &["attempt requested a attempt=2 on=a"],
        );
    }
}

mod timeout {
    use super::*;

    const LIMITED: &str = "a: Noop timeout=30";
    const OVER: &str = "ended status=failure because=the node `a` failed (timeout)";

    #[test]
    fn the_limit_is_in_the_request_and_then_the_attempt_is_stopped() {
        rule(LIMITED, &[], "start", &["started", "attempt requested a attempt=1 on=a until=30s"]);
        let story = rule(LIMITED, &["start"], "wait 30", &["node timed out a"]);
        assert!(story.state.assignment(0).unwrap().stopping);
        let given = ["start", "wait 30"];
        rule(LIMITED, &given, "a stopped", &["node failed a code=timeout", OVER]);
        rule(LIMITED, &given, "a stumbles", &["node failed a code=timeout", OVER]);
        rule(LIMITED, &given, "lost a", &["node failed a code=timeout", OVER]);
        rule(LIMITED, &given, "a ok", &["node failed a code=timeout", OVER]);
    }

    #[test]
    fn what_changed_in_the_world_is_kept_although_it_came_too_late() {
        let late = ["node ended later a error=none", "node failed a code=timeout", OVER];
        let story = rule(LIMITED, &["start", "wait 30"], "a backed-up", &late);
        assert!(story.state.backup("b1").is_some());
    }

    #[test]
    fn the_limit_counts_all_attempts() {
        let plan = "a: Noop timeout=30 retry=9/fixed/20";
        let again = ["attempt requested a attempt=2 on=a until=30s"];
        rule(plan, &["start", "a fails"], "wait 20", &again);
        let no_time_left =
            ["node failed a code=broken", "ended status=failure because=the node `a` failed (broken)"];
        rule(plan, &["start", "a fails", "wait 20"], "a fails", &no_time_left);
        let waiting = ["executors a:1/0", "start", "a fails", "executors"];
        rule(plan, &waiting, "wait 30", &["node timed out a", "node failed a code=timeout", OVER]);
    }
}

mod loss {
    use super::*;

    fn with(effect: &str) -> String {
        format!("a: Noop effect={effect}")
    }

    #[test]
    fn what_may_be_done_again_is_asked_for_again_with_the_same_number() {
        for effect in ["keyed", "fenced", "checked"] {
            let again = ["attempt lost a", "attempt requested a attempt=1 on=a"];
            rule(&with(effect), &["start"], "lost a", &again);
        }
    }

    #[test]
    fn what_is_checked_is_asked_for_where_it_was_tried() {
        let given = ["executors a:1/0", "start", "executors b:1/0"];
        let story = rule(&with("checked"), &given, "lost a", &["attempt lost a"]);
        assert!(story.state.node(0).unwrap().pinned.is_some());
        rule(&with("keyed"), &given, "lost a", &["attempt lost a", "attempt requested a attempt=1 on=b"]);
        let never = ["attempt lost a", "attempt requested a attempt=1 on=b"];
        rule(&with("checked"), &given, "lost a never-started", &never);
    }

    #[test]
    fn what_is_done_once_becomes_unknown_unless_it_never_started() {
        let story = rule(&with("once"), &["start"], "lost a", &["node unknown a"]);
        assert_eq!(story.state.status().as_str(), "unknown");
        let again = ["attempt lost a", "attempt requested a attempt=1 on=a"];
        rule(&with("once"), &["start"], "lost a never-started", &again);
        rule(&with("once"), &["start"], "a refused", &again);
        rule(&with("once"), &["start"], "a unknown", &["node unknown a"]);
    }

    #[test]
    fn a_person_or_the_executor_itself_resolves_what_is_unknown() {
        let given = ["start", "lost a"];
        let plan = with("once");
        rule(&plan, &given, "resolve a happened", &["node succeeded a", "ended status=success"]);
        rule(&plan, &given, "resolve a again", &["attempt lost a", "attempt requested a attempt=1 on=a"]);
        rule(&plan, &given, "a ok", &["node succeeded a", "ended status=success"]);
        let failed =
            ["node failed a code=resolved", "ended status=failure because=the node `a` failed (resolved)"];
        rule(&plan, &given, "resolve a failed", &failed);
        let aborted = ["aborting", "ended status=aborted because=enough"];
        let story = rule(&plan, &given, "abort enough", &aborted);
        assert_eq!(story.state.node(0).unwrap().status.as_str(), "unknown");
    }

    #[test]
    fn repeated_losses_are_spaced_out() {
        let given = ["start", "a refused"];
        let story = rule("a: Noop", &given, "a refused", &["attempt lost a"]);
        assert!(story.state.next_due().is_some());
        rule(
            "a: Noop",
            &["start", "a refused", "a refused"],
            "wait 1",
            &["attempt requested a attempt=1 on=a"],
        );
    }
}

mod reading {
    use shipway_engine::RunState;
    use shipway_events::{RawEvent, StreamName};

    use super::*;
    use crate::story::id;

    #[test]
    fn a_stream_from_a_newer_shipway_is_refused() {
        let story = rule("a: Noop", &[], "start", &["started", "attempt requested a attempt=1 on=a"]);
        let mut raw: Vec<RawEvent> = story.log.iter().map(raw).collect();
        assert_eq!(RunState::fold(&raw, 0).unwrap().nodes(), story.state.nodes());
        raw[1].kind = "run.teleported".to_owned();
        let refused = RunState::fold(&raw, 0).unwrap_err().to_string();
        assert_eq!(refused, "`run.teleported` (schema 1) was written by a newer Shipway; upgrade this one");
    }

    #[test]
    fn fences_grow_with_the_generation_of_the_log() {
        let story = rule("a: Noop", &[], "start", &["started", "attempt requested a attempt=1 on=a"]);
        let raw: Vec<RawEvent> = story.log.iter().map(raw).collect();
        let fence = |generation| {
            let state = RunState::fold(&raw, generation).unwrap();
            state.open_attempts().next().unwrap().fence
        };
        assert!(fence(1) > fence(0));
    }

    fn raw(recorded: &shipway_events::Recorded<shipway_events::run::Event>) -> RawEvent {
        let new = shipway_events::StreamEvent::encode(&recorded.event);
        RawEvent {
            position: recorded.position,
            stream: StreamName::run(id(1)),
            version: recorded.version,
            kind: new.kind.to_owned(),
            schema: new.schema,
            data: new.data,
            command: recorded.command,
            meta: recorded.meta.clone(),
            at: recorded.at,
        }
    }
}

mod outcomes {
    use super::*;

    #[test]
    fn only_the_current_fence_counts_and_a_late_outcome_is_recorded_once() {
        let given = ["start", "lost a"];
        rule(TWO, &given, "a ok fence=2", &["outcome rejected a fence=2"]);
        rule(TWO, &["start", "lost a", "a ok fence=2"], "a ok fence=2", &[]);
        rule(TWO, &given, "a ok fence=4", &["node succeeded a", "attempt requested b attempt=1 on=a"]);
    }

    #[test]
    fn an_outcome_that_was_taken_is_taken_once() {
        rule(TWO, &["start", "a ok"], "a ok fence=2", &[]);
        rule("a: Noop", &["start", "a stumbles"], "a stumbles fence=2", &[]);
        rule(TWO, &["start", "a ok"], "a fails fence=2", &["outcome rejected a fence=2"]);
    }

    #[test]
    fn a_fence_that_no_attempt_had_is_refused() {
        rule(TWO, &["start"], "a ok fence=1", &["node 1 never had an attempt with fence 0-1"]);
    }

    #[test]
    fn effects_are_known_to_later_steps() {
        let story = rule("a: Noop", &["start"], "a backed-up", &["node succeeded a", "ended status=success"]);
        assert_eq!(story.state.backup("b1").unwrap().digest, "sha256:1");
    }
}

mod detached {
    use super::*;

    const PLAN: &str = "main: sequential\n  a: Build detached\n  b: Noop";

    #[test]
    fn it_succeeds_when_it_has_started_and_its_end_comes_later() {
        let started = ["node started a", "attempt requested b attempt=1 on=a"];
        rule(PLAN, &["start"], "a started id=1", &started);
        rule(PLAN, &["start", "a started"], "a started", &[]);
        let later = ["node ended later a error=none"];
        rule(PLAN, &["start", "a started"], "a ok", &later);
        let story =
            rule(PLAN, &["start", "a started"], "b ok", &["node succeeded b", "ended status=success"]);
        assert!(!story.state.is_over());
        let bad = ["node ended later a error=broken"];
        let story = rule(PLAN, &["start", "a started", "b ok"], "a fails", &bad);
        assert!(story.state.is_over() && story.state.status().as_str() == "success");
    }

    #[test]
    fn it_may_end_before_it_said_that_it_has_started() {
        rule(PLAN, &["start"], "a ok", &["node succeeded a", "attempt requested b attempt=1 on=a"]);
        let failed =
            ["node failed a code=broken", "ended status=failure because=the node `a` failed (broken)"];
        rule(PLAN, &["start"], "a fails", &failed);
    }

    #[test]
    fn lost_work_is_asked_for_again_also_after_the_end() {
        let again = ["attempt lost a", "attempt requested a attempt=1 on=a"];
        rule(PLAN, &["start", "a started", "b ok"], "lost a", &again);
        let given = ["start", "a started", "b ok", "lost a"];
        rule(PLAN, &given, "a ok", &["node ended later a error=none"]);
        let once = "main: sequential\n  a: Build detached effect=once\n  b: Noop";
        rule(once, &["start", "a started", "b ok"], "lost a", &["node ended later a error=unknown"]);
    }

    #[test]
    fn an_abort_stops_it_and_waits_for_it() {
        let given = ["start", "a started", "b ok"];
        rule(PLAN, &given, "abort enough", &["the run has ended: success"]);
        rule(PLAN, &["start", "a started"], "abort enough", &["aborting"]);
        let given = ["start", "a started", "abort enough", "b stopped"];
        rule(
            PLAN,
            &given,
            "a stopped",
            &["node ended later a error=aborted", "ended status=aborted because=enough"],
        );
    }
}

mod abort {
    use super::*;

    const ENDED: &str = "ended status=aborted because=enough";

    #[test]
    fn what_waits_ends_at_once() {
        rule(TWO, &["executors", "start"], "abort enough", &["aborting", ENDED]);
        let story = rule("a: Noop", &["start", "a stumbles"], "abort enough", &["aborting", ENDED]);
        assert_eq!(story.state.node(0).unwrap().status.as_str(), "aborted");
        rule(TWO, &["start", "abort enough"], "abort more", &[]);
    }

    #[test]
    fn what_runs_ends_when_its_stop_is_confirmed_or_its_executor_is_gone() {
        rule(TWO, &["start"], "abort enough", &["aborting"]);
        rule(TWO, &["start", "abort enough"], "a stopped", &["node aborted a", ENDED]);
        rule(TWO, &["start", "abort enough"], "a refused", &["node aborted a", ENDED]);
        rule(TWO, &["start", "abort enough"], "lost a", &["node aborted a", ENDED]);
    }

    #[test]
    fn an_outcome_that_comes_first_is_recorded_and_starts_nothing() {
        rule(TWO, &["start", "abort enough"], "a ok", &["node succeeded a", ENDED]);
        rule(TWO, &["start", "abort enough"], "a stumbles", &["node failed a code=busy", ENDED]);
    }

    #[test]
    fn always_nodes_run_then_the_run_ends() {
        let plan = "main: sequential\n  a: Noop\n  b: Noop when=failure\n  tidy: Noop when=always\n  c: Noop";
        let tidy = ["node aborted a", "attempt requested tidy attempt=1 on=a"];
        rule(plan, &["start", "abort enough"], "a stopped", &tidy);
        rule(plan, &["start", "abort enough", "a stopped"], "tidy ok", &["node succeeded tidy", ENDED]);
        let spared = rule(plan, &["start", "a fails", "b ok"], "abort enough", &["aborting"]);
        assert!(!spared.state.assignment(3).unwrap().stopping);
    }

    #[test]
    fn a_lost_effect_of_class_once_stays_unknown_in_an_aborted_run() {
        let given = ["start", "abort enough"];
        let story = rule("a: Noop effect=once", &given, "lost a", &["node unknown a", ENDED]);
        assert_eq!(story.state.node(0).unwrap().status.as_str(), "unknown");
        let later = ["node ended later a error=none"];
        rule("a: Noop effect=once", &["start", "abort enough", "lost a"], "a ok", &later);
    }
}
