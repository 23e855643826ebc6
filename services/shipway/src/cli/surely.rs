//! Commands that are given until somebody answers.

use std::time::Duration;

use shipway_contracts::{is_away, retry_after};
use tokio::time::{Instant, sleep};
use tonic::{Response, Status};

use super::talk;

/// How long a command is given again: a scheduler that has died is replaced in this time.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first pause before it is given again, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Gives a command that has an id, and gives the same one again where its answer was lost: it is done once, however often
/// it comes. What is refused is refused at once.
pub(crate) async fn surely<T>(ask: impl AsyncFn() -> Result<Response<T>, Status>) -> Result<T, Status> {
    let end = Instant::now() + PATIENCE;
    let mut pause = PAUSE;
    loop {
        let status = match ask().await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => status,
        };
        // Whoever says how long it takes is not waiting for anybody to ask.
        if !is_away(&status) || retry_after(&status).is_some() || Instant::now() + pause > end {
            return Err(status);
        }
        if pause == PAUSE {
            talk("no answer; the same is asked again, and done once");
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often somebody is asked who answers so, and how it ends.
    async fn asked(answer: impl Fn(u32) -> Result<u32, Status>) -> (u32, Result<u32, Status>) {
        let times = Cell::new(0);
        let ended = surely(async || {
            times.set(times.get() + 1);
            answer(times.get()).map(Response::new)
        });
        let ended = ended.await;
        (times.get(), ended)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_answer_is_asked_for_again() {
        let lost = |time| if time < 4 { Err(Status::unavailable("it broke off")) } else { Ok(7) };
        let (times, ended) = asked(lost).await;
        assert_eq!((times, ended.unwrap()), (4, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_one_and_nobody_waits_for_ever() {
        let (times, ended) = asked(|_| Err(Status::failed_precondition("it has ended"))).await;
        assert_eq!((times, ended.is_err()), (1, true));
        let begin = Instant::now();
        let (times, ended) = asked(|_| Err(Status::unavailable("nobody is there"))).await;
        assert!(times > 5 && ended.is_err());
        assert!(begin.elapsed() <= PATIENCE, "{:?}", begin.elapsed());
    }
}
