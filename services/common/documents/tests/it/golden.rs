//! Broken documents and what is said about them. `golden/<name>.yaml` or `.json` has its report beside it in
//! `<name>.yaml.txt` or `<name>.json.txt`; `UPDATE_GOLDEN=1` writes the reports anew, to be read before they
//! are kept.

use std::{env, fs, path::Path};

use shipway_documents::{parse, resources::parse_declarations};

#[test]
fn broken_documents_are_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension != "txt"));
    names.sort();
    assert!(names.len() > 15, "golden documents are missing");
    let mut wrong = Vec::new();
    for path in names {
        let name = path.file_name().unwrap().to_str().unwrap();
        let report = report(name, &fs::read_to_string(&path).unwrap());
        let expected = folder.join(format!("{name}.txt"));
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &report).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != report {
            wrong.push(format!("{name}:\n{report}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn report(name: &str, text: &str) -> String {
    let report = match parse(name, text) {
        Err(report) => report,
        Ok(document) => {
            document.report(parse_declarations(&document).map_or_else(|found| found, |found| found.warnings))
        }
    };
    for problem in &report.problems {
        assert!(problem.help.is_some(), "{name}: no way out of {problem}");
    }
    format!("{report}\n")
}
