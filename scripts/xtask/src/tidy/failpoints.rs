//! Failpoints: the declared list and the sources name the same points, each once.

use std::collections::BTreeMap;

use super::{Problem, Repository, purity::is_test};

const FOLDER: &str = "services/common/eventing/src/failpoints/";

pub(super) fn check(repository: &Repository<'_>) -> Vec<Problem> {
    let sources = repository.files.iter().filter(|file| {
        file.starts_with("services/") && file.ends_with(".rs") && !file.starts_with(FOLDER) && !is_test(file)
    });
    let found: Vec<_> = sources.flat_map(|file| points(&repository.text(file), file)).collect();
    compare(&listed(&repository.text(&format!("{FOLDER}list.rs"))), &found)
}

/// A point of a source file, and the file.
type Point = (String, String);

/// The points that a source file passes.
fn points(text: &str, file: &str) -> Vec<Point> {
    let mut found = Vec::new();
    for call in ["failing!(", "failpoint!("] {
        for (at, _) in text.match_indices(call) {
            let rest = text[at + call.len()..].trim_start();
            let rest = rest.strip_prefix("blocking").map_or(rest, str::trim_start);
            if let Some((name, _)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                found.push((name.to_owned(), file.to_owned()));
            }
        }
    }
    found
}

/// The names in the list: a line each.
fn listed(text: &str) -> Vec<String> {
    let name = |line: &str| Some(line.trim().strip_prefix('"')?.strip_suffix("\",")?.to_owned());
    text.lines().filter_map(name).collect()
}

fn compare(listed: &[String], found: &[Point]) -> Vec<Problem> {
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, file) in found {
        files.entry(name).or_default().push(file);
    }
    let unlisted = files.iter().filter(|(name, _)| !listed.iter().any(|listed| listed == *name));
    let unlisted = unlisted.map(|(name, files)| format!("{}: {name} is not in {FOLDER}list.rs", files[0]));
    let twice = files.iter().filter(|(_, files)| files.len() > 1);
    let twice = twice.map(|(name, files)| format!("{}: {name} is also in {}", files[0], files[1]));
    let nowhere = listed.iter().filter(|name| !files.contains_key(name.as_str()));
    let nowhere = nowhere.map(|name| format!("{FOLDER}list.rs: no source passes {name}"));
    unlisted.chain(twice).chain(nowhere).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_found_however_they_are_written() {
        let text =
            "failing!(\"a\", x.await)?;\n failing!(\n    \"b\",\n y)\n failpoint!(blocking \"c\", return);";
        let names: Vec<_> = points(text, "f").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn what_is_not_listed_listed_in_vain_or_there_twice_is_a_problem() {
        let list = listed("pub const X: &[&str] = &[\n    \"a\",\n    \"b\",\n];\n");
        let point = |name: &str| (name.to_owned(), "f".to_owned());
        assert!(compare(&list, &[point("a"), point("b")]).is_empty());
        let found = compare(&list, &[point("a"), point("a"), point("c")]);
        assert_eq!(found.len(), 3, "{found:#?}");
    }
}
