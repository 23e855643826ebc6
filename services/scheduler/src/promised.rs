//! Runs that are known before they exist.
//!
//! A webhook is answered with the ids of its runs as soon as its matched delivery is in the log; each run's first
//! event follows a moment later, by way of the feed. Whoever asks for it in between is not told that there is no such
//! run.

use std::time::Duration;

use shipway_eventing::Log;
use shipway_events::{RunId, StreamName};

use crate::service::Shared;

/// How old, by the time in its id, a run may be that has not begun, in milliseconds. What takes longer is delayed for
/// a reason that its delivery tells; an id of long ago that nothing is known of is a mistake, and is said at once.
const YOUNG: i64 = 60_000;

/// How long whoever asks is kept waiting.
const PATIENCE: Duration = Duration::from_secs(5);

impl Shared {
    /// Waits a little for the first event of a run that may have been promised just now.
    ///
    /// Says nothing of what came of it: who looks for the run sees.
    pub(crate) async fn promised(&self, run: RunId) {
        let age = self.log.now().millis() - millis(run);
        // One that somebody made of a key of their own may have any time in it.
        if age.abs() > YOUNG || self.book.version(run).is_some() {
            return;
        }
        // When time is up, the run is looked for all the same.
        let _ = tokio::time::timeout(PATIENCE, begun(&*self.log, run)).await;
    }
}

/// Looks for a run's first event whenever the log has grown.
async fn begun(log: &dyn Log, run: RunId) {
    let mut tail = log.tail();
    loop {
        tail.borrow_and_update();
        match log.read_stream(&StreamName::run(run), 0, 1).await {
            Ok(events) if events.is_empty() => {}
            // A log that cannot be read is met again by whoever looks for the run.
            Ok(_) | Err(_) => return,
        }
        if tail.changed().await.is_err() {
            return;
        }
    }
}

/// The time in a run's id, in milliseconds since 1970: its first 48 bits, in version 7 and in those that are derived.
fn millis(run: RunId) -> i64 {
    i64::try_from(run.uuid().as_u128() >> 80).unwrap_or(i64::MAX)
}
