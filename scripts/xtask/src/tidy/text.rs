//! What no tracked file may say.

use super::{Problem, Repository};

/// Forbidden texts and why. In pieces, so that this file does not say them.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/ho", "me/"), "a machine's path"),
    (concat!("/Us", "ers/"), "a machine's path"),
    (concat!("/ro", "ot/"), "a machine's path"),
    (concat!("/wo", "rk/"), "a machine's path"),
    (concat!("index.crates", ".io"), "a package registry's host"),
    (concat!("static.crates", ".io"), "a package registry's host"),
    (concat!("registry.npm", "js.org"), "a package registry's host"),
    (concat!("py", "pi.org"), "a package registry's host"),
    (concat!("deb.deb", "ian.org"), "a package registry's host"),
    (concat!("TO", "DO"), "unfinished work: do it, or open an issue"),
    (concat!("FIX", "ME"), "unfinished work: do it, or open an issue"),
    (concat!("<<<<", "<<< "), "a merge's mark"),
    (concat!(">>>>", ">>> "), "a merge's mark"),
];

/// The only place that the lock file may name.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(repository: &Repository<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for file in &repository.files {
        let text = repository.text(file);
        let problems = if file.ends_with("Cargo.lock") { lock(&text) } else { look(&text) };
        found.extend(problems.into_iter().map(|problem| format!("{file}:{problem}")));
    }
    found
}

fn look(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (word, reason) in FORBIDDEN {
            if at_a_word(line, word) {
                found.push(format!("{} `{word}`: {reason}", number + 1));
            }
        }
    }
    found
}

/// Whether the text stands there and is not the middle of something longer.
fn at_a_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | '$');
        let path = word.starts_with('/');
        !before.is_some_and(inside) && (path || !after.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_'))
    })
}

fn lock(text: &str) -> Vec<String> {
    let sources = text.lines().enumerate().filter(|(_, line)| line.starts_with("source = "));
    sources
        .filter(|(_, line)| line.trim_start_matches("source = ").trim_matches('"') != SOURCE)
        .map(|(number, line)| format!("{} {line}: only the public registry's own name", number + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_machine_are_found_and_paths_in_a_repository_are_not() {
        assert_eq!(look(concat!("cd /wo", "rk/x")).len(), 1);
        assert!(look(concat!("target/wo", "rk/x")).is_empty());
        assert!(look(concat!("${data}/ho", "me/x")).is_empty());
        assert_eq!(look(concat!("// TO", "DO: later")).len(), 1);
        assert!(look(concat!("MASTO", "DON")).is_empty());
    }

    #[test]
    fn the_lock_file_names_one_registry() {
        assert!(lock(&format!("source = \"{SOURCE}\"\n")).is_empty());
        assert_eq!(lock("source = \"registry+https://mirror.example/index\"\n").len(), 1);
    }
}
