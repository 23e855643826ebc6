//! The inbox: every delivery, on disk and encrypted before its sender hears 202.
//!
//! All deliveries go through one group writer: whatever arrived while the last commit ran is looked up, decided on
//! and inserted together, in the order of arrival. A delivery is one of:
//!
//! * **the same delivery** again (its sender's id is known): nothing is written, it hears what the first one heard;
//! * **the same push** again (by its body, or found by asking before): a row that names the first one;
//! * **new**: a row with its verdicts. If a trigger matched, the row is `stored` until the matcher has appended the
//!   event; if one would, but for its coming from a fork, it is `held` until somebody approves it; else it is
//!   `unmatched`, and the log hears nothing of it.
//!
//! A delivery that only its repository can tell about is `waiting`, and so is one whose branch has an older one that
//! waits: what comes to a branch is judged in the order in which it came. So is one whose body came before, of which only
//! the repository can say whether it is a replay or a forced push back, while the repository does not answer.

mod approve;
mod count;
mod decide;
mod known;
mod plain;
mod read;
mod rows;
mod sql;
mod wait;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use shipway_contracts::v1;
use shipway_eventing::{Durable, DurableError, GroupWriter, Log, failing};
use shipway_events::{DeliveryId, HookId, Timestamp, delivery::Verdict};
use shipway_service_kit::metrics;
use tokio::sync::Notify;

use crate::{
    domain::{happened::Happened, heads::RefState, push::Push, repository::RepositoryKey},
    parcel::Parcel,
    sealer::Sealer,
};
pub(crate) use approve::{Approving, NotApproved};
pub(crate) use count::{refuse, told_before};
use decide::{Done, Row, Writer};
pub(crate) use read::{Filter, Kind, Row as StoredRow};
pub use sql::TABLES;
pub(crate) use wait::{Answered, Confirmed, Waiting};

/// Why the inbox could not be read or written. Nothing was stored, or (if only the answer was lost) all of it:
/// the sender delivers again and hears the same.
pub(crate) type InboxError = DurableError;

/// The inbox. Clones are the same.
#[derive(Clone)]
pub(crate) struct Inbox {
    durable: Durable,
    writer: GroupWriter<Writer>,
    /// Told when there is a row whose event is to be appended.
    pub stored: Arc<Notify>,
    /// Told when there is a row that waits for its repository.
    pub waiting: Arc<Notify>,
}

/// A verified delivery, ready to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    /// The id that it has if it is no repeat.
    delivery: DeliveryId,
    /// When it came; none: when it is stored.
    at: Option<Timestamp>,
    hook: Option<HookId>,
    key: String,
    digest: String,
    headers: String,
    sealed: Arc<Vec<u8>>,
    /// What it tells of.
    pub to: Vec<Subject>,
    /// What the repository says of their commits.
    heads: Heads,
    /// How its body is read again when its repository has answered.
    question: Option<Question>,
    /// Whether a person wants it: it is new whatever is known of its branch, and nothing is known of the branch by it.
    is_replay: bool,
    summary: String,
    verdicts: Vec<Verdict>,
    trace: Option<String>,
}

/// One thing that a delivery tells of, with the repository and ref that it is counted for.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub repository: RepositoryKey,
    pub reference: String,
    pub happened: Happened,
}

/// How the body of a delivery is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// Who sent it.
    pub source: String,
    /// The event, as they name it.
    pub event: String,
    /// Whether the repository has to be asked, as far as the delivery itself tells.
    pub is_open: bool,
}

impl Subject {
    pub(crate) fn new(repository: &RepositoryKey, happened: Happened) -> Self {
        let reference = happened.reference(repository);
        Self { repository: repository.clone(), reference, happened }
    }

    /// Whether it is a push whose commit is its ref's newest, by the branches that the repository has.
    pub(crate) fn is_head(&self, branches: &BTreeMap<String, String>) -> bool {
        match &self.happened {
            Happened::Push(push) => branches.get(&push.reference).map(String::as_str) == push.target(),
            _ => false,
        }
    }
}

impl Incoming {
    /// What came.
    pub(crate) fn of(sealer: &Sealer, parcel: &Parcel) -> Self {
        let key = format!("{}/{}", parcel.way.hook(), parcel.key);
        Self {
            at: Some(parcel.at),
            hook: Some(parcel.way.hook()),
            headers: parcel.headers.json(),
            trace: parcel.trace.clone(),
            ..Self::with(sealer, parcel.delivery, key, &parcel.body, &parcel.whole())
        }
    }

    /// The same, asked for again by a person: of a key that says so, and counted whatever came before.
    pub(crate) fn again(sealer: &Sealer, parcel: &Parcel, original: DeliveryId, command: uuid::Uuid) -> Self {
        let key = replay_key(original, command);
        Self {
            hook: Some(parcel.way.hook()),
            headers: parcel.headers.json(),
            trace: parcel.trace.clone(),
            ..Self::with(sealer, parcel.delivery, key, &parcel.body, &parcel.whole())
        }
    }

