//! `shipway fmt`: files in their usual form.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use shipway_documents::fmt::format;

use super::{Exit, Failure, Outcome, Paint, Style, out, output::out_bytes, talk};

/// Arguments of `shipway fmt`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// YAML or JSON files; `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Writes nothing and names the files that are not in form; exits with 1 if there are any.
    #[arg(long)]
    check: bool,
    /// Writes the files.
    #[arg(short, long, conflicts_with = "check")]
    write: bool,
    /// Prints the form, as without flags.
    #[arg(long, conflicts_with_all = ["check", "write"])]
    stdout: bool,
}

/// Brings files into form: known members in order, two spaces a step, comments kept.
pub(crate) fn fmt(args: &Args) -> Outcome {
    let mut exit = Exit::Ok;
    for path in &args.files {
        let text = read(path)?;
        let name = path.display().to_string();
        let formatted = match format(&name, &text) {
            Ok(formatted) => formatted,
            Err(report) => {
                talk(&report.to_string());
                exit = Exit::Failed;
                continue;
            }
        };
        if !args.check && !args.write || (args.write && name == "-") {
            out_bytes(formatted.as_bytes());
        } else if formatted != text && args.check {
            out(&name);
            exit = Exit::Failed;
        } else if formatted != text {
            fs::write(path, formatted).map_err(|error| Failure::new(format!("writing {name}: {error}")))?;
            talk(&format!("{} {name}", Paint::stderr().on("formatted", Style::Good)));
        }
    }
    Ok(exit)
}

/// A file's text, or that of standard input for `-`.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let read = if name == "-" {
        io::stdin().read_to_end(&mut bytes).map(drop)
    } else {
        fs::read(path).map(|content| bytes = content)
    };
    read.map_err(|error| Failure::usage(format!("reading {name}: {error}")))?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::usage(format!("reading {name}: it is not UTF-8 text")).help("save it as UTF-8"))
}
