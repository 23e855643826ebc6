//! `shipway serve`: one service of a distributed Shipway, from its settings to its end.
//!
//! * [`process`]: what every service's process does: telemetry, start, port, readiness, drain.
//! * [`ground`]: what services with a database stand on: log, feed, leases, blobs, and each other's addresses.
//! * A file for each service: what it is given.

mod console;
mod executor;
mod ground;
mod logs;
mod pipelines;
mod process;
mod scheduler;
pub(crate) mod settings;
mod triggers;

use std::process::ExitCode;

use super::args::{ServeArgs, Service};

/// One service of a distributed Shipway. Nothing starts before all of its settings hold.
pub(crate) fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let sources = settings::sources(&args.given);
    match args.service {
        Service::Pipelines => pipelines::serve(settings::load(&sources)?),
        Service::Triggers => triggers::serve(settings::load(&sources)?),
        Service::Scheduler => scheduler::serve(settings::load(&sources)?),
        Service::Executor => executor::serve(settings::load(&sources)?),
        Service::Console => console::serve(settings::load(&sources)?),
    }
}
