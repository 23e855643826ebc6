//! Keepers need an executor only to be started after a reboot or a crash, and to get their secrets then.

use std::{
    collections::BTreeMap,
    sync::{Weak, atomic::Ordering},
    time::Duration,
};

use serde_json::Map;

use super::Inner;
use crate::{
    runtime::{Runtime, RuntimeError},
    work,
};

/// How often keepers are looked after.
const KEEPER_LOOK: Duration = Duration::from_secs(5);

/// Until the executor is gone, or has stopped its keepers itself.
pub(super) async fn look_after(executor: Weak<Inner>) {
    loop {
        let Some(inner) = executor.upgrade() else { return };
        if inner.down.load(Ordering::SeqCst) {
            return;
        }
        if let Err(error) = inner.look_after_keepers().await {
            tracing::warn!(%error, "keepers could not be looked after");
        }
        drop(inner);
        tokio::time::sleep(KEEPER_LOOK).await;
    }
}

impl Inner {
    /// Starts keepers that died, and gives those their secrets that were started from their records.
    async fn look_after_keepers(&self) -> Result<(), RuntimeError> {
        let runtime = &self.host.runtime;
        let statuses = runtime.statuses().await?;
        if statuses.iter().any(|status| !status.kept) {
            runtime.revive().await?;
        }
        for status in statuses.into_iter().filter(|status| !status.needs_secrets.is_empty()) {
            let values: Map<_, _> = status.needs_secrets.into_iter().collect();
            let fence = status.applied.unwrap_or(status.fence);
            let secrets = self.host.secrets.as_ref();
            let resolved = work::resolve_environment(secrets, status.target.project, fence, &values).await;
            match resolved {
                Ok(environment) => {
                    let mut all: BTreeMap<String, String> = environment.secrets;
                    all.extend(environment.plain);
                    runtime.give_secrets(status.target.id, all).await?;
                }
                Err(failure) => {
                    tracing::warn!(target = status.target.slug, ?failure, "a service waits for its secrets");
                }
            }
        }
        Ok(())
    }
}
