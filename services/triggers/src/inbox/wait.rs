//! Deliveries that wait for their repository.
//!
//! A row of `waiting` says since when, when it is asked again and what went wrong last; the delivery's own row says
//! `waiting`. Whoever brings the answer takes the row away, in the commit that records what follows: of two processes
//! that both asked, one does.

use std::collections::BTreeMap;

use serde_json::json;
use shipway_eventing::DurableError;
use shipway_events::{
    DeliveryId, HookId, Timestamp,
    delivery::{RuleOutcome, RuleVerdict, Verdict},
};
use shipway_service_kit::metrics;
use sqlx::{AnyConnection, FromRow};

use super::{
    Inbox, InboxError, Kept, Question, Subject,
    count::{refuse, told_before},
    decide::{Done, Group, Row, state_of},
    failed,
    read::REPLAY,
    sql,
};
use crate::domain::{happened::Happened, heads::Seen};

/// The first pause before a repository is asked again, and the longest.
const PAUSES: (i64, i64) = (500_000, 300_000_000);

const INSERT: &str = "
    INSERT INTO waiting (delivery, repository, refs, source, event, since, tries, next_try_at)
    VALUES ($1, $2, $3, $4, $5, $6, 0, $6)";

/// Each repository with a delivery that is to be asked about, the one that has waited longest first.
const DUE: &str = "
    SELECT repository FROM waiting WHERE next_try_at <= $1 GROUP BY repository ORDER BY MIN(next_try_at), repository";

const OF_REPOSITORY: &str = "
    SELECT w.delivery, w.refs, w.source, w.event, w.since, w.next_try_at, i.hook, i.key, u.first, u.refs AS unsure
    FROM waiting AS w
    JOIN inbox AS i ON i.delivery = w.delivery
    LEFT JOIN unconfirmed AS u ON u.delivery = w.delivery
    WHERE w.repository = $1 ORDER BY w.delivery LIMIT $2";

const BODY: &str = "SELECT sealed FROM inbox WHERE delivery = $1";

const PUT_UNCONFIRMED: &str = "INSERT INTO unconfirmed (delivery, refs, first) VALUES ($1, $2, $3)";

const TAKE: &str = "DELETE FROM waiting WHERE delivery = $1";

const TAKE_UNCONFIRMED: &str = "DELETE FROM unconfirmed WHERE delivery = $1";

const PUT_VERDICTS: &str = "UPDATE inbox SET state = $2, summary = $3, verdicts = $4 WHERE delivery = $1";

const TRIES: &str = "SELECT tries FROM waiting WHERE delivery = $1";

const POSTPONE: &str = "UPDATE waiting SET tries = $2, next_try_at = $3, last_error = $4 WHERE delivery = $1";

/// What a delivery waits for if the rest of it is not judged yet.
pub(super) const REST: &str = "the rest of the delivery is not judged yet";

/// A delivery that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub delivery: DeliveryId,
    /// Those whose things are judged, and which later deliveries wait for: others of the delivery were told of before.
    pub refs: Vec<String>,
    /// What only its repository can say is no repeat.
    pub unconfirmed: Option<Unconfirmed>,
    pub source: String,
    pub event: String,
    pub since: Timestamp,
    pub next_try: Timestamp,
    pub hook: Option<HookId>,
    /// What its body is sealed with.
    pub key: String,
}

/// A delivery may be the same as one before.
#[derive(Clone, Debug)]
pub(crate) struct Unconfirmed {
    /// The one before.
    pub first: DeliveryId,
    /// The refs that both tell of.
    pub refs: Vec<String>,
}

impl Waiting {
    /// Whether a person asked for it.
    pub(crate) fn is_replay(&self) -> bool {
        self.key.starts_with(REPLAY)
    }

    /// The refs whose older deliveries are judged first.
    pub(crate) fn follows(&self) -> impl Iterator<Item = &String> {
        self.refs.iter().chain(self.unconfirmed.iter().flat_map(|unconfirmed| &unconfirmed.refs))
    }
}

/// What is made of a delivery now that its repository has answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub delivery: DeliveryId,
    pub to: Vec<Subject>,
    /// What the repository confirms to be no repeat.
    pub confirmed: Option<Confirmed>,
    pub summary: String,
    pub verdicts: Vec<Verdict>,
}

