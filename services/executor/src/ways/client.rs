//! How the executor starts the process of its ways and tells it what to forward.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::protocol::{RECORD, Reply, Request, Route, SOCKET, VERSION};
use crate::os::{stage::Starter, wire};

/// The ways of this host.
#[derive(Debug)]
pub(crate) struct Ways {
    folder: PathBuf,
    starter: Starter,
}

impl Ways {
    pub(crate) fn new(folder: PathBuf, starter: Starter) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, starter })
    }

    /// Forwards these and no others. Nothing is started for none.
    pub(crate) async fn set(&self, routes: Vec<Route>) -> io::Result<()> {
        if routes.is_empty() && !self.folder.join(RECORD).exists() {
            return Ok(());
        }
        self.ensure().await?;
        match talk(&self.folder, &Request::Set { routes }).await? {
            Reply::Open { closed } => {
                for listen in closed {
                    tracing::warn!(%listen, "something else has the port; it is tried again");
                }
                Ok(())
            }
            Reply::Failed { message } => Err(io::Error::other(message)),
            Reply::Hello { .. } => Err(io::Error::other("an answer to another question")),
        }
    }

    /// Frees these ports for a target that is about to live here.
    pub(crate) async fn release(&self, ports: Vec<u16>) {
        if self.folder.join(RECORD).exists() {
            // Where none runs, none holds a port.
            let _ = talk(&self.folder, &Request::Release { ports }).await;
        }
    }

    /// Starts the process again after a reboot or a crash.
    pub(crate) async fn revive(&self) -> io::Result<()> {
        if self.folder.join(RECORD).exists() { self.ensure().await } else { Ok(()) }
    }

    /// Ends it.
    pub(crate) async fn stop(&self) {
        // Where none runs, there is nothing to end.
        let _ = talk(&self.folder, &Request::Stop).await;
        let _ = fs::remove_file(self.folder.join(RECORD));
    }

    async fn ensure(&self) -> io::Result<()> {
        match talk(&self.folder, &Request::Hello).await {
            Ok(Reply::Hello { version: VERSION }) => return Ok(()),
            // Another Shipway's: this one's takes its place and its record.
            Ok(_) => drop(talk(&self.folder, &Request::Stop).await),
            Err(_) => {}
        }
        let mut command = self.starter.command("way");
        command.arg(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = command.spawn()?.wait_with_output().await?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

async fn talk(folder: &Path, request: &Request) -> io::Result<Reply> {
    let mut socket = wire::connect(folder, SOCKET).await?;
    wire::send_async(&mut socket, request).await?;
    wire::receive_async(&mut socket).await
}
