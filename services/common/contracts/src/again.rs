//! Asking again where nobody was there to answer.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};
use tonic::{Response, Status};

use crate::{is_away, retry_after};

/// The first pause before something is asked again, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Asks until somebody answers, for so long at most. Only for what may be asked twice: a question, or a command that has
/// an id. What is refused is refused at once.
///
/// # Errors
/// The refusal, or why nobody answered in time.
pub async fn until_answered<T, F>(patience: Duration, mut ask: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let end = Instant::now() + patience;
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
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);

    /// How often somebody is asked who answers so, and how it ends.
    async fn asked(answer: impl Fn(u32) -> Result<u32, Status>) -> (u32, Result<u32, Status>) {
        let times = Cell::new(0);
        let ended = until_answered(PATIENCE, || {
            times.set(times.get() + 1);
            let answer = answer(times.get()).map(Response::new);
            async { answer }
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
