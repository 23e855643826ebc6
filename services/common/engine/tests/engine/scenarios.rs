//! Stories in `tests/scenarios/*.txt`: a plan, then commands (`> …`), each followed by the events that it made,
//! and the state at the end. `UPDATE_SCENARIOS=1` writes the answers anew; the diff is for a reviewer.

use std::{fs, path::Path};

use crate::story::Story;

#[test]
fn every_story_ends_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "stories are missing from {}", folder.display());
    let mut wrong = Vec::new();
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let told = retell(&written);
        if std::env::var_os("UPDATE_SCENARIOS").is_some() {
            fs::write(&file, &told).unwrap();
        } else if told != written {
            wrong.push(format!("{}\n{told}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "these stories go otherwise now:\n{}", wrong.join("\n"));
}

/// The same story with the answers that the engine gives today.
fn retell(written: &str) -> String {
    let (head, body) = written.split_once("\n> ").expect("a story has commands");
    let plan: Vec<&str> = head.lines().filter(|line| !line.starts_with('#')).collect();
    let mut story = Story::new(&plan.join("\n"));
    let mut told = format!("{}\n", head.trim_end());
    for line in format!("> {body}").lines() {
        if let Some(command) = line.strip_prefix("> ") {
            told += &format!("\n{line}\n");
            for answer in story.tell(command) {
                told += &format!("{answer}\n");
            }
        } else if line.starts_with('#') {
            told += &format!("\n{line}");
        }
    }
    format!("{told}\n{}", story.summary())
}
