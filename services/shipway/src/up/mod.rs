//! `up`, `down`, `serve`, keeper and shim: Shipway's own processes.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Arguments of `shipway up`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// The data folder; made when missing.
    #[arg(long, env = "SHIPWAY_DATA", value_name = "FOLDER", default_value = ".shipway")]
    pub(crate) data: PathBuf,
    /// Where to listen; a taken port means the next free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7400")]
    pub(crate) listen: String,
    /// Makes the demo project, pushes to it and shows what happens.
    #[arg(long)]
    pub(crate) demo: bool,
}

/// Arguments of `shipway down`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DownArgs {
    /// The data folder of the Shipway to stop.
    #[arg(long, env = "SHIPWAY_DATA", value_name = "FOLDER", default_value = ".shipway")]
    pub(crate) data: PathBuf,
}

/// Arguments of `shipway serve`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The service.
    pub(crate) service: String,
}

const MISSING: &str = "error: this build of shipway is the command line client only";

pub(crate) fn keeper(_folder: &Path) -> ExitCode {
    eprintln!("{MISSING}");
    ExitCode::FAILURE
}

pub(crate) fn shim(_folder: &Path) -> ExitCode {
    eprintln!("{MISSING}");
    ExitCode::FAILURE
}

pub(crate) fn up(_args: UpArgs) -> anyhow::Result<ExitCode> {
    eprintln!("{MISSING}");
    Ok(ExitCode::FAILURE)
}

pub(crate) fn down(_args: DownArgs) -> anyhow::Result<ExitCode> {
    eprintln!("{MISSING}");
    Ok(ExitCode::FAILURE)
}

pub(crate) fn serve(_args: ServeArgs) -> anyhow::Result<ExitCode> {
    eprintln!("{MISSING}");
    Ok(ExitCode::FAILURE)
}

/// Unpacks a backup made by `shipway backup` into an empty data folder.
pub(crate) fn restore(_archive: &Path, _data: &Path) -> anyhow::Result<()> {
    anyhow::bail!("this build of shipway is the command line client only")
}
