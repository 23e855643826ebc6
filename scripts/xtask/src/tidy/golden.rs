//! Stored events outlive code: one golden file per event type and schema number, up to the newest. What only the next
//! release writes (the feature `next-schema`) has its files apart.

use super::{Problem, Repository};

const EVENTS: &str = "services/common/events/";

/// What stands before the declaration of what only the next release writes.
const NEXT: &str = "#[cfg(feature = \"next-schema\")]";

/// A type as it is declared.
#[derive(Debug, PartialEq, Eq)]
struct Declared {
    kind: String,
    newest: u16,
    next: bool,
}

pub(super) fn check(repository: &Repository<'_>) -> Vec<Problem> {
    let source = format!("{EVENTS}src/");
    let sources = repository.files.iter().filter(|file| file.starts_with(&source) && file.ends_with(".rs"));
    let types: Vec<_> = sources.flat_map(|file| types(&repository.text(file))).collect();
    if types.is_empty() {
        return vec![format!("{source}: no event types found; has their declaration changed?")];
    }
    missing(&types, &repository.files)
}

fn missing(types: &[Declared], files: &[String]) -> Vec<Problem> {
    let all = types.iter().flat_map(|Declared { kind, newest, next }| {
        let (folder, first) = if *next { ("golden-next", *newest) } else { ("golden", 1) };
        (first..=*newest).map(move |schema| format!("{EVENTS}tests/{folder}/{kind}.{schema}.json"))
    });
    all.filter(|file| !files.contains(file)).map(|file| format!("{file} is missing")).collect()
}

/// The declarations `Variant = "type", number;` of a source file.
fn types(text: &str) -> Vec<Declared> {
    let declared = |(before, line): (&str, &str)| {
        let (_, rest) = line.trim().strip_suffix(';')?.split_once(" = \"")?;
        let (kind, number) = rest.split_once("\", ")?;
        let newest = number.parse().ok()?;
        Some(Declared { kind: kind.to_owned(), newest, next: before.trim() == NEXT })
    };
    let before = std::iter::once("").chain(text.lines());
    before.zip(text.lines()).filter_map(declared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_and_every_version_needs_its_file() {
        let text = "        Started = \"run.started\", 2;\n        let a = \"b\";\n";
        let started = |next| Declared { kind: "run.started".to_owned(), newest: 2, next };
        assert_eq!(types(text), [started(false)]);
        let have = vec![format!("{EVENTS}tests/golden/run.started.1.json")];
        let found = missing(&types(text), &have);
        assert_eq!(found, ["services/common/events/tests/golden/run.started.2.json is missing"]);
        let next = format!("{NEXT}\n{text}");
        assert_eq!(types(&next), [started(true)]);
        let found = missing(&types(&next), &[]);
        assert_eq!(found, ["services/common/events/tests/golden-next/run.started.2.json is missing"]);
    }
}
