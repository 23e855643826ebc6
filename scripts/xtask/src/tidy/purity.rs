//! The pure crates: no clock, no chance, no input or output, no async, no logging.

use super::{Problem, Repository, files::before_tests};

const PURE: &[&str] =
    &["shipway-events", "shipway-documents", "shipway-nodes", "shipway-editor", "shipway-engine"];

/// Crates (and all whose names go on with `-`) that nothing pure needs.
const IMPURE: &[&str] = &[
    "tokio",
    "sqlx",
    "tonic",
    "reqwest",
    "hyper",
    "axum",
    "tower",
    "async-nats",
    "async-trait",
    "futures",
    "mio",
    "rand",
    "rand_chacha",
    "rustix",
    "nix",
    "libsqlite3-sys",
    "object_store",
    "opentelemetry",
    "opentelemetry_sdk",
    "tracing",
    "socket2",
    "tempfile",
    "kube",
];

/// Words of impure code, and what they are.
const WORDS: &[(&str, &str)] = &[
    ("SystemTime::now", "reads the clock"),
    ("Instant::now", "reads the clock"),
    ("Timestamp::now", "reads the clock"),
    ("Zoned::now", "reads the clock"),
    ("Uuid::now_v7", "reads the clock"),
    ("Uuid::new_v4", "makes chance"),
    ("rand::", "makes chance"),
    ("RandomState", "makes chance"),
    ("std::env", "reads the environment"),
    ("std::fs", "reads files"),
    ("std::net", "uses the network"),
    ("std::process", "starts or ends processes"),
    ("std::thread", "starts threads"),
    ("async fn", "waits"),
    ("println!", "prints"),
    ("tracing::", "logs"),
    ("log::info", "logs"),
];

/// Modules that `use std::{…}` could hide.
const MODULES: &[(&str, &str)] = &[
    ("env", "std::env"),
    ("fs", "std::fs"),
    ("net", "std::net"),
    ("thread", "std::thread"),
    ("process", "std::process"),
];

pub(super) fn dependencies(repository: &Repository<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for pure in PURE {
        for (name, way) in repository.graph.tree(pure) {
            if impure(&name) {
                found.push(format!("crate {pure} depends on {name}: {way}"));
            }
        }
    }
    found
}

fn impure(name: &str) -> bool {
    IMPURE
        .iter()
        .any(|bad| name.strip_prefix(bad).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
}

pub(super) fn sources(repository: &Repository<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for pure in PURE {
        let Some(folder) = repository.graph.members.get(*pure) else {
            found.push(format!("crate {pure} is not there"));
            continue;
        };
        let sources = format!("{folder}/src/");
        for file in repository.files.iter().filter(|file| file.starts_with(&sources) && file.ends_with(".rs"))
        {
            if !is_test(file) {
                found.extend(look(&repository.text(file)).into_iter().map(|what| format!("{file}:{what}")));
            }
        }
    }
    found
}

/// Whether a file only holds tests.
pub(super) fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/") || file.starts_with("integration-tests/")
}

/// What a pure file's text has that it should not: line and reason.
fn look(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut group = false;
    for (number, line) in before_tests(text).enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for (word, reason) in WORDS {
            if code.contains(word) {
                found.push(format!("{} `{word}` {reason}", number + 1));
            }
        }
        group |= code.trim_start().starts_with("use std::{");
        if group {
            let inside = code.trim_start().trim_start_matches("use std::{");
            for part in inside.split([',', '{', '}', ';', ' ']) {
                let module = part.split("::").next().unwrap_or_default();
                if let Some((_, full)) = MODULES.iter().find(|(name, _)| *name == module) {
                    found.push(format!("{} `{full}` is not pure", number + 1));
                }
            }
            group = !code.contains(';');
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_crates_are_known_with_their_families() {
        assert!(impure("tokio"));
        assert!(impure("tokio-stream"));
        assert!(impure("futures-util"));
        assert!(!impure("rand_core"), "traits alone make no chance");
        assert!(!impure("serde"));
    }

    #[test]
    fn clocks_files_and_environment_are_found_even_in_groups() {
        assert_eq!(look("let now = Instant::now();"), ["1 `Instant::now` reads the clock"]);
        assert_eq!(look("use std::{\n    fmt,\n    fs::File,\n};"), ["3 `std::fs` is not pure"]);
        assert_eq!(look("use std::{env, fmt};"), ["1 `std::env` is not pure"]);
        assert!(look("// Instant::now is not called\nuse std::fmt;").is_empty());
        assert!(look("use std::{fmt};\nlet env = 1;").is_empty());
        assert!(look("#[cfg(test)]\nmod tests {\n    use std::fs;\n}").is_empty());
    }
}
