//! The diagnostic work: goes to the executor and back.

use std::time::Duration;

use serde_json::{Map, Value};
use shipway_nodes::workload::Noop;

use super::{Attempt, Failure, Success, error};

/// Numbers above this are computed in a thread of their own, so that lighter work goes on.
const INLINE: u32 = 20;

pub(super) async fn run(attempt: &Attempt<'_>, work: &Noop) -> Result<Success, Failure> {
    let mut outputs: Map<String, Value> = work.outputs.clone();
    if let Some(milliseconds) = work.sleep_ms {
        attempt.started(Map::new());
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(milliseconds)) => {}
            () = attempt.over.cancelled() => return Err(Failure::Stopped),
        }
    }
    if let Some(number) = work.fib {
        let result = if number > INLINE {
            let computed = tokio::task::spawn_blocking(move || fib(number)).await;
            computed.map_err(|failure| error("noop", format!("computing fib({number}) failed: {failure}")))?
        } else {
            fib(number)
        };
        outputs.insert("fib".to_owned(), result.into());
    }
    match &work.fail {
        Some(message) => Err(error("noop", message.clone())),
        None => Ok(Success { outputs, effects: Vec::new() }),
    }
}

/// By plain recursion, on purpose: it is there to keep a processor busy.
fn fib(number: u32) -> u64 {
    if number < 2 { u64::from(number) } else { fib(number - 1) + fib(number - 2) }
}
