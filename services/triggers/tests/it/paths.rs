//! Path rules mean what Git makes of the same lines in a `.gitignore`.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use shipway_triggers::domain::paths::PathRules;

const RULES: [&str; 22] = [
    "docs/**",
    "docs/",
    "docs/*",
    "docs",
    "/docs",
    "**/docs",
    "*.md",
    "!README.md",
    "!docs/keep.md",
    "/src/*.rs",
    "src/**/x",
    "a?c",
    "[ab].txt",
    "[!a].txt",
    "*",
    "!*",
    "!*.rs",
    "foo/bar",
    "**/b/**",
    "# not a rule",
    "\\#hash",
    "trailing\\ ",
];

const FILES: [&str; 20] = [
    "README.md",
    "docs/a",
    "docs/b/c.md",
    "docs/keep.md",
    "src/main.rs",
    "src/x",
    "src/a/x",
    "src/a/b/x",
    "abc",
    "a.txt",
    "b.txt",
    "c.txt",
    "x/docs/a",
    "x/a.md",
    "foo/bar",
    "x/foo/bar",
    "b/b",
    "a/b/c",
    "#hash",
    "trailing ",
];

/// Which of the files Git ignores by these rules.
fn ignored(folder: &Path, rules: &[&str]) -> Vec<String> {
    fs::write(folder.join(".gitignore"), rules.join("\n")).unwrap();
    let mut git = Command::new("git")
        .args(["-c", "core.excludesFile=/dev/null", "check-ignore", "--no-index", "--stdin", "-z"])
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all((FILES.join("\0") + "\0").as_bytes()).unwrap();
    let output = git.wait_with_output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split('\0')
        .filter(|f| !f.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn path_rules_agree_with_git() {
    let folder = tempfile::tempdir().unwrap();
    crate::support::run(folder.path(), &["init", "-q"]);
    let mut lists: Vec<Vec<&str>> = RULES.iter().map(|rule| vec![*rule]).collect();
    // Pairs, so that the order and what is taken back count.
    for (n, one) in RULES.iter().enumerate() {
        lists.push(vec![one, RULES[(n * 5 + 3) % RULES.len()]]);
        lists.push(vec![one, RULES[(n * 7 + 7) % RULES.len()], "!docs/keep.md"]);
    }
    for rules in lists {
        let git = ignored(folder.path(), &rules);
        let owned: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        for file in FILES {
            let one = [file.to_owned()];
            let is_ignored = git.iter().any(|ignored| ignored == file);
            assert_eq!(PathRules::new(&owned, true).judge(&one).passed, is_ignored, "{rules:?} allow {file}");
            assert_eq!(
                PathRules::new(&owned, false).judge(&one).passed,
                !is_ignored,
                "{rules:?} ignore {file}"
            );
        }
    }
}
