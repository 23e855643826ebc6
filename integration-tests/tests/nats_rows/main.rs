//! Rows of the test plan about NATS, as the feed sees them: real PostgreSQL, real nats-server, several processes' worth
//! of logs and feeds in one. Each test prints a line `ROW <id> name=figure …` last. `SHIPWAY_FULL=1` runs the sizes
//! that take longer.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod bell;
mod examples;
mod given;
mod leaders;
mod limits;
mod lost;
mod network;
mod outside;
mod permissions;
mod production;
mod relays;

use std::process::Command;

use shipway_integration_tests::nats::{NEW_SERVER, SERVER};

/// Whether the long sizes are asked for.
fn full() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some_and(|value| value == "1")
}

/// All of this once more on a newer server, if one is at hand.
#[test]
fn row_n_14_the_same_on_a_newer_server() {
    let Some(newer) = std::env::var_os(NEW_SERVER) else {
        println!("ROW N-14 newer_servers=0 ({NEW_SERVER} names none)");
        return;
    };
    let version = Command::new(&newer).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let tests = Command::new(std::env::current_exe().unwrap())
        .args(["--skip", "row_n_14", "--test-threads", "2"])
        .env(SERVER, &newer)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tests.stdout);
    assert!(tests.status.success(), "on {version}: {said}");
    let passed = said.lines().filter(|line| line.ends_with("... ok")).count();
    println!("ROW N-14 newer_servers=1 ({version}) passed={passed} failed=0");
}
