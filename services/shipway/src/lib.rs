//! The one binary: `up`, `down`, `serve`, keeper and shim, and the command line client.

mod bench;
mod cli;
mod demo;
mod lsp;
mod up;

use std::{env, path::Path, process::ExitCode};

/// A delivery or a node is many short-lived pieces of memory: with this, more of them pass in the same time than with the C
/// library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the program: what it does is in its arguments.
#[must_use]
pub fn main() -> ExitCode {
    // A keeper or shim is started often and must be there at once: no parser, no runtime.
    let words: Vec<_> = env::args_os().skip(1).collect();
    match words.as_slice() {
        [verb, folder] if verb == "keeper" => up::keeper(Path::new(folder)),
        [verb, folder] if verb == "shim" => up::shim(Path::new(folder)),
        [verb, folder] if verb == "way" => up::way(Path::new(folder)),
        [verb, rest @ ..] if verb == "sandbox" => up::sandbox(rest),
        _ => cli::main(),
    }
}
