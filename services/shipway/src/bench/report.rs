//! One JSON line a figure.

use std::time::Duration;

use serde_json::json;

/// Prints figures of one way to run.
#[derive(Debug)]
pub(crate) struct Report {
    mode: Mode,
}

/// How the measured Shipway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `shipway up`: one process on SQLite.
    Embedded,
    /// Many processes on PostgreSQL and NATS.
    Distributed,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Distributed => "distributed",
        }
    }

    /// What a figure is to be, where that is a number: of an idle machine with an optimised build.
    const fn targets(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Embedded => &[
                ("W1.per_node", "<= 0.6"),
                ("W2.nodes_per_s", ">= 4300"),
                ("W3.wall_100", "<= 20"),
                ("W3.wall_1000", "<= 150"),
                ("W4p.per_node", "<= 10"),
                ("W5.apply", "<= 2000"),
                ("W5.accepts_per_s", ">= 13000"),
                ("W5.p99", "<= 20"),
                ("W6.ready", "<= 500"),
                ("W6.rss_idle", "<= 80"),
                ("W6.rss_after_w2", "<= 150"),
            ],
            Self::Distributed => &[
                ("C1.commits_per_node", "<= 1.2"),
                ("C2.tx_per_node", "<= 1.5"),
                ("C3.wal_bytes_per_node.log", "<= 2000"),
                ("C3.stored_bytes_per_node.log", "<= 1300"),
                ("C4.js_messages_per_node", "<= 3"),
                ("C4.hops_per_node", "<= 2, and 1 a run"),
                ("C4.hops_per_node_parallel", "<= 4"),
                ("W1.per_node", "<= 1.5 x floor.node"),
                ("W1.p99_over_p50", "<= 1.5 x floor.node_p99_over_p50"),
                ("W2.nodes_per_s", ">= 2600"),
                ("W2.cpu_ms_per_node", "<= 0.75"),
                ("W4.long_overhead", "<= 0.03"),
                ("W4p.per_node", "<= 10"),
                ("W5.accepts_per_s", ">= 13000"),
                ("W5.p99", "<= 20"),
                ("G3.idle_to_ended", "<= 20"),
                ("W6.ready.pipelines", "<= 300"),
                ("W6.ready.triggers", "<= 300"),
                ("W6.ready.scheduler", "<= 300"),
                ("W6.ready.executor", "<= 300"),
                ("W6.ready.console", "<= 300"),
                ("W6.rss_idle", "<= 100"),
                ("W6.rss_after_w2", "<= 200"),
            ],
        }
    }
}

impl Report {
    pub(crate) const fn new(mode: Mode) -> Self {
        Self { mode }
    }

    /// A figure in its unit.
    pub(crate) fn figure(&self, metric: &str, stat: &str, value: f64, unit: &str) {
        println!("{}", self.line(metric, stat, value, unit));
    }

    /// A duration in milliseconds.
    pub(crate) fn time(&self, metric: &str, stat: &str, value: Duration) {
        self.figure(metric, stat, value.as_secs_f64() * 1000.0, "ms");
    }

    fn line(&self, metric: &str, stat: &str, value: f64, unit: &str) -> serde_json::Value {
        let value = (value * 1000.0).round() / 1000.0;
        let mut line =
            json!({"metric": metric, "stat": stat, "value": value, "unit": unit, "mode": self.mode.name()});
        if let Some((_, target)) = self.mode.targets().iter().find(|(of, _)| *of == metric) {
            line["target"] = json!(target);
        }
        line
    }
}

/// The value below which `share` of the sorted samples lie.
pub(crate) fn percentile(samples: &mut [Duration], share: f64) -> Duration {
    if samples.is_empty() {
        return Duration::ZERO;
    }
    samples.sort_unstable();
    let last = samples.len() - 1;
    samples[((last as f64 * share).round() as usize).min(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_samples() {
        let mut samples: Vec<_> = (1..=101).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut samples, 0.5), Duration::from_millis(51));
        assert_eq!(percentile(&mut samples, 0.99), Duration::from_millis(100));
        assert_eq!(percentile(&mut [], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_figure_stands_beside_its_target() {
        let line = |mode, metric| Report::new(mode).line(metric, "mean", 1.23456, "commits").to_string();
        let expected = r#"{"metric":"C1.commits_per_node","stat":"mean","value":1.235,"unit":"commits","mode":"distributed","target":"<= 1.2"}"#;
        assert_eq!(line(Mode::Distributed, "C1.commits_per_node"), expected);
        assert!(!line(Mode::Embedded, "C1.commits_per_node").contains("target"));
    }
}
