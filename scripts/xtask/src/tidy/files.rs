//! Where files are and how long they may be.

use std::collections::BTreeSet;

use super::{Problem, Repository, purity::is_test};

/// Lines of a source file before its tests.
const LONGEST: usize = 500;

/// What may stand at the top level.
const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "services",
    "proto",
    "infra",
    "scripts",
    "integration-tests",
    "README.md",
    "ARCHITECTURE.md",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
    "rust-toolchain.toml",
];

/// The demo project's sources are written into a repository of their own.
const DEMO: &str = "services/shipway/demo/";

pub(super) fn sizes(repository: &Repository<'_>) -> Vec<Problem> {
    let sources = repository.files.iter().filter(|file| file.ends_with(".rs") && !is_test(file));
    let long = sources.filter_map(|file| {
        let lines = before_tests(&repository.text(file)).count();
        (lines > LONGEST).then(|| format!("{file}: {lines} lines; is there a second responsibility in it?"))
    });
    long.collect()
}

/// The lines of a source file up to its tests.
pub(super) fn before_tests(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| *line != "#[cfg(test)]")
}

pub(super) fn members(repository: &Repository<'_>) -> Vec<Problem> {
    unlisted(&repository.files, &repository.graph.members.values().cloned().collect())
}

fn unlisted(files: &[String], listed: &BTreeSet<String>) -> Vec<Problem> {
    let folders = files
        .iter()
        .filter(|file| !file.starts_with(DEMO))
        .filter_map(|file| file.strip_suffix("/Cargo.toml"));
    folders
        .filter(|folder| !listed.contains(*folder))
        .map(|folder| format!("{folder}/Cargo.toml is not a member of the workspace"))
        .collect()
}

pub(super) fn top_level(repository: &Repository<'_>) -> Vec<Problem> {
    let entries: BTreeSet<&str> = repository.files.iter().filter_map(|file| file.split('/').next()).collect();
    entries
        .into_iter()
        .filter(|entry| !entry.starts_with('.') && !TOP.contains(entry))
        .map(|entry| format!("{entry} does not belong at the top level"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_up_to_the_tests() {
        assert_eq!(before_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n").count(), 2);
        assert_eq!(before_tests("a\n    #[cfg(test)]\nb\n").count(), 3);
    }

    #[test]
    fn a_crate_that_is_not_listed_is_found() {
        let files = [
            "Cargo.toml",
            "services/a/Cargo.toml",
            "services/b/Cargo.toml",
            "services/shipway/demo/shop/Cargo.toml",
        ];
        let listed = BTreeSet::from(["services/a".to_owned()]);
        let found = unlisted(&files.map(str::to_owned), &listed);
        assert_eq!(found, ["services/b/Cargo.toml is not a member of the workspace"]);
    }
}
