//! Git as callers have it, against repositories and hosts that mean no good.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod attacks;
mod credentials;
mod host;
mod questions;
mod repository;
