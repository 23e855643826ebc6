//! Admission, runs, timers, assignment, run queries and watches.
//!
//! A request becomes a [`start`]; a run's own task (`run::actor`) decides its commands and appends; executors are
//! told through the `registry`; read tables (`projections`) answer the `queries`.

mod api;
mod language;
mod planning;
mod projections;
mod queries;
mod reactions;
mod registry;
mod run;
mod service;
mod start;
mod state;
mod upkeep;

pub use api::{EventsApi, RunsApi, WorkApi};
pub use registry::Bell;
pub use service::{Deps, Service, StartError};
