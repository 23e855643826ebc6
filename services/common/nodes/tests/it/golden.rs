//! Broken documents and what is said about them. `golden/<name>` has its report beside it in `<name>.txt`;
//! `UPDATE_GOLDEN=1` writes the reports anew, to be read before they are kept.

use std::{env, fs, path::Path};

use shipway_nodes::lint::{Knowledge, lint};

#[test]
fn broken_documents_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension != "txt"));
    names.sort();
    assert!(names.len() >= 40, "golden documents are missing");
    let mut wrong = Vec::new();
    for path in names {
        let name = path.file_name().unwrap().to_str().unwrap();
        let report = lint(name, &fs::read_to_string(&path).unwrap(), Knowledge::default());
        assert!(!report.problems.is_empty(), "nothing is said about {name}");
        for problem in &report.problems {
            assert!(problem.help.is_some(), "{name}: no way out of {problem}");
        }
        let report = format!("{report}\n");
        let expected = folder.join(format!("{name}.txt"));
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &report).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != report {
            wrong.push(format!("{name}:\n{report}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
