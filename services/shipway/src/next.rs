//! The program as the next release would be it: built with `next-schema`, for the tests of an upgrade.

use std::process::ExitCode;

fn main() -> ExitCode {
    shipway::main()
}
