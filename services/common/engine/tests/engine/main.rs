//! The engine's tests: rules one by one, whole stories, and a simulation of everything around the engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod approvals;
mod attempts;
mod freezes;
mod holds;
mod lanes;
mod language;
mod plan;
mod resume;
mod rows;
mod rules;
mod scale;
mod scenarios;
mod sim;
mod story;
