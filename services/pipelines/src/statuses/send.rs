//! Says what is to be said, each row by itself: a host that is slow or away holds up nobody else's.

use std::{sync::Arc, time::Duration};

use shipway_eventing::{durable::DurableError, log::Log};
use shipway_events::Timestamp;
use shipway_forge::{Client, ForgeError, State};
use tokio::{sync::Notify, task::JoinSet};

use super::{
    StatusConfig,
    rows::{Outcome, Row, Rows},
    voice::{Spoken, Voice, Voices},
    words,
};

/// How many are said at the same time.
const AT_ONCE: usize = 16;

/// How often it looks although nothing was noted here: for what was put off, and for what other processes left.
const LOOK: Duration = Duration::from_secs(2);

/// How long one may take. Whoever has a row keeps it longer than that.
const TIMEOUT: Duration = Duration::from_secs(60);
const HOLD: Duration = Duration::from_secs(90);

/// How long it is known what became of them, after the time in which they could be said.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How often old ones are forgotten.
const FORGET: Duration = Duration::from_secs(3600);

pub(super) struct Sender {
    pub(super) log: Arc<dyn Log>,
    pub(super) voices: Arc<dyn Voices>,
    pub(super) rows: Rows,
    pub(super) client: Client,
    pub(super) wake: Arc<Notify>,
    pub(super) config: StatusConfig,
}

impl Sender {
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let me = Arc::new(self);
        let mut going = JoinSet::new();
        let mut forget = tokio::time::interval(FORGET);
        loop {
            let room = AT_ONCE - going.len();
            match me.rows.due(me.now(), room).await {
                Ok(rows) => {
                    for row in rows {
                        let me = Arc::clone(&me);
                        going.spawn(async move { me.one(row).await });
                    }
                }
                Err(error) => tracing::warn!(%error, "commit statuses wait to be set; trying again"),
            }
            tokio::select! {
                Some(_) = going.join_next() => {}
                () = me.wake.notified(), if going.len() < AT_ONCE => {}
                () = tokio::time::sleep(LOOK) => {}
                _ = forget.tick() => {
                    let before = me.now().micros().saturating_sub(micros(KEPT));
                    if let Err(error) = me.rows.forget(Timestamp::from_micros(before)).await {
                        tracing::warn!(%error, "old commit statuses could not be forgotten");
                    }
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.log.now()
    }

    async fn one(&self, row: Row) {
        let now = self.now();
        let held = Timestamp::from_micros(now.micros().saturating_add(micros(HOLD)));
        let done = async {
            if !self.rows.hold(&row, now, held).await? {
                return Ok(());
            }
            let outcome = match self.rows.other_speaker(&row).await? {
                Some(other) => {
                    // That this one waited for its turn may have been said over what the other has to say.
                    if row.said.state == State::Skipped {
                        self.rows.say_again(&other, now).await?;
                        self.wake.notify_one();
                    }
                    Outcome::Replaced(other)
                }
                None => self.say(&row).await,
            };
            self.rows.close(&row, &outcome).await
        };
        let done: Result<(), DurableError> = done.await;
        if let Err(error) = done {
            tracing::warn!(run = row.run, %error, "what became of a commit status could not be recorded; it is set again");
        }
    }

    /// Says it, and tells of what is given up.
    async fn say(&self, row: &Row) -> Outcome {
        let spoken = Spoken { flow: &row.flow, trigger: &row.trigger, repository: &row.repository };
        let said = match self.voices.voice(&spoken).await {
            Ok(Voice::Nobody(why)) => {
                tracing::debug!(run = row.run, path = row.path, why, "a commit status is not set");
                return Outcome::Silent(why);
            }
            Ok(Voice::Account(account)) => {
                let status = words::status(row, self.config.address.as_deref());
                let saying = self.client.set_status(&account, &row.repository, &row.commit, &status);
                tokio::time::timeout(TIMEOUT, saying).await.unwrap_or_else(|_| {
                    let (host, seconds) = (account.host(), TIMEOUT.as_secs());
                    Err(ForgeError::transient(format!(
                        "setting the commit status on {host} failed: it took longer than {seconds} s"
                    )))
                })
            }
            Err(why) => Err(ForgeError::transient(why)),
        };
        let Err(ForgeError { message, transient, retry_after }) = said else { return Outcome::Said };
        let until = Timestamp::from_micros(row.until);
        let again = words::again(self.now(), row.tries + 1, retry_after, until).filter(|_| transient);
        match again {
            Some(at) => Outcome::Later(at, message),
            None => {
                let (run, path, commit) = (&row.run, &row.path, &row.commit);
                tracing::warn!(run, path, commit, error = message, "a commit status was given up");
                Outcome::GivenUp(message)
            }
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