/// What a repository says of a delivery that may be the same as one before.
#[derive(Debug)]
pub(crate) struct Confirmed {
    pub hook: Option<HookId>,
    /// The one before.
    pub first: DeliveryId,
    /// Of each ref that both tell of, whether the commit is its newest.
    pub refs: BTreeMap<String, bool>,
}

/// The repository did not answer.
#[derive(Debug)]
pub(super) struct Postponed {
    delivery: DeliveryId,
    error: String,
}

/// A row of `waiting` that is to be written.
pub(super) struct Wait {
    delivery: DeliveryId,
    repository: String,
    refs: String,
    question: Question,
    since: Timestamp,
    /// The one before, and the refs that both tell of.
    unconfirmed: Option<(DeliveryId, String)>,
}

impl Inbox {
    /// The repositories that are to be asked now, the one that has waited longest first.
    pub(crate) async fn due(&self, now: Timestamp) -> Result<Vec<String>, InboxError> {
        let due = sqlx::query_scalar(DUE).bind(now.micros()).fetch_all(self.durable.pool()).await;
        due.map_err(failed("looking for repositories that are to be asked"))
    }

    /// The oldest deliveries that wait for a repository.
    pub(crate) async fn waiting_for(&self, repository: &str, limit: i64) -> Result<Vec<Waiting>, InboxError> {
        let rows: Vec<WaitingRow> = sqlx::query_as(OF_REPOSITORY)
            .bind(repository)
            .bind(limit)
            .fetch_all(self.durable.pool())
            .await
            .map_err(failed("reading the deliveries that wait"))?;
        Ok(rows.into_iter().filter_map(WaitingRow::read).collect())
    }

    /// The sealed body of a delivery that waits; none if it was forgotten.
    pub(crate) async fn sealed(&self, delivery: DeliveryId) -> Result<Option<Vec<u8>>, InboxError> {
        let body = sqlx::query_scalar(BODY).bind(delivery.to_string()).fetch_optional(self.durable.pool());
        body.await.map_err(failed("reading the body of a delivery that waits"))
    }

    /// Records what is made of a delivery that waited; none if somebody else did before.
    pub(crate) async fn answered(&self, answered: Answered) -> Result<Option<Kept>, InboxError> {
        match self.writer.submit(Row::Answered(Box::new(answered))).await? {
            Done::New(kept) => {
                let matched = kept.verdicts.iter().any(|verdict| verdict.matched);
                metrics::DELIVERIES.add(1, &[if matched { "matched" } else { "unmatched" }]);
                if matched {
                    self.stored.notify_one();
                }
                Ok(Some(kept))
            }
            Done::TooOld => Ok(None),
            _ => Err(DurableError::Closed),
        }
    }

    /// Records that a repository did not answer: it is asked again later.
    pub(crate) async fn postponed(&self, delivery: DeliveryId, error: String) -> Result<(), InboxError> {
        self.writer.submit(Row::Postponed(Postponed { delivery, error })).await.map(drop)
    }
}

impl Group {
    /// Takes a delivery out of those that wait.
    pub(super) async fn answered(
        &mut self,
        tx: &mut AnyConnection,
        answered: &Answered,
    ) -> Result<Done, sqlx::Error> {
        let Answered { delivery, to, confirmed, summary, verdicts } = answered;
        let id = delivery.to_string();
        if sqlx::query(TAKE).bind(&id).execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(Done::TooOld);
        }
        sqlx::query(TAKE_UNCONFIRMED).bind(&id).execute(&mut *tx).await?;
        let mut verdicts = verdicts.clone();
        if let Some(confirmed) = confirmed {
            self.count_confirmed(confirmed, to, &mut verdicts);
        }
        self.claim(*delivery, to, &mut verdicts);
        sqlx::query(PUT_VERDICTS)
            .bind(&id)
            .bind(state_of(&verdicts))
            .bind(summary)
            .bind(json!(verdicts).to_string())
            .execute(tx)
            .await?;
        let (summary, verdicts) = (summary.clone(), std::sync::Arc::new(verdicts));
        Ok(Done::New(Kept { delivery: *delivery, summary, verdicts, waits: false }))
    }

    /// Counts the pushes that the repository confirms, unless they were counted while it was asked.
    fn count_confirmed(&mut self, confirmed: &Confirmed, to: &[Subject], verdicts: &mut [Verdict]) {
        for (part, subject) in to.iter().enumerate() {
            let (Some(is_head), Happened::Push(push)) =
                (confirmed.refs.get(&subject.reference), &subject.happened)
            else {
                continue;
            };
            let state = self.states.entry(subject.ref_key()).or_default();
            self.changed.insert(subject.ref_key());
            match state.seen(push, confirmed.hook, Some(confirmed.first), *is_head) {
                Seen::New => state.record(push, true),
                Seen::Again(first) | Seen::AskFirst(first) => {
                    state.record_again(push, confirmed.hook);
                    let of_part = verdicts.iter_mut().filter(|verdict| verdict.part as usize == part);
                    of_part.for_each(|verdict| refuse(verdict, "once", told_before(first)));
                }
            }
        }
    }
}

