//! Restarts.

use std::time::Duration;

use shipway_nodes::workload::Restart;

use super::{Attempt, Failure, Success, error, failed};
use crate::runtime::{Runtime, RuntimeError};

pub(super) async fn run(attempt: &Attempt<'_>, work: &Restart) -> Result<Success, Failure> {
    let runtime = &attempt.host.runtime;
    let given = attempt.given;
    attempt.may_act()?;
    attempt.started(serde_json::Map::new());
    let timeout = Duration::from_secs(work.timeout_seconds.into());
    let mut restart =
        std::pin::pin!(runtime.restart(work.target.id, given.fence, &given.effect_key, timeout));
    let restarted = tokio::select! {
        restarted = &mut restart => restarted,
        () = attempt.stop.cancelled() => {
            runtime.cancel(work.target.id, given.fence).await.map_err(failed)?;
            restart.await
        }
    };
    match restarted {
        Ok(_) => Ok(Success::default()),
        Err(RuntimeError::Refused { code, message }) if code != "aborted" => {
            Err(error(&code, format!("restarting {} failed: {message}", work.target.slug)))
        }
        Err(failure) => Err(failed(failure)),
    }
}
