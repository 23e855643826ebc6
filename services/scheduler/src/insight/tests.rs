//! What the figures count, on rows that are written down.

use super::{
    metrics::{AFTERWARDS, Entry, Metric, percentile},
    *,
};

const HOUR: i64 = 60 * 60 * 1_000_000;

/// A run of production that took an hour and ended well at that hour.
fn run(name: &str, hour: i64) -> RunRow {
    RunRow {
        run: name.to_owned(),
        position: hour,
        pipeline: "shop".to_owned(),
        stage: "production".to_owned(),
        started: (hour - 1) * HOUR,
        ended: hour * HOUR,
        success: true,
        ..RunRow::default()
    }
}

fn released(run: &str, commit: &str, lead: i64) -> ReleaseRow {
    ReleaseRow {
        run: run.to_owned(),
        digest: format!("sha256:{commit}"),
        service: "web".to_owned(),
        commit: commit.to_owned(),
        lead,
        ..ReleaseRow::default()
    }
}

fn marked(commit: &str, hour: i64) -> MarkRow {
    let digest = format!("sha256:{commit}");
    MarkRow { at: hour * HOUR, digest, service: "web".to_owned(), commit: commit.to_owned() }
}

/// A figure as `run:hours` of its events, and of how many they are.
fn figure(rows: &Rows, name: &str) -> (Vec<String>, Option<usize>) {
    let stages = figures(rows, 0, 1_000 * HOUR);
    let Metric { entries, of, .. } =
        stages[0].metrics.iter().find(|metric| metric.name == name).cloned().unwrap();
    let words = |entry: Entry| format!("{}:{}", entry.run, entry.took / HOUR);
    (entries.into_iter().map(words).collect(), of)
}

#[test]
fn a_release_fails_that_is_marked_bad_or_taken_back_within_a_day_or_was_never_well() {
    let ill = RunRow { success: false, unhealthy: true, ..run("ill", 90) };
    let back = RunRow { rollback: true, ..run("back", 60) };
    let rows = Rows {
        runs: vec![run("a", 10), run("b", 30), run("c", 50), back, run("late", 70), ill, run("last", 95)],
        releases: ["a", "b", "c", "back", "late", "last"]
            .into_iter()
            .zip([5, -1, HOUR, -1, -1, -1])
            .map(|(run, lead)| released(run, run, lead * HOUR.pow(u32::from(lead == 5))))
            .collect(),
        // `a` after five hours; `late` after a day and an hour, which is too late.
        marks: vec![marked("a", 15), marked("late", 95)],
    };
    let (failures, of) = figure(&rows, "failures");
    assert_eq!((failures, of), (vec!["a:5".to_owned(), "c:9".to_owned(), "ill:0".to_owned()], Some(6)));
    // From when that was known to the next run that ended well.
    assert_eq!(figure(&rows, "restore").0, ["b:15", "back:1", "last:5"]);
    assert_eq!(figure(&rows, "releases").0.len(), 5, "neither the rollback nor what was never well");
    assert_eq!(figure(&rows, "lead").0, ["a:5", "c:1"]);
    assert_eq!(AFTERWARDS, 24 * HOUR);
}

#[test]
fn a_rollback_that_knows_what_it_undoes_counts_against_that() {
    let back = RunRow { rollback: true, undoes: "a".to_owned(), ..run("back", 20) };
    let rows = |undoes: &str| Rows {
        runs: vec![run("a", 10), run("b", 12), RunRow { undoes: undoes.to_owned(), ..back.clone() }],
        releases: ["a", "b", "back"].map(|run| released(run, run, -1)).into(),
        marks: Vec::new(),
    };
    assert_eq!(figure(&rows("a"), "failures").0, ["a:9"]);
    assert_eq!(figure(&rows(""), "failures").0, ["b:7"], "the newest one before it");
}

#[test]
fn only_what_ended_in_that_time_counts_and_what_followed_later_counts_against_it() {
    let rows = Rows {
        runs: vec![run("before", 5), run("a", 10), run("after", 20)],
        releases: ["before", "a", "after"].map(|run| released(run, run, -1)).into(),
        marks: vec![marked("a", 18)],
    };
    let stages = figures(&rows, 6 * HOUR, 15 * HOUR);
    let count = |name: &str| {
        let metric = stages[0].metrics.iter().find(|metric| metric.name == name).unwrap();
        metric.entries.len()
    };
    assert_eq!(["releases", "failures", "restore"].map(count), [1, 1, 1]);
    assert!(figures(&rows, 30 * HOUR, 40 * HOUR).is_empty());
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let all: Vec<i64> = (1..=20).collect();
    assert_eq!((percentile(&all, 50), percentile(&all, 90), percentile(&[], 50)), (10, 18, 0));
}
