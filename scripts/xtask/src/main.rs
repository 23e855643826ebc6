//! Tasks of the repository: `tidy` proves its rules, `row` names the tests of a row of the test plan.

mod rows;
mod tidy;

use std::{env, path::Path, process::ExitCode};

fn main() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => {
            let found = tidy::check(&root)?;
            for problem in &found {
                eprintln!("{problem}");
            }
            if found.is_empty() {
                println!("tidy: all {} rules hold", tidy::RULES.len());
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!("tidy: {} places break a rule", found.len());
            Ok(ExitCode::FAILURE)
        }
        ["rows"] => {
            print!("{}", rows::table());
            Ok(ExitCode::SUCCESS)
        }
        ["row", id] => match rows::find(id) {
            Some(row) => {
                println!("{}", row.filter());
                Ok(ExitCode::SUCCESS)
            }
            None => {
                eprintln!("no row is called `{id}`; these are:\n{}", rows::table());
                Ok(ExitCode::from(2))
            }
        },
        _ => {
            eprintln!("usage: cargo run -p xtask -- tidy | rows | row <id>");
            Ok(ExitCode::from(2))
        }
    }
}
