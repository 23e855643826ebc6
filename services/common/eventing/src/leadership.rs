//! Who of several processes does what only one should do: run the consumers of a service, publish the log.
//!
//! It is held by a lease that is over 1.5 s after its last renewal, so that another takes over about 2 s after a death.
//! A leader counts from before it asked for the renewal, on the clock that also counts suspends: it stops believing
//! before anybody else may begin to. One that was stopped in between may still finish what it was at; what it writes
//! is therefore guarded by itself (a checkpoint's old value, an epoch, an expected sequence).

use std::{sync::Arc, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    failpoint,
    lease::{Epoch, Leases},
};

/// The lease of the relay.
pub const RELAY: &str = "relay";

/// The lease of a service's consumers, of which one process' run.
#[must_use]
pub fn consumers(service: &str) -> String {
    format!("consumers/{service}")
}

/// How long a holding lasts without renewal.
pub const TTL: Duration = Duration::from_millis(1_500);

/// How often it is renewed, and how often others try to take it.
const EVERY: Duration = Duration::from_millis(500);

/// How much earlier than the database a leader considers its holding over.
const MARGIN: Duration = Duration::from_millis(100);

/// Whether this process leads. Clones share it; when the last is dropped, it is given up.
#[derive(Clone, Debug)]
pub struct Leadership {
    state: watch::Receiver<Option<Holding>>,
    /// Asks for the lease to be confirmed, or found lost, at once.
    doubt: Arc<tokio::sync::Notify>,
    candidate: Option<Arc<Candidate>>,
}

/// A lease as this process holds it. Told again with every renewal: one that came late ends a time in which those who
/// looked were told that nobody leads here, and they must hear that it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holding {
    epoch: Epoch,
    /// Until when it counts, in microseconds since boot.
    until: i64,
}

impl Holding {
    /// What a renewal gives that was asked for at that time.
    fn asked_at(asked: i64, epoch: Epoch) -> Self {
        Self { epoch, until: asked.saturating_add(micros(TTL - MARGIN)) }
    }

    fn counts(&self) -> bool {
        since_boot() < self.until
    }
}

#[derive(Debug)]
struct Candidate {
    stop: CancellationToken,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Candidate {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Leadership {
    /// Leads always: there is only one process.
    #[must_use]
    pub fn always() -> Self {
        let (_, state) = watch::channel(Some(Holding { epoch: 0, until: i64::MAX }));
        Self { state, doubt: Arc::default(), candidate: None }
    }

    /// Leads whenever `owner` holds the lease of this name: [`RELAY`], [`consumers`]. The owner is a process, and no other
    /// has its name. `note` is what others are told of
    /// the owner.
    #[must_use]
    pub fn elect(leases: Leases, name: &str, owner: &str, note: &str) -> Self {
        let (tell, state) = watch::channel(None);
        let doubt = Arc::new(tokio::sync::Notify::new());
        let stop = CancellationToken::new();
        let election = Election {
            leases,
            name: name.to_owned(),
            owner: owner.to_owned(),
            note: note.to_owned(),
            tell,
            doubt: Arc::clone(&doubt),
        };
        let task = std::sync::Mutex::new(Some(tokio::spawn(election.run(stop.clone()))));
        Self { state, doubt, candidate: Some(Arc::new(Candidate { stop, task })) }
    }

    /// The epoch of the holding, if this process leads now.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.state.borrow().filter(Holding::counts).map(|held| held.epoch)
    }

    /// Whether this process leads now.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.epoch().is_some()
    }

    /// Waits until this process leads; the epoch.
    pub async fn gained(&self) -> Epoch {
        let mut state = self.state.clone();
        let held = state.wait_for(|held| held.as_ref().is_some_and(Holding::counts)).await;
        let epoch = held.ok().and_then(|held| held.as_ref().map(|held| held.epoch));
        match epoch {
            Some(epoch) => epoch,
            // Nobody asks for it any more.
            None => std::future::pending().await,
        }
    }

    /// Waits until this process does not lead with this epoch.
    pub async fn lost(&self, epoch: Epoch) {
        let mut state = self.state.clone();
        if state.wait_for(|now| now.is_none_or(|held| held.epoch != epoch)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Something hints that another leads: the lease is looked at within moments.
    pub fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Gives it up, so that others need not wait for its end.
    pub async fn resign(&self) {
        let Some(candidate) = &self.candidate else { return };
        candidate.stop.cancel();
        let task = candidate.task.lock().expect("nothing panics while it holds this").take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "an election ended badly");
        }
    }
}

struct Election {
    leases: Leases,
    name: String,
    owner: String,
    note: String,
    tell: watch::Sender<Option<Holding>>,
    doubt: Arc<tokio::sync::Notify>,
}

impl Election {
    async fn run(self, stop: CancellationToken) {
        loop {
            let held = *self.tell.borrow();
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.round(held) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => {}
                () = self.doubt.notified() => {}
            }
        }
        let held = self.tell.send_replace(None);
        if let Some(held) = held
            && let Err(error) = self.leases.release(&self.name, &self.owner, held.epoch).await
        {
            tracing::debug!(lease = self.name, %error, "a lease could not be given up; it ends by itself");
        }
    }

    /// Renews the holding, or tries to get one.
    async fn round(&self, held: Option<Holding>) {
        failpoint!("lead.round", return);
        let asked = since_boot();
        let answer = match held {
            // Whoever cannot ask in time has lost it, whatever the answer would be.
            Some(Holding { epoch, until }) => tokio::time::timeout(
                Duration::from_micros(u64::try_from(until.saturating_sub(asked)).unwrap_or(0)),
                self.leases.renew(&self.name, &self.owner, epoch, TTL),
            )
            .await
            .map(|renewed| renewed.map(|renewed| renewed.then_some(epoch))),
            None => {
                let take = self.leases.take(&self.name, &self.owner, &self.note, TTL);
                tokio::time::timeout(TTL, take).await
            }
        };
        let now = match answer {
            Ok(Ok(Some(epoch))) => Some(Holding::asked_at(asked, epoch)),
            Ok(Ok(None)) | Err(_) => None,
            Ok(Err(error)) => {
                tracing::warn!(lease = self.name, %error, "a lease could not be asked for; trying again");
                held.filter(Holding::counts)
            }
        };
        match (held, now) {
            (None, Some(_)) => tracing::info!(lease = self.name, "this process leads"),
            (Some(_), None) => tracing::warn!(lease = self.name, "this process does not lead any more"),
            _ => {}
        }
        self.tell.send_if_modified(|state| std::mem::replace(state, now) != now);
    }
}

fn since_boot() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn a_renewal_that_comes_late_is_heard_by_who_has_given_up() {
        let (tell, state) = watch::channel(None);
        let leadership = Leadership { state, doubt: Arc::default(), candidate: None };
        let late = Holding::asked_at(since_boot() - micros(TTL), 7);
        tell.send_replace(Some(late));
        assert_eq!(leadership.epoch(), None, "it is over");
        let mut gained = std::pin::pin!(leadership.gained());
        assert!(poll!(&mut gained).is_pending());
        // The same holding, longer.
        tell.send_replace(Some(Holding::asked_at(since_boot(), 7)));
        assert_eq!(poll!(&mut gained), std::task::Poll::Ready(7));
        assert_eq!(leadership.epoch(), Some(7));
        let mut lost = std::pin::pin!(leadership.lost(7));
        assert!(poll!(&mut lost).is_pending());
        tell.send_replace(None);
        assert!(poll!(&mut lost).is_ready());
    }
}
