//! The service as its callers see it: gRPC in process, over a real log in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod accounts;
mod applying;
mod checking;
mod delivery;
mod diffs;
mod fetching;
mod flows;
mod forms;
mod hooks;
mod instances;
mod members;
mod overrides;
mod support;
mod tokens;
