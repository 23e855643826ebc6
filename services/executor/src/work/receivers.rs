//! What messages and comments share: telling somebody, and receivers that take no more for now and say for how long.

use std::time::Duration;

use shipway_eventing::failing;
use shipway_events::Timestamp;

use super::{Attempt, Failure, now, transient};

/// Tells somebody something, unless the attempt may not act any more.
pub(super) async fn tell<T>(
    attempt: &Attempt<'_>,
    telling: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    attempt.may_act()?;
    let told = async {
        tokio::select! {
            told = telling => told,
            () = attempt.over.cancelled() => Err(Failure::Stopped),
        }
    };
    failing!("executor.message", |why| transient("message_failed", String::from(why)), told.await)
}

/// The longest that is waited for a receiver where the node has no limit of its own. What asks for more is tried again
/// as the node's `retry` says.
const LONGEST: Duration = Duration::from_secs(600);

/// The first pause, if the receiver asks for less; the ones after it are longer, so that one whose time is always just
/// over is not asked in a circle.
const SHORTEST: Duration = Duration::from_millis(200);

/// How long an attempt goes on waiting for its receiver.
pub(super) struct Patience {
    until: Timestamp,
    shortest: Duration,
}

impl Patience {
    /// That of an attempt that begins now.
    pub(super) fn new(attempt: &Attempt<'_>) -> Self {
        Self { until: until(attempt.given.deadline, now()), shortest: SHORTEST }
    }

    /// Waits until a receiver may be asked again. If that is after the node's time is up, or too long, the attempt has
    /// failed with `message`: waiting would help nobody.
    pub(super) async fn wait(
        &mut self,
        attempt: &Attempt<'_>,
        receiver: &str,
        asked: Duration,
        message: String,
        code: &str,
    ) -> Result<(), Failure> {
        let pause = asked.max(self.shortest);
        self.shortest *= 2;
        if pause > left(self.until, now()) {
            let seconds = asked.as_secs();
            return Err(transient(
                code,
                format!("{message}; it wants to be left alone for {seconds} s, longer than the node has"),
            ));
        }
        attempt.note(&format!(
            "{receiver} takes no more for now and is asked again in {} s",
            pause.as_secs_f32()
        ));
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = attempt.over.cancelled() => Err(Failure::Stopped),
        }
    }
}

/// Until when may be waited.
fn until(deadline: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let longest = i64::try_from(LONGEST.as_micros()).unwrap_or(i64::MAX);
    deadline.unwrap_or_else(|| Timestamp::from_micros(now.micros().saturating_add(longest)))
}

fn left(until: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(until.millis() - now.millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_waits_within_its_time_and_not_for_ever() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        assert_eq!(left(until(Some(at(160)), at(100)), at(110)), Duration::from_secs(50));
        assert_eq!(left(until(Some(at(90)), at(100)), at(100)), Duration::ZERO);
        assert_eq!(left(until(None, at(100)), at(100)), LONGEST);
        assert_eq!(left(until(None, at(100)), at(900)), Duration::ZERO);
    }
}
