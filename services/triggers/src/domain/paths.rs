//! Path rules: which changed files count, in the syntax of `.gitignore`.
//!
//! As Git has it: the last rule that fits a path decides, `!` takes back, and nothing inside a folder that is ignored
//! can be taken back.

use std::fmt;

use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

/// The path rules of a trigger.
#[derive(Clone)]
pub struct PathRules {
    rules: Vec<String>,
    is_allow_list: bool,
    matcher: Gitignore,
    /// Rules that cannot be read; they fit nothing.
    unreadable: Vec<String>,
}

/// What path rules make of changed files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathVerdict {
    /// Whether a file counts.
    pub passed: bool,
    /// Why, in words.
    pub words: String,
}

impl PathRules {
    /// The rules of a list. With `is_allow_list` files that fit start the flow; without, the others do.
    #[must_use]
    pub fn new(rules: &[String], is_allow_list: bool) -> Self {
        let rules: Vec<String> = rules.iter().filter(|rule| !rule.trim().is_empty()).cloned().collect();
        let mut builder = GitignoreBuilder::new("");
        let mut unreadable = Vec::new();
        for rule in &rules {
            if builder.add_line(None, rule).is_err() {
                unreadable.push(rule.clone());
            }
        }
        let matcher = builder.build().unwrap_or_else(|_| {
            // Each rule was read by itself: only their number can be too much.
            unreadable.clone_from(&rules);
            Gitignore::empty()
        });
        Self { rules, is_allow_list, matcher, unreadable }
    }

    /// Whether there are none: then every push counts, whatever it changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether one of these files counts.
    #[must_use]
    pub fn judge(&self, files: &[String]) -> PathVerdict {
        let Some(first) = files.first() else {
            return PathVerdict { passed: false, words: "no file was changed".to_owned() };
        };
        let deciding: Vec<Option<&str>> = files.iter().map(|file| self.deciding(file)).collect();
        let total = files.len();
        let of_all = |count: usize| match (count, total) {
            (_, 1) => format!("the only changed file {first}"),
            (count, total) if count == total => format!("all {total} files"),
            (count, total) => format!("{count} of {total} files"),
        };
        let fitting: Vec<&str> = deciding.iter().flatten().copied().collect();
        let (passed, words) = match (self.is_allow_list, fitting.len()) {
            (true, 0) => (
                false,
                format!(
                    "{} {}",
                    self.counted(&[], "allow"),
                    if total == 1 { of_all(0) } else { format!("any of {total} files") }
                ),
            ),
            (true, count) => {
                let example = deciding.iter().position(Option::is_some).map_or(first, |at| &files[at]);
                let example = if total == 1 { String::new() } else { format!(", {example} is one") };
                (true, format!("{} {}{example}", self.counted(&fitting, "allowed"), of_all(count)))
            }
            (false, count) if count == total => {
                (false, format!("{} {}", self.counted(&fitting, "excluded"), of_all(count)))
            }
            (false, count) => {
                let example = deciding.iter().position(Option::is_none).map_or(first, |at| &files[at]);
                let left = total - count;
                let words = if total == 1 {
                    format!("no path rule excludes {}", of_all(1))
                } else {
                    format!("no path rule excludes {}, {example} is one", of_all(left))
                };
                (true, words)
            }
        };
        let words = match self.unreadable.as_slice() {
            [] => words,
            [one] => format!("{words} (path rule `{one}` cannot be read and fits nothing)"),
            some => format!("{words} ({} path rules cannot be read and fit nothing)", some.len()),
        };
        PathVerdict { passed, words }
    }

    /// The rule by which a file is in the list, if it is.
    fn deciding(&self, file: &str) -> Option<&str> {
        let folders = file.match_indices('/').map(|(end, _)| (&file[..end], true));
        for (path, is_folder) in folders.chain([(file, false)]) {
            if let Match::Ignore(glob) = self.matcher.matched(path, is_folder) {
                return Some(glob.original());
            }
        }
        None
    }

