//! Rows of the test plan that need many processes: runs, effects and what dies under them.

#![expect(clippy::unwrap_used, reason = "a test whose world is not as it should be fails at once")]

mod nats_away;
