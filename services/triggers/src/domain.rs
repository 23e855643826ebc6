//! What a delivery says and what the triggers make of it. Pure: no clock, no chance, no input or output.

pub mod answer;
pub mod cron;
pub mod depth;
pub mod explain;
pub mod generic;
mod glob;
pub mod happened;
pub mod heads;
pub mod paths;
pub mod push;
pub mod repository;
pub mod rules;
pub mod sources;
pub mod trigger;

pub use shipway_events::delivery::{match_command, run_id};
