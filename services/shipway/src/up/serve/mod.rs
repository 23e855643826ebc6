//! `shipway serve`: one service of a distributed Shipway, from its settings to its end.

pub(crate) mod settings;

use std::process::ExitCode;

use shipway_service_kit::config::Settings;

use super::args::{ServeArgs, Service};

/// One service of a distributed Shipway. Nothing starts before all of its settings hold.
pub(crate) fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let sources = settings::sources(&args.given);
    match args.service {
        Service::Pipelines => pipelines(settings::load(&sources)?),
        Service::Triggers => triggers(settings::load(&sources)?),
        Service::Scheduler => scheduler(settings::load(&sources)?),
        Service::Executor => executor(settings::load(&sources)?),
        Service::Console => console(settings::load(&sources)?),
    }
}

fn pipelines(_settings: shipway_pipelines::Settings) -> anyhow::Result<ExitCode> {
    absent::<shipway_pipelines::Settings>()
}

fn triggers(_settings: shipway_triggers::Settings) -> anyhow::Result<ExitCode> {
    absent::<shipway_triggers::Settings>()
}

fn scheduler(_settings: shipway_scheduler::Settings) -> anyhow::Result<ExitCode> {
    absent::<shipway_scheduler::Settings>()
}

fn executor(_settings: shipway_executor::Settings) -> anyhow::Result<ExitCode> {
    absent::<shipway_executor::Settings>()
}

fn console(_settings: shipway_console::Settings) -> anyhow::Result<ExitCode> {
    absent::<shipway_console::Settings>()
}

fn absent<S: Settings>() -> anyhow::Result<ExitCode> {
    anyhow::bail!(
        "`serve {}` is not in this version: it runs all services in one process; use `shipway up`",
        S::SERVICE
    )
}
