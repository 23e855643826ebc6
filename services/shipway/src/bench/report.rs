//! One JSON line a figure.

use std::time::Duration;

use serde_json::json;

/// Prints figures of one way to run.
#[derive(Debug)]
pub(crate) struct Report {
    mode: &'static str,
}

impl Report {
    pub(crate) const fn new(mode: &'static str) -> Self {
        Self { mode }
    }

    /// A figure in its unit.
    pub(crate) fn figure(&self, metric: &str, stat: &str, value: f64, unit: &str) {
        let value = (value * 1000.0).round() / 1000.0;
        println!(
            "{}",
            json!({"metric": metric, "stat": stat, "value": value, "unit": unit, "mode": self.mode})
        );
    }

    /// A duration in milliseconds.
    pub(crate) fn time(&self, metric: &str, stat: &str, value: Duration) {
        self.figure(metric, stat, value.as_secs_f64() * 1000.0, "ms");
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
}
