//! Projects, resources, pipelines, stages, flows and secrets.
//!
//! A command goes from [`api`] through `domain` (pure: what a project takes) to the log in `change`; `world` is
//! the fold of all projects, which every question is answered from. Values of secrets are in `secrets` alone.

mod accounts;
pub mod api;
mod apply;
mod builds;
mod change;
mod check;
mod compare;
mod delivery;
mod describe;
mod domain;
mod environment;
mod fences;
mod lookup;
mod projections;
mod queries;
mod restore;
mod secrets;
mod senders;
mod service;
mod settings;
mod statuses;
mod triggers;
mod usable;
mod voices;
mod world;

pub use secrets::{KekError, OpenError, SecretError, TABLES};
pub use service::{Deps, Service, StartError, start};
pub use settings::{Ports, Repositories, Settings, Statuses};
pub use statuses::{STATUS_TABLES, StatusConfig, StatusError};
pub use triggers::typed as typed_triggers;
pub use world::WorldError;
