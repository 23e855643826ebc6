//! `shipway restore`: a backup into an empty data folder.

use std::path::Path;

use anyhow::{Context, bail};

/// Unpacks a backup made by `shipway backup` into an empty data folder, and proves its log.
pub(crate) fn restore(archive: &Path, data: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (manifest, report) = runtime
        .block_on(shipway_eventing::backup::restore(archive, data))
        .with_context(|| format!("restoring {} into {}", archive.display(), data.display()))?;
    if let Some(bad) = report.bad {
        bail!("the backup's log is damaged: {bad}");
    }
    eprintln!("restored {} events; the log is whole up to position {}", report.events, manifest.position);
    if !manifest.keys {
        eprintln!(
            "the backup was made without keys: put the `keys` folder of the old data folder into {} before `up`",
            data.display()
        );
    }
    Ok(())
}