    /// A push that was found by asking the repository, with this in place of a body.
    pub(crate) fn found(sealer: &Sealer, body: &[u8]) -> Self {
        let delivery = DeliveryId::new(uuid::Uuid::now_v7());
        Self::with(sealer, delivery, format!("asked/({delivery})"), body, body)
    }

    fn with(sealer: &Sealer, delivery: DeliveryId, key: String, body: &[u8], whole: &[u8]) -> Self {
        Self {
            delivery,
            at: None,
            hook: None,
            digest: hex::encode(Sha256::digest(body)),
            headers: "{}".to_owned(),
            sealed: Arc::new(sealer.seal(key.as_bytes(), whole)),
            key,
            to: Vec::new(),
            heads: Heads::NotAsked,
            question: None,
            is_replay: false,
            summary: String::new(),
            verdicts: Vec::new(),
            trace: shipway_service_kit::current_trace(),
        }
    }

    /// Whatever is known of its branch: a person wants it.
    pub(crate) fn counted_anyway(self) -> Self {
        Self { is_replay: true, ..self }
    }

    /// How it is read again, if its repository has to tell about it.
    fn open_question(&self) -> Option<&Question> {
        self.question.as_ref().filter(|question| question.is_open && !self.to.is_empty())
    }

    /// As it would be listed, without an id.
    pub(crate) fn shown(mut self) -> v1::Delivery {
        let state = match self.open_question() {
            Some(_) => {
                wait::suspend(&mut self.verdicts, "order", wait::REST);
                "waiting"
            }
            None => match decide::state_of(&self.verdicts) {
                "stored" => "matched",
                state => state,
            },
        };
        v1::Delivery {
            hook: self.hook.map(|hook| hook.to_string()).unwrap_or_default(),
            summary: self.summary,
            state: state.to_owned(),
            verdicts: read::shown_verdicts(None, self.verdicts),
            ..v1::Delivery::default()
        }
    }

    /// With what it was, in words; they may quote what its sender wrote.
    pub(crate) fn saying(self, summary: &str) -> Self {
        Self { summary: summary.replace(char::is_control, " "), ..self }
    }

    /// With what each trigger made of it.
    pub(crate) fn judged(self, verdicts: Vec<Verdict>) -> Self {
        Self { verdicts, ..self }
    }

    /// With what it tells of.
    pub(crate) fn about(self, to: Vec<Subject>) -> Self {
        Self { to, ..self }
    }

    /// With how it is read again, if its repository has to be asked.
    pub(crate) fn asking(self, question: Question) -> Self {
        Self { question: Some(question), ..self }
    }

    /// The same, after its repository was asked.
    pub(crate) fn after_asking(&self, heads: Heads) -> Self {
        Self { heads, ..self.clone() }
    }
}

/// What a repository says of the commits that a delivery tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heads {
    /// It was not asked.
    NotAsked,
    /// It was asked, and did not answer.
    Silent,
    /// Of each, whether it is the newest of its ref.
    Told(Vec<bool>),
}

/// What became of a delivery.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is in the inbox.
    Kept(Kept),
    /// Its body came before and its branch has moved since: nothing is stored until the repository was asked.
    AskFirst,
}

/// A delivery in the inbox; of a repeated one, the first.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub delivery: DeliveryId,
    pub summary: String,
    pub verdicts: Arc<Vec<Verdict>>,
    /// Whether it waits for its repository.
    pub waits: bool,
}

/// What a repository showed for a ref.
#[derive(Debug)]
pub(crate) struct Asked {
    pub repository: RepositoryKey,
    pub reference: String,
    pub commit: String,
    /// The ref's state when the repository was asked: if it is another now, the answer is too old.
    pub revision: u64,
    pub at: Timestamp,
    /// The push that nobody told of, if it is one and a trigger matches it.
    pub found: Option<Incoming>,
    /// The commits on the way to it.
    pub way: Vec<String>,
}

/// A row whose event is to be appended.
pub(crate) struct Stored {
    pub delivery: DeliveryId,
    pub hook: Option<HookId>,
    pub digest: String,
    pub summary: String,
    pub verdicts: Vec<Verdict>,
    /// Whether somebody approved what was held.
    pub approved: bool,
    /// The trace of the request that brought it.
    pub trace: Option<String>,
}

impl Inbox {
    /// Makes the tables that are missing.
    pub(crate) async fn open(durable: Durable, log: Arc<dyn Log>) -> Result<Self, InboxError> {
        durable.create(TABLES).await?;
        let writer = GroupWriter::spawn(durable.clone(), Writer::new(log));
        Ok(Self { durable, writer, stored: Arc::default(), waiting: Arc::default() })
    }

