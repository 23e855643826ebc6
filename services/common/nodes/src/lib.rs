//! The node kinds: one file each with configuration, validation, outputs and what it asks for.
//!
//! A kind performs nothing: [`workload`] is what it asks an executor for, the engine does the rest.

pub mod addons;
pub mod workload;

pub use workload::{Outcome, Workload};
