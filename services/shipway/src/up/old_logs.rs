//! What nodes printed is deleted when it is old.

use std::{sync::Arc, time::Duration};

use shipway_eventing::{Blobs, Leadership, Log, NodeLogs};
use shipway_events::Timestamp;
use shipway_service_kit::Lifecycle;

/// How often it is looked for logs that are too old.
const EVERY: Duration = Duration::from_secs(3600);
/// Of how many runs the logs are deleted in one go.
const AT_ONCE: usize = 1_000;

/// Whoever leads deletes what was printed longer ago than that.
pub(crate) fn forget(
    blobs: &Blobs,
    log: Arc<dyn Log>,
    leadership: Leadership,
    retention: Duration,
    lifecycle: &Lifecycle,
) {
    let (logs, stopping) = (NodeLogs::new(blobs), lifecycle.stopping());
    let age = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
    lifecycle.spawn("old logs", async move {
        let forget = async {
            let mut rounds = tokio::time::interval(EVERY);
            loop {
                rounds.tick().await;
                leadership.gained().await;
                let before = Timestamp::from_micros(log.now().micros().saturating_sub(age));
                loop {
                    match logs.expire(before, AT_ONCE).await {
                        Ok(done) if done.more => {}
                        Ok(_) => break,
                        Err(error) => {
                            tracing::warn!(%error, "old logs of nodes could not be deleted; trying again later");
                            break;
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = forget => {}
            () = stopping.cancelled() => {}
        }
        Ok::<(), std::convert::Infallible>(())
    });
}
