//! The triggers service as others meet it: over a real log, with real Git repositories.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod flow_hook;
mod ingress;
mod post_receive;
mod reconcile;
mod rules;
mod support;
