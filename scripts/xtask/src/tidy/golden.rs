//! Stored events outlive code: one golden file per event type and schema number, up to the newest.

use super::{Problem, Repository};

const EVENTS: &str = "services/common/events/";

pub(super) fn check(repository: &Repository<'_>) -> Vec<Problem> {
    let source = format!("{EVENTS}src/");
    let sources = repository.files.iter().filter(|file| file.starts_with(&source) && file.ends_with(".rs"));
    let types: Vec<_> = sources.flat_map(|file| types(&repository.text(file))).collect();
    if types.is_empty() {
        return vec![format!("{source}: no event types found; has their declaration changed?")];
    }
    missing(&types, &repository.files)
}

fn missing(types: &[(String, u16)], files: &[String]) -> Vec<Problem> {
    let all = types.iter().flat_map(|(kind, newest)| {
        (1..=*newest).map(move |schema| format!("{EVENTS}tests/golden/{kind}.{schema}.json"))
    });
    all.filter(|file| !files.contains(file)).map(|file| format!("{file} is missing")).collect()
}

/// The declarations `Variant = "type", number;` of a source file.
fn types(text: &str) -> Vec<(String, u16)> {
    let declared = |line: &str| {
        let (_, rest) = line.trim().strip_suffix(';')?.split_once(" = \"")?;
        let (kind, number) = rest.split_once("\", ")?;
        Some((kind.to_owned(), number.parse().ok()?))
    };
    text.lines().filter_map(declared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_and_every_version_needs_its_file() {
        let text = "        Started = \"run.started\", 2;\n        let a = \"b\";\n";
        assert_eq!(types(text), [("run.started".to_owned(), 2)]);
        let have = vec![format!("{EVENTS}tests/golden/run.started.1.json")];
        let found = missing(&types(text), &have);
        assert_eq!(found, ["services/common/events/tests/golden/run.started.2.json is missing"]);
    }
}
