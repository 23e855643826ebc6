//! The figures of a stage, from the rows of the read model. Pure.

use std::collections::BTreeMap;

use super::State;

/// How long after a release what follows counts against it.
pub(crate) const AFTERWARDS: i64 = 24 * 60 * 60 * 1_000_000;

/// A run of a stage that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunRow {
    pub(crate) run: String,
    /// Of its end.
    pub(crate) position: i64,
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    pub(crate) started: i64,
    pub(crate) ended: i64,
    pub(crate) success: bool,
    pub(crate) rollback: bool,
    /// The run that it undoes, if it is a rollback that knows.
    pub(crate) undoes: String,
    pub(crate) unhealthy: bool,
    pub(crate) spent: [i64; State::ALL.len()],
}

/// Something that a run released.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReleaseRow {
    pub(crate) run: String,
    pub(crate) position: i64,
    pub(crate) digest: String,
    pub(crate) service: String,
    pub(crate) commit: String,
    /// -1 where there is none.
    pub(crate) lead: i64,
}

/// A bad mark that stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MarkRow {
    pub(crate) at: i64,
    pub(crate) digest: String,
    pub(crate) service: String,
    pub(crate) commit: String,
}

/// An event that a figure is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) run: String,
    pub(crate) position: i64,
    /// When, in microseconds.
    pub(crate) at: i64,
    /// Microseconds, where the figure is a time.
    pub(crate) took: i64,
    /// What more there is to say of it.
    pub(crate) note: &'static str,
}

/// A figure of a stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Metric {
    pub(crate) name: String,
    /// Oldest first.
    pub(crate) entries: Vec<Entry>,
    /// Of how many, where the figure is a part.
    pub(crate) of: Option<usize>,
}

/// The figures of a stage, in their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StageFigures {
    pub(crate) pipeline: String,
    pub(crate) stage: String,
    pub(crate) metrics: Vec<Metric>,
}

/// All that is known of a project from the beginning of the time that is asked about on; of releases, and of what was done
/// about them, also from after its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) runs: Vec<RunRow>,
    pub(crate) releases: Vec<ReleaseRow>,
    pub(crate) marks: Vec<MarkRow>,
}

/// The figures of every stage of which a run has ended from one time to another.
pub(crate) fn figures(rows: &Rows, from: i64, until: i64) -> Vec<StageFigures> {
    let mut releases: BTreeMap<&str, Vec<&ReleaseRow>> = BTreeMap::new();
    for release in &rows.releases {
        releases.entry(&release.run).or_default().push(release);
    }
    let mut stages: BTreeMap<(&str, &str), Vec<&RunRow>> = BTreeMap::new();
    for run in &rows.runs {
        stages.entry((&run.pipeline, &run.stage)).or_default().push(run);
    }
    let mut figures = Vec::new();
    for ((pipeline, stage), mut runs) in stages {
        runs.sort_by_key(|run| (run.ended, run.position));
        let is_asked = |run: &RunRow| (from..until).contains(&run.ended);
        if !runs.iter().any(|run| is_asked(run)) {
            continue;
        }
        let stage_of = Stage { runs: &runs, releases: &releases, marks: &rows.marks };
        let metrics = stage_of.metrics(&is_asked);
        figures.push(StageFigures { pipeline: pipeline.to_owned(), stage: stage.to_owned(), metrics });
    }
    figures
}

struct Stage<'a> {
    /// Oldest end first.
    runs: &'a [&'a RunRow],
    releases: &'a BTreeMap<&'a str, Vec<&'a ReleaseRow>>,
    marks: &'a [MarkRow],
}

/// That a release did not do, since when that is known, and by what.
struct Failed {
    at: i64,
    by: &'static str,
}

