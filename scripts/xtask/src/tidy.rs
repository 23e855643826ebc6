//! The rules of the repository that no compiler checks.

mod arrows;
mod failpoints;
mod files;
mod golden;
mod graph;
mod purity;
mod text;

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};

use graph::Graph;

/// A place that breaks a rule, as people read it.
pub(crate) type Problem = String;

/// What the rules look at.
pub(crate) struct Repository<'a> {
    root: &'a Path,
    /// Every tracked file.
    files: Vec<String>,
    graph: Graph,
}

/// Finds the places that break one rule.
type Check = fn(&Repository<'_>) -> Vec<Problem>;

/// The rules, by name.
pub(crate) const RULES: &[(&str, Check)] = &[
    ("crates depend only along the arrows of the design", arrows::check),
    ("pure crates have nothing impure in their dependency tree", purity::dependencies),
    ("pure crates read no clock, chance, file, environment or network", purity::sources),
    ("a source file has at most 500 lines before its tests", files::sizes),
    ("every crate is listed as a member", files::members),
    ("the top level holds only what the design names", files::top_level),
    ("no file holds a machine's paths, a package registry's host or unfinished work", text::check),
    ("every event has a golden file for every version", golden::check),
    ("every failpoint is listed, and every listed one is passed somewhere", failpoints::check),
];

/// Every place that breaks a rule.
///
/// # Errors
/// If Git or Cargo cannot be asked.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Problem>> {
    let repository = Repository { root, files: tracked(root)?, graph: Graph::read(root)? };
    let found = RULES.iter().flat_map(|(rule, check)| {
        check(&repository).into_iter().map(move |problem| format!("{problem}\n    rule: {rule}"))
    });
    Ok(found.collect())
}

impl Repository<'_> {
    /// A tracked file's text; nothing for what is no text.
    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.root.join(file)).unwrap_or_default()
    }
}

fn tracked(root: &Path) -> anyhow::Result<Vec<String>> {
    let words = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output =
        Command::new("git").args(words).current_dir(root).output().context("running git ls-files")?;
    ensure!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).context("a file's name is no text")?;
    let files = list.split('\0').filter(|file| !file.is_empty() && root.join(file).exists());
    Ok(files.map(str::to_owned).collect())
}
