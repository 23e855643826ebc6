//! `shipway down`: stops a Shipway and everything that it keeps running on this machine.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use shipway_eventing::{Blobs, DataLock};
use shipway_executor::ExecutorConfig;

use super::{DownArgs, folder::Folder};

/// How long Shipway may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stops the Shipway on a data folder, if one runs, then its keepers and shims.
pub(crate) fn down(args: DownArgs) -> anyhow::Result<ExitCode> {
    if !args.data.exists() {
        bail!("there is no data folder {}; name it with --data", args.data.display());
    }
    let folder = Folder::open(&args.data)?;
    let lock = match (DataLock::take(folder.root()), folder.note()) {
        (Err(_), Some(note)) => {
            let lock = stop_process(note.pid, &folder)?;
            eprintln!("Shipway has stopped.");
            lock
        }
        (lock, _) => lock?,
    };
    folder.retract();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stopped = runtime.block_on(async {
        let blobs = Blobs::open(&folder.blobs()).await.context("opening the blobs")?;
        let config = ExecutorConfig::new(folder.root().to_owned(), std::env::current_exe()?, blobs);
        shipway_executor::stop_all(&config).await.context("stopping what runs on this host")
    })?;
    drop(lock);
    for name in &stopped {
        eprintln!("stopped {name}");
    }
    if stopped.is_empty() {
        eprintln!("Nothing that it deployed was running.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the process to stop, and waits for the data folder's lock: it is free when the process has ended.
fn stop_process(pid: u32, folder: &Folder) -> anyhow::Result<DataLock> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("server.json names no process")?;
    let until = Instant::now() + PATIENCE;
    kill_process(pid, Signal::TERM).context("asking Shipway to stop")?;
    let mut killed = false;
    loop {
        match DataLock::take(folder.root()) {
            Ok(lock) => return Ok(lock),
            Err(error) if killed => return Err(error.into()),
            Err(_) if Instant::now() > until => {
                kill_process(pid, Signal::KILL).context("killing Shipway")?;
                killed = true;
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