impl Stage<'_> {
    fn metrics(&self, is_asked: &impl Fn(&RunRow) -> bool) -> Vec<Metric> {
        let asked = || self.runs.iter().filter(|run| is_asked(run));
        let metric = |name: &str, entries: Vec<Entry>, of| Metric { name: name.to_owned(), entries, of };
        let released: Vec<&RunRow> = asked().filter(|run| self.is_release(run)).copied().collect();
        let entry = |run: &RunRow, took, note| Entry {
            run: run.run.clone(),
            position: run.position,
            at: run.ended,
            took,
            note,
        };
        let frequency = released.iter().map(|run| entry(run, run.ended - run.started, "")).collect();
        let mut leads = Vec::new();
        for run in &released {
            let of = self.of(run).iter().filter(|release| release.lead >= 0);
            leads.extend(
                of.map(|release| Entry { position: release.position, ..entry(run, release.lead, "") }),
            );
        }
        let tried = || asked().filter(|run| self.is_release(run) || is_failed_try(run));
        let (mut failures, mut restores) = (Vec::new(), Vec::new());
        for run in tried() {
            let Some(failed) = self.failed(run) else { continue };
            failures.push(entry(run, failed.at - run.ended, failed.by));
            let restored = self.restored(&failed);
            restores.extend(restored.map(|by| entry(by, by.ended - failed.at, failed.by)));
        }
        let mut metrics = vec![
            metric("releases", frequency, None),
            metric("lead", leads, None),
            metric("failures", failures, Some(tried().count())),
            metric("restore", restores, None),
        ];
        for state in State::ALL {
            let spent = released.iter().map(|run| entry(run, run.spent[state as usize], "")).collect();
            metrics.push(metric(state.word(), spent, None));
        }
        metrics
    }

    fn of(&self, run: &RunRow) -> &[&ReleaseRow] {
        self.releases.get(run.run.as_str()).map_or(&[], Vec::as_slice)
    }

    /// A run that has released something, and is not a rollback.
    fn is_release(&self, run: &RunRow) -> bool {
        run.success && !run.rollback && !self.of(run).is_empty()
    }

    /// When something of what a run released was marked bad: each time.
    fn marked<'b>(&'b self, run: &'b RunRow) -> impl Iterator<Item = i64> + 'b {
        let about = move |mark: &&MarkRow| {
            self.of(run).iter().any(|release| {
                let same_commit = !mark.commit.is_empty()
                    && (&mark.service, &mark.commit) == (&release.service, &release.commit);
                mark.digest == release.digest || same_commit
            })
        };
        self.marks.iter().filter(about).map(|mark| mark.at)
    }

    /// The rollback that took back what a run released: one that names it, or the first one after it where no other release
    /// came between.
    fn rolled_back(&self, run: &RunRow) -> Option<i64> {
        let rollbacks = self.runs.iter().filter(|other| other.rollback && other.started >= run.ended);
        let took_it = |rollback: &&&RunRow| match rollback.undoes.as_str() {
            "" => !self.runs.iter().any(|between| {
                self.is_release(between)
                    && (between.ended, between.position) > (run.ended, run.position)
                    && between.ended <= rollback.started
            }),
            undoes => undoes == run.run,
        };
        rollbacks.filter(took_it).map(|rollback| rollback.started).min()
    }

    /// Whether a release did not do: its health checks failed, or within a day it was marked bad or rolled back.
    fn failed(&self, run: &RunRow) -> Option<Failed> {
        if is_failed_try(run) {
            return Some(Failed { at: run.ended, by: "its health check failed" });
        }
        let soon = |at: &i64| (run.ended..=run.ended + AFTERWARDS).contains(at);
        let marked = self.marked(run).filter(soon).min();
        let marked = marked.map(|at| Failed { at, by: "it was marked bad" });
        let rolled_back =
            self.rolled_back(run).filter(soon).map(|at| Failed { at, by: "it was rolled back" });
        marked.into_iter().chain(rolled_back).min_by_key(|failed| failed.at)
    }

    /// What brought the stage back: the first run that ended well after that, with nothing in it that is marked bad.
    fn restored(&self, failed: &Failed) -> Option<&RunRow> {
        let well = |run: &&&RunRow| {
            run.success
                && run.ended > failed.at
                && !self.of(run).is_empty()
                && self.marked(run).all(|at| at > run.ended)
        };
        self.runs.iter().find(well).copied()
    }
}

/// A release whose health checks failed: what ran before runs on.
const fn is_failed_try(run: &RunRow) -> bool {
    run.unhealthy && !run.success && !run.rollback
}

/// The value that so many of a hundred do not exceed, by the nearest rank.
pub(crate) fn percentile(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(0)
}
