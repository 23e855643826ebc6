//! The crate as its users see it.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it like the test itself")]

mod diffs;
mod document_types;
mod edits;
mod expressions;
mod flows;
mod fmt;
mod functions;
mod golden;
mod infer;
mod phases;
mod properties;
mod resources;
mod schedules;
mod sources;
mod texts;
