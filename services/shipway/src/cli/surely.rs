//! Commands that are given until somebody answers.

use std::time::Duration;

use shipway_contracts::until_answered;
use tonic::{Response, Status};

use super::talk;

/// How long a command is given again: a scheduler that has died is replaced in this time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Gives a command that has an id, and gives the same one again where its answer was lost: it is done once, however often
/// it comes. What is refused is refused at once.
pub(crate) async fn surely<T>(ask: impl AsyncFn() -> Result<Response<T>, Status>) -> Result<T, Status> {
    let mut times = 0;
    until_answered(PATIENCE, || {
        if times == 1 {
            talk("no answer; the same is asked again, and done once");
        }
        times += 1;
        ask()
    })
    .await
}
