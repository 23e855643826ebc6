//! The one binary: `up`, `down`, `serve`, keeper and shim, and the command line client.

mod bench;
mod cli;
mod demo;
mod up;

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    // A keeper or shim is started often and must be there at once: no parser, no runtime.
    let mut words = env::args_os().skip(1);
    match (words.next(), words.next()) {
        (Some(verb), Some(folder)) if verb == "keeper" => up::keeper(Path::new(&folder)),
        (Some(verb), Some(folder)) if verb == "shim" => up::shim(Path::new(&folder)),
        _ => cli::main(),
    }
}
