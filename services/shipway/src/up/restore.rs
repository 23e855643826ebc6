//! `shipway restore`: a backup into an empty data folder, or into an empty database and a store of blobs.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::Context;
use shipway_eventing::{
    BlobOptions, Blobs, PostgresOptions,
    backup::{self, Progress, Restored},
};

/// Where a backup comes back.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The data folder of `shipway up`.
    Folder(PathBuf),
    /// The servers of `shipway serve`.
    Servers {
        /// The database.
        database: String,
        /// Where the blobs are, and how they are reached.
        blobs: String,
        /// How that is reached.
        options: BlobOptions,
        /// Where the keys go, if the backup has any.
        keys: Option<PathBuf>,
    },
}

/// Brings a backup made by `shipway backup` back, and proves its log.
pub(crate) fn restore(archive: &Path, target: &Target) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let restored = runtime.block_on(bring_back(archive, target));
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let Restored { manifest, report, generation } =
        restored.with_context(|| format!("restoring {}", archive.display()))?;
    eprintln!(
        "restored {} events; the log is whole up to position {}, generation {generation}",
        report.events, manifest.position
    );
    match target {
        Target::Folder(data) if !manifest.keys => eprintln!(
            "the backup was made without keys: put the `keys` folder of the old data folder into {} before `up`",
            data.display()
        ),
        Target::Servers { keys, .. } if !manifest.keys || keys.is_none() => eprintln!(
            "no keys were restored: put the old ones into the folder that [keys] of pipelines and triggers names"
        ),
        Target::Folder(_) | Target::Servers { .. } => {}
    }
    Ok(())
}

async fn bring_back(archive: &Path, target: &Target) -> anyhow::Result<Restored> {
    match target {
        Target::Folder(data) => {
            let restored = backup::restore(archive, data, shown()).await;
            restored.with_context(|| format!("into {}", data.display()))
        }
        Target::Servers { database, blobs, options, keys } => {
            let blobs = Some(Blobs::connect(blobs, options).await?);
            let options = PostgresOptions { blobs, ..PostgresOptions::default() };
            let restored =
                backup::restore_to_servers(archive, database, options, keys.as_deref(), shown()).await;
            Ok(restored?)
        }
    }
}

/// Shows how far it is, to a person.
fn shown() -> impl FnMut(Progress) + Send {
    let live = std::io::stderr().is_terminal();
    move |progress| {
        if live {
            match progress {
                Progress::Filled(position) => eprint!("\rrestored up to position {position}\x1b[K"),
                Progress::Blobs(count) => eprint!("\rrestored {count} blobs\x1b[K"),
                Progress::Proven(position) => eprint!("\rproven whole up to position {position}\x1b[K"),
            }
        }
    }
}
