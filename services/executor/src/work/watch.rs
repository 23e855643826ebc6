//! Waiting until something holds.

use std::time::Duration;

use shipway_nodes::workload::{Await, Watch};

use super::{Attempt, Failure, Success, error, message, values};
use crate::runtime::Runtime;

/// How often an address is asked, and how long it has to answer.
const PERIOD: Duration = Duration::from_secs(1);
/// How often a keeper is asked.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(attempt: &Attempt<'_>, work: &Await) -> Result<Success, Failure> {
    attempt.started(serde_json::Map::new());
    let timeout = Duration::from_secs(work.timeout_seconds.into());
    let mut seen = "nothing yet".to_owned();
    let wait = async {
        loop {
            let (holds, pause) = look(attempt, &work.watch, &mut seen).await?;
            if holds {
                return Ok(Success::default());
            }
            tokio::time::sleep(pause).await;
        }
    };
    let done = tokio::select! {
        done = tokio::time::timeout(timeout, wait) => done,
        () = attempt.over.cancelled() => return Err(Failure::Stopped),
    };
    done.unwrap_or_else(|_| {
        let what = match &work.watch {
            Watch::Service { target } => format!("the service {} to be healthy", target.slug),
            Watch::Addon { target } => format!("the addon {} to be ready", target.slug),
            Watch::Http { status, .. } => format!("the address to answer {status}"),
        };
        Err(error("timeout", format!("waited {} s for {what}; last seen: {seen}", work.timeout_seconds)))
    })
}

async fn look(attempt: &Attempt<'_>, watch: &Watch, seen: &mut String) -> Result<(bool, Duration), Failure> {
    match watch {
        Watch::Service { target } | Watch::Addon { target } => {
            let status = attempt.host.runtime.status(target.id).await.map_err(super::failed)?;
            let healthy = status.as_ref().is_some_and(|status| status.healthy && !status.rolling);
            *seen = match status {
                None => "nothing was released to it".to_owned(),
                Some(status) => {
                    let good =
                        status.instances.iter().filter(|one| one.phase == crate::keeper::Phase::Healthy);
                    format!("{} of {} instances healthy", good.count(), status.wanted)
                }
            };
            Ok((healthy, LOOK))
        }
        Watch::Http { url, status, body } => {
            let (url, _) = attempt.finish(attempt.given.project, url).await?;
            let url: reqwest::Url = values::text(&url).parse().map_err(|_| {
                error("bad_url", "the address to wait for is not a URL like https://example.org/")
            })?;
            let client = message::checked_client(attempt, &url).await?;
            match client.get(url).timeout(PERIOD * 5).send().await {
                Err(failure) if failure.is_connect() => "it could not be connected to".clone_into(seen),
                Err(failure) if failure.is_timeout() => "no answer".clone_into(seen),
                Err(_) => "the connection broke".clone_into(seen),
                Ok(answer) => {
                    let found = answer.status().as_u16();
                    let text = answer.text().await.unwrap_or_default();
                    let right = body.as_ref().is_none_or(|wanted| text.contains(wanted));
                    if found == *status && right {
                        return Ok((true, PERIOD));
                    }
                    *seen = if right {
                        format!("it answered {found}")
                    } else {
                        format!("it answered {found} with another text")
                    };
                }
            }
            Ok((false, PERIOD))
        }
    }
}
