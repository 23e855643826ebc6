//! Rows of the test plan that need many processes: runs and their effects, and what dies under them.
//!
//! Each test prints a line `ROW <id> name=figure …` last. Counts and zeros decide; times are judged only where a row
//! is asked for (`scripts/test --row`) or under `--full`, which has the plan's sizes.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

mod backup;
mod cancel;
mod clocks;
mod database;
mod demo;
mod disk;
mod executors;
mod exhaustion;
mod failpoints;
mod freezes;
mod full_disk;
mod given;
mod kills;
mod lanes;
mod linear;
mod lost_host;
mod machines;
mod nats_away;
mod nats_drift;
mod places;
mod resumed;
mod schedules;
mod stops;
mod timers;
mod upgrade;
mod why;
