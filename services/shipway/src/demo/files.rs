//! The demo's files, as they are written at run time: a first version, a second that changes program and
//! schema, and small changes after that.

/// A push of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Round {
    /// The first version.
    First,
    /// The version with notes: program and schema change.
    Second,
    /// Another message; the number counts commits.
    Further(usize),
}

macro_rules! files {
    ($folder:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!("../../demo/shop/", $folder, $path))),)*]
    };
}

const FIRST: &[(&str, &str)] = files!("":
    ".gitignore" "Cargo.toml" "Procfile" "README.md"
    "migrations/0001_items.sql"
    "src/bin/migrate.rs" "src/bin/smoke.rs" "src/bin/web.rs"
    "src/client.rs" "src/database.rs" "src/http.rs" "src/items.rs" "src/lib.rs" "src/message.txt"
    "src/migrations.rs" "src/version.rs");

const SECOND: &[(&str, &str)] = files!("second/":
    "migrations/0002_notes.sql"
    "src/items.rs" "src/message.txt" "src/migrations.rs" "src/version.rs");

const PROJECT: &str = include_str!("../../demo/shop.yaml");

/// The project's declaration for the repository at that address.
pub(crate) fn project(repository: &str) -> String {
    PROJECT.replacen("REPOSITORY: \"\"", &format!("REPOSITORY: {}", serde_json::json!(repository)), 1)
}

impl Round {
    /// What a repository with so many commits has yet to see: both versions, the second, or one more change.
    pub(crate) fn to_come(commits: usize) -> Vec<Self> {
        match commits {
            0 => vec![Self::First, Self::Second],
            1 => vec![Self::Second],
            more => vec![Self::Further(more + 1)],
        }
    }

    /// What people call it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::First => "the first push".to_owned(),
            Self::Second => "the second push, with notes".to_owned(),
            Self::Further(number) => format!("push number {number}"),
        }
    }

    /// The commit's message.
    pub(crate) fn message(self) -> String {
        match self {
            Self::First => "Sell things".to_owned(),
            Self::Second => "Let items have a note".to_owned(),
            Self::Further(number) => format!("Say something new ({number})"),
        }
    }

    /// The schema's version after it.
    pub(crate) fn schema(self) -> i64 {
        match self {
            Self::First => 1,
            Self::Second | Self::Further(_) => 2,
        }
    }

    /// The files that it writes.
    pub(crate) fn files(self) -> Vec<(&'static str, String)> {
        let owned = |files: &[(&'static str, &str)]| {
            files.iter().map(|(path, text)| (*path, (*text).to_owned())).collect::<Vec<_>>()
        };
        match self {
            Self::First => owned(FIRST),
            Self::Second => owned(SECOND),
            Self::Further(number) => vec![("src/message.txt", format!("change {number}\n"))],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use shipway_documents::resources::{Declared, parse_declarations};

    use super::*;

    #[test]
    fn a_repository_sees_what_it_has_not_seen() {
        assert_eq!(Round::to_come(0), [Round::First, Round::Second]);
        assert_eq!(Round::to_come(1), [Round::Second]);
        assert_eq!(Round::to_come(2), [Round::Further(3)]);
    }

    #[test]
    fn the_project_names_the_repository() {
        let text = project("file:///tmp/a b/shop.git");
        assert!(text.contains("  REPOSITORY: \"file:///tmp/a b/shop.git\"\n"), "{text}");
    }

    #[test]
    fn the_project_is_declared_as_documents_want_it() {
        let text = project("file:///srv/shop.git");
        let document = shipway_documents::parse("shop.yaml", &text).unwrap();
        let declared = parse_declarations(&document).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert!(!declared.warnings.has_errors() && declared.warnings.is_empty(), "{:#?}", declared.warnings);
        for one in declared.all.iter().filter(|one| !matches!(one.declared, Declared::Project)) {
            assert_eq!(one.project.as_deref(), Some("shop"), "{}", one.slug);
        }
        let flows = declared.all.iter().filter_map(|one| match &one.declared {
            Declared::Pipeline(pipeline) => {
                Some(pipeline.stages.iter().filter(|stage| stage.flow.is_some()).count())
            }
            Declared::Project | Declared::Resource(_) => None,
        });
        assert_eq!(flows.collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn no_file_of_the_demo_is_left_out() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/shop");
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        let second = SECOND.iter().map(|(path, _)| format!("second/{path}"));
        let mut known: Vec<_> = FIRST.iter().map(|(path, _)| (*path).to_owned()).chain(second).collect();
        found.sort();
        known.sort();
        assert_eq!(found, known);
    }
}