    /// What stands for the error of a database that has not answered in time.
    pub(crate) fn too_slow() -> InboxError {
        failed("storing a delivery")(sqlx::Error::PoolTimedOut)
    }

    /// Stores a delivery; on return it is on disk.
    pub(crate) async fn accept(&self, incoming: Arc<Incoming>) -> Result<Outcome, InboxError> {
        match self.writer.submit(Row::Delivery(incoming)).await? {
            Done::New(kept) => {
                let matched = kept.verdicts.iter().any(|verdict| verdict.matched);
                if !kept.waits {
                    metrics::DELIVERIES.add(1, &[if matched { "matched" } else { "unmatched" }]);
                }
                if matched {
                    self.stored.notify_one();
                }
                if kept.waits {
                    self.waiting.notify_one();
                }
                Ok(Outcome::Kept(kept))
            }
            Done::Known(kept) => {
                metrics::DELIVERIES.add(1, &["repeated"]);
                Ok(Outcome::Kept(kept))
            }
            Done::AskFirst => Ok(Outcome::AskFirst),
            Done::Written | Done::TooOld | Done::NotApproved(_) => Err(DurableError::Closed),
        }
    }

    /// Records what a repository showed; false if the ref changed since it was asked.
    pub(crate) async fn asked(&self, asked: Asked) -> Result<bool, InboxError> {
        let done = self.writer.submit(Row::Asked(Box::new(asked))).await?;
        if matches!(done, Done::New(_)) {
            self.stored.notify_one();
        }
        Ok(!matches!(done, Done::TooOld))
    }

    /// Records that a repository was looked at for the first time.
    pub(crate) async fn looked_at(&self, repository: &RepositoryKey) -> Result<(), InboxError> {
        self.writer.submit(Row::LookedAt(repository.clone())).await.map(drop)
    }

    /// Records that the events of these rows are in the log.
    pub(crate) async fn matched(&self, deliveries: Vec<DeliveryId>) -> Result<(), InboxError> {
        self.writer.submit(Row::Matched(deliveries)).await.map(drop)
    }

    /// Whether a repository was looked at before.
    pub(crate) async fn knows(&self, repository: &RepositoryKey) -> Result<bool, InboxError> {
        let row: Option<(i64,)> = sqlx::query_as(sql::FIRST_LOOK)
            .bind(repository.as_str())
            .fetch_optional(self.durable.pool())
            .await
            .map_err(failed("looking for a repository"))?;
        Ok(row.is_some())
    }

    /// What is known of a repository's refs.
    pub(crate) async fn refs(
        &self,
        repository: &RepositoryKey,
    ) -> Result<Vec<(String, RefState)>, InboxError> {
        let rows: Vec<(String, String)> = sqlx::query_as(sql::REFS)
            .bind(repository.as_str())
            .fetch_all(self.durable.pool())
            .await
            .map_err(failed("reading the known branches"))?;
        let state = |(reference, state): (String, String)| (reference, sql::decoded(&state));
        Ok(rows.into_iter().map(state).collect())
    }

    /// The oldest rows whose event is to be appended.
    pub(crate) async fn to_match(&self, limit: i64) -> Result<Vec<Stored>, InboxError> {
        let read = sqlx::query_as(sql::TO_MATCH).bind(limit).fetch_all(self.durable.pool());
        let rows: Vec<sql::ToMatch> =
            failing!("db.inbox.to_match", read.await).map_err(failed("reading the deliveries to match"))?;
        Ok(rows.into_iter().filter_map(sql::ToMatch::stored).collect())
    }

    /// Forgets deliveries that came before a time, a thousand at most; how many there were.
    pub(crate) async fn forget(&self, before: Timestamp) -> Result<u64, InboxError> {
        let mut tx = self.durable.begin().await?;
        let gone = sqlx::query(sql::FORGET)
            .bind(first_id(before))
            .execute(&mut *tx)
            .await
            .map_err(failed("forgetting old deliveries"))?;
        tx.commit().await.map_err(failed("forgetting old deliveries"))?;
        Ok(gone.rows_affected())
    }
}

/// The key of a delivery that a person asked for again.
fn replay_key(original: DeliveryId, command: uuid::Uuid) -> String {
    format!("replay/{original}/{command}")
}

/// What is sealed of a push that was found by asking.
pub(crate) fn asked_body(address: &str, push: &Push) -> Vec<u8> {
    let (before, after) = (&push.before, &push.after);
    json!({ "repository": address, "ref": push.reference, "before": before, "after": after })
        .to_string()
        .into()
}

/// Below every id that was given at that time or later.
fn first_id(at: Timestamp) -> String {
    let millis = at.millis().max(0);
    format!("{:08x}-{:04x}-", millis >> 16, millis & 0xffff)
}

fn failed(attempting: &'static str) -> impl Fn(sqlx::Error) -> InboxError {
    move |source| DurableError::Database { attempting, source: Arc::new(source) }
}
