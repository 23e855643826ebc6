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
mod relays;

/// Whether the long sizes are asked for.
fn full() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some_and(|value| value == "1")
}