    /// `path rule `docs/**` excluded`, or with several rules how many files each decided on.
    fn counted(&self, fitting: &[&str], verb: &str) -> String {
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for rule in fitting {
            match counts.iter_mut().find(|(known, _)| known == rule) {
                Some((_, count)) => *count += 1,
                None => counts.push((rule, 1)),
            }
        }
        match counts.as_slice() {
            [] => match self.rules.as_slice() {
                [only] => format!("path rule `{only}` does not {verb}"),
                rules => {
                    let shown: Vec<String> = rules.iter().map(|rule| format!("`{rule}`")).collect();
                    format!("path rules {} do not {verb}", shown.join(", "))
                }
            },
            [(only, _)] => format!("path rule `{only}` {verb}"),
            several => {
                let shown: Vec<String> = several
                    .iter()
                    .map(|(rule, count)| {
                        format!("`{rule}` ({count} file{})", if *count == 1 { "" } else { "s" })
                    })
                    .collect();
                format!("path rules {} {verb}", shown.join(", "))
            }
        }
    }
}

impl Default for PathRules {
    fn default() -> Self {
        Self::new(&[], false)
    }
}

impl fmt::Debug for PathRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathRules")
            .field("rules", &self.rules)
            .field("is_allow_list", &self.is_allow_list)
            .finish_non_exhaustive()
    }
}

impl PartialEq for PathRules {
    fn eq(&self, other: &Self) -> bool {
        (&self.rules, self.is_allow_list) == (&other.rules, other.is_allow_list)
    }
}

impl Eq for PathRules {}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(rules: &[&str], is_allow_list: bool, files: &[&str]) -> (bool, String) {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let PathVerdict { passed, words } = PathRules::new(&owned(rules), is_allow_list).judge(&owned(files));
        (passed, words)
    }

    #[test]
    fn a_verdict_names_the_rule_and_the_files() {
        for (rules, allow, files, passed, words) in [
            (
                &["docs/**"][..],
                false,
                &["docs/a", "docs/b/c", "docs/d"][..],
                false,
                "path rule `docs/**` excluded all 3 files",
            ),
            (
                &["docs/**"],
                false,
                &["docs/a"],
                false,
                "path rule `docs/**` excluded the only changed file docs/a",
            ),
            (&["docs/**"], false, &["src/a"], true, "no path rule excludes the only changed file src/a"),
            (
                &["docs/**"],
                false,
                &["docs/a", "src/a", "x"],
                true,
                "no path rule excludes 2 of 3 files, src/a is one",
            ),
            (
                &["docs/", "*.md"],
                false,
                &["docs/a", "a.md", "b/c.md"],
                false,
                "path rules `docs/` (1 file), `*.md` (2 files) excluded all 3 files",
            ),
            (
                &["api/**"],
                true,
                &["api/a", "b"],
                true,
                "path rule `api/**` allowed 1 of 2 files, api/a is one",
            ),
            (&["api/**"], true, &["api/a"], true, "path rule `api/**` allowed the only changed file api/a"),
            (&["api/**"], true, &["a", "b"], false, "path rule `api/**` does not allow any of 2 files"),
            (
                &["api/**", "x"],
                true,
                &["a"],
                false,
                "path rules `api/**`, `x` do not allow the only changed file a",
            ),
            (&["*", "!*.rs"], false, &["a.rs"], true, "no path rule excludes the only changed file a.rs"),
            (&["*", "!*.rs"], true, &["a.rs", "b"], true, "path rule `*` allowed 1 of 2 files, b is one"),
            (&["docs/**"], false, &[], false, "no file was changed"),
            (&["docs/**"], true, &[], false, "no file was changed"),
        ] {
            assert_eq!(judge(rules, allow, files), (passed, words.to_owned()), "{rules:?} {files:?}");
        }
    }

    #[test]
    fn nothing_in_a_folder_that_is_ignored_can_be_taken_back() {
        assert!(!judge(&["docs/", "!docs/keep"], false, &["docs/keep"]).0);
        assert!(judge(&["docs/*", "!docs/keep"], false, &["docs/keep"]).0);
    }
}
