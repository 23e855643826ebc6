//! What a process says at `/metrics`, and whether an expression names only what is in it.

use std::collections::BTreeMap;

type Labels = BTreeMap<String, String>;

/// The samples of one answer.
pub(crate) struct Exposition(BTreeMap<String, Vec<(Labels, f64)>>);

/// A metric with the matchers after it.
struct Selector {
    metric: String,
    matchers: Vec<(String, String, String)>,
}

impl Exposition {
    /// Reads the text.
    pub(crate) fn read(text: &str) -> Self {
        let mut samples: BTreeMap<String, Vec<(Labels, f64)>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, matchers(labels.strip_suffix('}').unwrap())),
                None => (series, Vec::new()),
            };
            let labels = labels.into_iter().map(|(label, _, value)| (label, value)).collect();
            samples.entry(name.to_owned()).or_default().push((labels, value.parse().unwrap()));
        }
        Self(samples)
    }

    /// The values of all samples with these labels, added up.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &Labels| {
            labels.iter().all(|(label, value)| sample.get(*label).map(String::as_str) == Some(value))
        };
        self.0[name].iter().filter(|(sample, _)| fits(sample)).map(|(_, value)| value).sum()
    }

    /// Whether a sample has this value of a label.
    pub(crate) fn has_label_value(&self, name: &str, label: &str, value: &str) -> bool {
        self.0[name].iter().any(|(sample, _)| sample.get(label).map(String::as_str) == Some(value))
    }

    /// Every metric is there, has the labels that are asked for, and has had the values that are named.
    pub(crate) fn check(&self, file: &str, expression: &str) {
        let selectors = selectors(expression);
        assert!(!selectors.is_empty(), "{file}: `{expression}` names no metric");
        for Selector { metric, matchers } in &selectors {
            let samples = self.0.get(metric);
            let samples = samples.unwrap_or_else(|| panic!("{file}: `{metric}` is not there"));
            for (label, operator, value) in matchers {
                let has = samples.iter().any(|(sample, _)| sample.contains_key(label));
                assert!(has, "{file}: `{metric}` has no label `{label}`");
                if operator == "=" {
                    let found = self.has_label_value(metric, label, value);
                    assert!(found, "{file}: no `{metric}` has {label}={value}");
                }
            }
        }
        for label in grouped(expression) {
            self.check_label(file, expression, &label);
        }
    }

    /// Every label in a legend is left over by its expression.
    pub(crate) fn check_legend(&self, file: &str, expression: &str, legend: &str) {
        for part in legend.split("{{").skip(1) {
            let label = part.split("}}").next().unwrap().trim();
            assert!(grouped(expression).iter().any(|kept| kept == label), "{file}: {legend} of {expression}");
        }
    }

    fn check_label(&self, file: &str, expression: &str, label: &str) {
        for Selector { metric, .. } in selectors(expression) {
            let has = self.0[&metric].iter().any(|(sample, _)| sample.contains_key(label));
            assert!(has, "{file}: `{metric}` has no label `{label}`");
        }
    }
}

fn selectors(expression: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("shipway_") {
        rest = &rest[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (metric, after) = rest.split_at(end);
        let matchers = match after.strip_prefix('{') {
            Some(inside) => matchers(inside.split('}').next().unwrap()),
            None => Vec::new(),
        };
        found.push(Selector { metric: metric.to_owned(), matchers });
        rest = after;
    }
    found
}

/// `a="x",b=~"y"` as label, operator and value.
fn matchers(text: &str) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('"') {
        let label: String = head.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let operator: String = head.chars().filter(|c| "=!~".contains(*c)).collect();
        let (value, after) = tail.split_once('"').unwrap();
        found.push((label, operator, value.to_owned()));
        rest = after;
    }
    found
}

/// The labels in `by (…)`.
fn grouped(expression: &str) -> Vec<String> {
    let groups = expression.split("by (").skip(1).filter_map(|part| part.split(')').next());
    groups.flat_map(|group| group.split(',').map(|label| label.trim().to_owned())).collect()
}