impl Postponed {
    pub(super) async fn write(&self, tx: &mut AnyConnection, now: Timestamp) -> Result<(), sqlx::Error> {
        let id = self.delivery.to_string();
        let tries: Option<(i64,)> = sqlx::query_as(TRIES).bind(&id).fetch_optional(&mut *tx).await?;
        let Some((tries,)) = tries else { return Ok(()) };
        let pause = PAUSES.0.saturating_mul(1 << tries.clamp(0, 20)).min(PAUSES.1);
        sqlx::query(POSTPONE)
            .bind(&id)
            .bind(tries + 1)
            .bind(now.micros().saturating_add(pause))
            .bind(&self.error)
            .execute(tx)
            .await
            .map(drop)
    }
}

impl Wait {
    /// Of what a delivery tells, later ones wait for what is `new` alone.
    pub(super) fn new(
        delivery: DeliveryId,
        to: &[Subject],
        new: &[&Subject],
        question: Question,
        since: Timestamp,
    ) -> Self {
        let repository = to.first().map(|subject| subject.repository.as_str().to_owned()).unwrap_or_default();
        let refs: Vec<&str> = new.iter().map(|subject| subject.reference.as_str()).collect();
        Self { delivery, repository, refs: json!(refs).to_string(), question, since, unconfirmed: None }
    }

    /// Of these refs it may tell what the delivery `first` told before.
    pub(super) fn unconfirmed(self, first: DeliveryId, refs: &[String]) -> Self {
        Self { unconfirmed: Some((first, json!(refs).to_string())), ..self }
    }

    pub(super) async fn write(&self, tx: &mut AnyConnection) -> Result<(), sqlx::Error> {
        sqlx::query(INSERT)
            .bind(self.delivery.to_string())
            .bind(&self.repository)
            .bind(&self.refs)
            .bind(&self.question.source)
            .bind(&self.question.event)
            .bind(self.since.micros())
            .execute(&mut *tx)
            .await?;
        if let Some((first, refs)) = &self.unconfirmed {
            let put = sqlx::query(PUT_UNCONFIRMED).bind(self.delivery.to_string()).bind(refs);
            put.bind(first.to_string()).execute(tx).await?;
        }
        Ok(())
    }
}

/// Takes back every match of a delivery that waits: it starts all or nothing. `rule` and `words` say what for.
pub(super) fn suspend(verdicts: &mut [Verdict], rule: &str, words: &str) {
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.matched || verdict.held.is_some()) {
        verdict.reason = format!("waits for the repository: {words}");
        let (rule, words) = (rule.to_owned(), words.to_owned());
        verdict.rules.push(RuleVerdict { rule, outcome: RuleOutcome::Open, words });
        (verdict.matched, verdict.held) = (false, None);
        verdict.values.clear();
    }
}

#[derive(FromRow)]
struct WaitingRow {
    delivery: String,
    refs: String,
    source: String,
    event: String,
    since: i64,
    next_try_at: i64,
    hook: Option<String>,
    key: String,
    first: Option<String>,
    unsure: Option<String>,
}

impl WaitingRow {
    fn read(self) -> Option<Waiting> {
        let unconfirmed = |first: &String| {
            let refs = self.unsure.as_deref().map(sql::decoded).unwrap_or_default();
            Some(Unconfirmed { first: first.parse().ok()?, refs })
        };
        Some(Waiting {
            delivery: self.delivery.parse().ok()?,
            unconfirmed: self.first.as_ref().and_then(unconfirmed),
            refs: sql::decoded(&self.refs),
            source: self.source,
            event: self.event,
            since: Timestamp::from_micros(self.since),
            next_try: Timestamp::from_micros(self.next_try_at),
            hook: self.hook.and_then(|hook| hook.parse().ok()),
            key: self.key,
        })
    }
}
