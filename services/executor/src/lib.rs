//! Runs node attempts, drives runtimes and keeps logs.
//!
//! The executor is what happens inside Shipway; the keeper, the shim and the sandbox launcher are small processes
//! of the same binary, which calls their `main` functions before it starts any thread.

pub mod keeper;
pub mod masking;
mod os;
pub mod runtime;
pub mod sandbox;
pub mod shim;
