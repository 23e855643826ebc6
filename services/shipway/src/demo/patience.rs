//! Shipway may be many processes, and any of them may die while the demo goes on: what cannot be reached for a moment
//! is asked again.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tonic::{Code, Response, Status};

use crate::cli::Failure;

/// How long Shipway may be away, and how long a push may take to become a run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(200);

/// Asks until there is an answer. A command that is asked again has the same id, and is applied once.
pub(crate) async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) if !away(&status) || Instant::now() > until => return Err(status.into()),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Whether nobody was there, or whoever was there has gone before it answered.
fn away(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn who_is_away_is_asked_again() {
        let asked = Cell::new(0);
        let answer = patiently(|| {
            asked.set(asked.get() + 1);
            let answer =
                if asked.get() < 3 { Err(Status::unavailable("dead")) } else { Ok(Response::new(7)) };
            async { answer }
        });
        assert_eq!(answer.await, Ok(7));
        assert_eq!(asked.get(), 3);
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer() {
        let asked = Cell::new(0);
        let answer = patiently(|| {
            asked.set(asked.get() + 1);
            async { Err::<Response<()>, _>(Status::not_found("no such flow")) }
        });
        assert!(answer.await.is_err());
        assert_eq!(asked.get(), 1);
    }
}
