//! Runs node attempts, drives runtimes and keeps logs.
//!
//! [`Executor`] is what happens inside Shipway; [`keeper`], [`shim`], [`ways`] and [`sandbox`] are small processes of the
//! same binary, which calls their `main` functions before it starts any thread.

mod addon;
mod api;
mod assignment;
mod attempts;
mod build;
mod config;
mod held;
pub mod keeper;
mod lease;
mod link;
mod logs_api;
pub mod masking;
mod node_logs;
mod os;
pub mod runtime;
pub mod sandbox;
mod service;
mod settings;
pub mod shim;
pub mod ways;
mod work;

pub use api::ExecutorsApi;
pub use assignment::{Assignment, ReportError, Reports, Secrets, SecretsError};
pub use attempts::{Executor, OpenError};
pub use config::ExecutorConfig;
pub use lease::LeaseTimes;
pub use link::Link;
pub use logs_api::{LogsApi, RemoteTail};
pub use node_logs::NodeLogs;
pub use os::boot::BootTime;
pub use service::{Deps, Reach, Service, StartError, stop_all};
pub use settings::{Host, Settings};
pub use ways::Way;
