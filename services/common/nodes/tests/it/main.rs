//! The crate as its users see it.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it like the test itself")]

mod actions;
mod calls;
mod checks;
mod codes;
mod examples;
mod forks;
mod golden;
mod guide;
mod kind_table;
mod lints;
mod removal;
mod scale;
mod schema_property;
mod schemas;
mod soundness;
mod stage_rules;
mod steps;
mod waits;
mod world;
