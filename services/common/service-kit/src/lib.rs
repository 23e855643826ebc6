//! What every service's main shares: telemetry, lifecycle, the one port with gRPC, health and HTTP.

mod actor;
pub mod config;
mod lifecycle;
mod server;
mod telemetry;
mod trace;

pub use actor::actor;
pub use lifecycle::{Lifecycle, TaskFailed};
pub use server::{ServeError, Server};
pub use telemetry::{Telemetry, TelemetryError};
pub use trace::{current as current_trace, link_to as link_to_trace};

/// Names the cryptography that TLS uses. Called first thing in a process that may speak TLS.
pub fn install_crypto() {
    // A second call finds the same provider in place; that is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
