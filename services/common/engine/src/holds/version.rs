//! The version of something that is released, where anything tells one.

use semver::Version;
use serde_json::Value;
use shipway_events::{plan::Artifact, run::Started};

/// The version of an artifact that a run releases: the tag that a trigger of the run named, else the run's name, else the
/// branch that it was built of, whichever is a version: `1.8.3`, `v1.8`, `release/1.8.3-rc.1`.
#[must_use]
pub fn version_of(started: Option<&Started>, artifact: &Artifact) -> Option<Version> {
    let named = started.and_then(|started| {
        let tags = started.plan.triggers.values();
        let tag = tags.filter_map(|values| values.get("tag").and_then(Value::as_str)).find_map(parse);
        tag.or_else(|| parse(&started.name))
    });
    named.or_else(|| parse(&artifact.branch))
}

/// A version as people write it: what is missing of it is 0.
#[must_use]
pub fn parse(text: &str) -> Option<Version> {
    let last = text.rsplit('/').next()?;
    let text = last.strip_prefix(['v', 'V']).unwrap_or(last);
    if let Ok(version) = Version::parse(text) {
        return Some(version);
    }
    let rest = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(rest);
    let filled = match core.matches('.').count() {
        0 => format!("{core}.0.0{rest}"),
        1 => format!("{core}.0{rest}"),
        _ => return None,
    };
    Version::parse(&filled).ok()
}
