//! What every service's main shares: telemetry, lifecycle, the one port with gRPC, health and HTTP.

mod actor;
pub mod config;
mod connections;
mod health;
mod lifecycle;
mod lines;
pub mod metrics;
mod ports;
mod requests;
mod server;
mod telemetry;

pub use actor::Credentials;
pub use connections::Guard;
pub use health::{Health, Report};
pub use lifecycle::{Lifecycle, TaskFailed};
pub use ports::{INSTANCE_PORTS, not_for_instances};
pub use server::{ServeError, Server};
pub use shipway_contracts::trace::{current as current_trace, link as link_span, link_to as link_to_trace};
pub use telemetry::{Telemetry, TelemetryError, TelemetryOptions};

/// Names the cryptography that TLS uses. Called first thing in a process that may speak TLS.
pub fn install_crypto() {
    // A second call finds the same provider in place; that is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
