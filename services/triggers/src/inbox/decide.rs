//! One commit's deliveries: looked up together, decided one after the other, written together.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use serde::{Serialize, Serializer};
use serde_json::json;
use shipway_eventing::{GroupWrite, Log, failing};
use shipway_events::{DeliveryId, Timestamp, delivery::Verdict};
use sqlx::AnyConnection;

use super::{
    Asked, Heads, Incoming, Kept, Subject,
    approve::{Approving, NotApproved},
    rows::{Bound, Written, write_rows},
    sql,
    wait::{Answered, Postponed, Wait},
};
use crate::domain::{
    heads::{RefState, Seen},
    repository::RepositoryKey,
};

/// What is written.
pub(super) enum Row {
    Delivery(Arc<Incoming>),
    Asked(Box<Asked>),
    LookedAt(RepositoryKey),
    Matched(Vec<DeliveryId>),
    Answered(Box<Answered>),
    Postponed(Postponed),
    Approve(Approving),
}

/// What became of it.
pub(super) enum Done {
    New(Kept),
    Known(Kept),
    AskFirst,
    Written,
    TooOld,
    NotApproved(NotApproved),
}

pub(super) struct Writer {
    log: Arc<dyn Log>,
}

impl Writer {
    pub(super) fn new(log: Arc<dyn Log>) -> Self {
        Self { log }
    }
}

#[async_trait]
impl GroupWrite for Writer {
    type Row = Row;
    type Outcome = Done;

    fn stand_alone(&self, rows: &[Row]) -> bool {
        rows.iter().all(Row::is_plain)
    }

    async fn write(&self, tx: &mut AnyConnection, rows: &[Row]) -> Result<Vec<Done>, sqlx::Error> {
        if self.stand_alone(rows) {
            return Group::new(self.log.now()).write_plain(tx, rows).await;
        }
        let mut group = Group::new(self.log.now());
        group.read(tx, rows).await?;
        let mut outcomes = Vec::with_capacity(rows.len());
        for row in rows {
            outcomes.push(match row {
                Row::Delivery(incoming) => group.delivery(tx, incoming).await?,
                Row::Asked(asked) => group.asked(asked),
                Row::Matched(deliveries) => {
                    group.matched.extend(deliveries);
                    Done::Written
                }
                Row::Answered(answered) => group.answered(tx, answered).await?,
                Row::Postponed(postponed) => {
                    postponed.write(tx, group.now).await?;
                    Done::Written
                }
                Row::Approve(approving) => group.approve(tx, approving).await?,
                Row::LookedAt(repository) => {
                    let at = group.now.micros();
                    let look = sqlx::query(sql::LOOKED_AT).bind(repository.as_str()).bind(at);
                    look.execute(&mut *tx).await?;
                    Done::Written
                }
            });
        }
        group.write(tx).await?;
        Ok(outcomes)
    }
}

/// How large a sealed body may be that is written with its row.
pub(super) const LARGE: usize = 64 * 1024;

pub(super) type RefKey = (String, String);

/// What is known for this commit, what it adds and what it changes.
pub(super) struct Group {
    pub(super) now: Timestamp,
    pub(super) by_key: HashMap<String, Kept>,
    pub(super) by_body: HashMap<String, DeliveryId>,
    pub(super) states: BTreeMap<RefKey, RefState>,
    /// Deliveries of this commit.
    fresh: HashMap<DeliveryId, Kept>,
    pub(super) inserts: Vec<Insert>,
    /// Sealed bodies that are not in `inserts`.
    large: Vec<(DeliveryId, Arc<Vec<u8>>)>,
    /// Refs whose oldest deliveries wait for the repository.
    pub(super) waiting: BTreeSet<RefKey>,
    pub(super) waits: Vec<Wait>,
    pub(super) changed: BTreeSet<RefKey>,
    matched: Vec<DeliveryId>,
}

#[derive(Serialize)]
pub(super) struct Insert {
    delivery: DeliveryId,
    hook: Option<String>,
    key: String,
    body: String,
    body_key: Option<String>,
    received_at: i64,
    headers: String,
    #[serde(serialize_with = "hexed")]
    sealed: Arc<Vec<u8>>,
    original: Option<DeliveryId>,
    state: &'static str,
    summary: String,
    verdicts: String,
    trace: Option<String>,
}

impl Group {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            by_key: HashMap::new(),
            by_body: HashMap::new(),
            states: BTreeMap::new(),
            fresh: HashMap::new(),
            inserts: Vec::new(),
            large: Vec::new(),
            waiting: BTreeSet::new(),
            waits: Vec::new(),
            changed: BTreeSet::new(),
            matched: Vec::new(),
        }
    }

    async fn delivery(&mut self, tx: &mut AnyConnection, incoming: &Incoming) -> Result<Done, sqlx::Error> {
        if let Some(kept) = self.by_key.get(&incoming.key) {
            return Ok(Done::Known(kept.clone()));
        }
        let same_body = incoming.body_key().and_then(|body| self.by_body.get(&body).copied());
        if incoming.to.is_empty() {
            return Ok(Done::New(self.insert(incoming, None)));
        }
        if incoming.is_replay {
            return Ok(Done::New(self.insert_replay(incoming)));
        }
        let seen: Vec<Seen> = incoming
            .to
            .iter()
            .enumerate()
            .map(|(part, subject)| self.seen(incoming, subject, part, same_body))
            .collect();
        let unsure = seen.iter().find_map(|seen| match seen {
            Seen::AskFirst(first) => Some(*first),
            Seen::New | Seen::Again(_) => None,
        });
        match (&incoming.heads, unsure) {
            (Heads::NotAsked, Some(_)) => return Ok(Done::AskFirst),
            (Heads::Silent, Some(first)) if incoming.may_start() => {
                return Ok(Done::New(self.insert_unconfirmed(incoming, &seen, first)));
            }
            _ => {}
        }
        let first = seen.iter().find_map(|seen| match seen {
            Seen::New => None,
            Seen::Again(first) | Seen::AskFirst(first) => Some(*first),
        });
        let repeats: Vec<bool> = seen.iter().map(|seen| *seen != Seen::New).collect();
        for (part, subject) in incoming.to.iter().enumerate() {
            self.record(incoming, subject, part, repeats[part]);
        }
        let Some(first) = first.filter(|_| repeats.iter().all(|repeat| *repeat)) else {
            return Ok(Done::New(self.insert_new(incoming, &seen)));
        };
        match self.kept(tx, first).await? {
            Some(kept) => {
                self.insert(incoming, Some((&kept, same_body.is_none())));
                Ok(Done::Known(kept))
            }
            // The first one was forgotten with its retention; what it started is long over.
            None => Ok(Done::New(self.insert(&incoming.without_verdicts(), None))),
        }
    }

    fn asked(&mut self, asked: &Asked) -> Done {
        let key = asked.ref_key();
        let state = self.states.entry(key.clone()).or_default();
        if state.revision != asked.revision {
            return Done::TooOld;
        }
        self.changed.insert(key.clone());
        let Some(found) = asked.found.as_ref().filter(|_| state.is_news(&asked.commit)) else {
            state.record_asked(&asked.commit, asked.at);
            return Done::Written;
        };
        let mut found = found.clone();
        let to = std::mem::take(&mut found.to);
        self.claim(found.delivery, &to, &mut found.verdicts);
        let kept = self.insert(&found, None);
        if let Some(state) = self.states.get_mut(&key) {
            state.record_found(&asked.commit, asked.way.clone(), kept.delivery, asked.at);
        }
        Done::New(kept)
    }

    /// A delivery of this commit or of an earlier one.
    pub(super) async fn kept(
        &self,
        tx: &mut AnyConnection,
        delivery: DeliveryId,
    ) -> Result<Option<Kept>, sqlx::Error> {
        if let Some(kept) = self.fresh.get(&delivery) {
            return Ok(Some(kept.clone()));
        }
        let row: Option<(String, String, String)> =
            sqlx::query_as(sql::ONE).bind(delivery.to_string()).fetch_optional(tx).await?;
        Ok(row.map(|(summary, verdicts, state)| kept(delivery, summary, &verdicts, &state)))
    }

    /// Adds a row: a new delivery, or with `first` another one of an earlier delivery's push. `first` also says
    /// whether it is the first with its body.
    pub(super) fn insert(&mut self, incoming: &Incoming, first: Option<(&Kept, bool)>) -> Kept {
        self.insert_as(incoming, first, None)
    }

    /// The same with a state that its verdicts do not say.
    pub(super) fn insert_as(
        &mut self,
        incoming: &Incoming,
        first: Option<(&Kept, bool)>,
        state: Option<&'static str>,
    ) -> Kept {
        let delivery = incoming.delivery;
        let new_body = first.is_none_or(|(_, new_body)| new_body);
        let body_key = incoming.body_key().filter(|_| new_body);
        let kept = match first {
            Some((kept, _)) => kept.clone(),
            None => {
                let (summary, verdicts) = (incoming.summary.clone(), Arc::new(incoming.verdicts.clone()));
                Kept { delivery, summary, verdicts, waits: state == Some("waiting") }
            }
        };
        if let Some(body) = &body_key {
            self.by_body.insert(body.clone(), kept.delivery);
        }
        let large = incoming.sealed.len() > LARGE;
        if new_body && large {
            self.large.push((delivery, incoming.sealed.clone()));
        }
        self.by_key.insert(incoming.key.clone(), kept.clone());
        self.fresh.insert(delivery, kept.clone());
        self.inserts.push(Insert {
            delivery,
            hook: incoming.hook.map(|hook| hook.to_string()),
            key: incoming.key.clone(),
            body: incoming.digest.clone(),
            body_key,
            received_at: incoming.at.unwrap_or(self.now).micros(),
            headers: incoming.headers.clone(),
            // The body is in the first one's row. A large one comes by itself: as text it is three times as large.
            sealed: if new_body && !large { incoming.sealed.clone() } else { Arc::default() },
            original: first.map(|(kept, _)| kept.delivery),
            state: match (first, state) {
                (Some(_), _) => "unmatched",
                (None, Some(state)) => state,
                (None, None) => state_of(&incoming.verdicts),
            },
            summary: incoming.summary.clone(),
            verdicts: match first {
                Some(_) => "[]".to_owned(),
                None => serde_json::to_string(&incoming.verdicts).expect("verdicts have only string keys"),
            },
            trace: incoming.trace.clone(),
        });
        kept
    }

    async fn write(self, tx: &mut AnyConnection) -> Result<(), sqlx::Error> {
        failing!("db.inbox.insert", write_rows(tx, self.inserts).await)?;
        for (delivery, sealed) in self.large {
            sqlx::query(sql::PUT_BODY)
                .bind(delivery.to_string())
                .bind(sealed.as_slice())
                .execute(&mut *tx)
                .await?;
        }
        let state = |key: RefKey| {
            let state = self.states.get(&key)?;
            let text = serde_json::to_string(state).ok()?;
            Some(Head { repository: key.0, reference: key.1, sha: state.head.clone(), state: text })
        };
        let heads: Vec<_> = self.changed.into_iter().filter_map(state).collect();
        write_rows(tx, heads).await?;
        for wait in &self.waits {
            wait.write(tx).await?;
        }
        if !self.matched.is_empty() {
            let rows: Vec<_> = self.matched.iter().map(|delivery| json!({ "delivery": delivery })).collect();
            let mark = sqlx::query(sql::MATCHED).bind(json!(rows).to_string()).execute(&mut *tx);
            failing!("db.inbox.matched", mark.await)?;
        }
        Ok(())
    }
}

impl Incoming {
    /// What a replay of a push is recognised by. Other bodies may come as often as they like.
    pub(super) fn body_key(&self) -> Option<String> {
        let hook = self.hook.filter(|_| !self.to.is_empty() && !self.is_replay)?;
        Some(format!("{hook}/{}", self.digest))
    }

    /// Whether the repository was asked and has the commit of this thing as its ref's head.
    pub(super) fn is_confirmed(&self, part: usize) -> bool {
        matches!(&self.heads, Heads::Told(parts) if parts.get(part).is_some_and(|is_head| *is_head))
    }

    /// Whether a flow may start by it, if it is no repeat.
    fn may_start(&self) -> bool {
        self.verdicts.iter().any(|verdict| verdict.matched || verdict.held.is_some() || verdict.is_open())
    }

    fn without_verdicts(&self) -> Self {
        Self { verdicts: Vec::new(), ..self.clone() }
    }
}

impl Subject {
    pub(super) fn ref_key(&self) -> RefKey {
        (self.repository.as_str().to_owned(), self.reference.clone())
    }
}

/// As `hex::encode`, which collects its digits one by one.
fn hexed<S: Serializer>(bytes: &Arc<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut digits = vec![0; bytes.len() * 2];
    hex::encode_to_slice(bytes.as_slice(), &mut digits).expect("there is room for two digits a byte");
    serializer.serialize_str(std::str::from_utf8(&digits).expect("digits are ASCII"))
}

impl Written for Insert {
    const JSON: &str = sql::INSERT;
    const HEAD: &str = sql::INSERT_VALUES;
    const TAIL: &str = "";
    const COLUMNS: usize = 13;

    fn bound(self, query: Bound<'_>) -> Bound<'_> {
        query
            .bind(self.delivery.to_string())
            .bind(self.hook)
            .bind(self.key)
            .bind(self.body)
            .bind(self.body_key)
            .bind(self.received_at)
            .bind(self.headers)
            .bind(self.sealed.to_vec())
            .bind(self.original.map(|original| original.to_string()))
            .bind(self.state)
            .bind(self.summary)
            .bind(self.verdicts)
            .bind(self.trace)
    }
}

/// What is known of a ref from now on.
#[derive(Serialize)]
struct Head {
    repository: String,
    reference: String,
    sha: Option<String>,
    state: String,
}

impl Written for Head {
    const JSON: &str = sql::PUT_STATES;
    const HEAD: &str = sql::PUT_STATES_VALUES;
    const TAIL: &str = sql::PUT_STATES_TAIL;
    const COLUMNS: usize = 4;

    fn bound(self, query: Bound<'_>) -> Bound<'_> {
        query.bind(self.repository).bind(self.reference).bind(self.sha).bind(self.state)
    }
}

/// A delivery that is in the inbox.
pub(super) fn kept(delivery: DeliveryId, summary: String, verdicts: &str, state: &str) -> Kept {
    Kept { delivery, summary, verdicts: Arc::new(sql::decoded(verdicts)), waits: state == "waiting" }
}

/// The state of a delivery that was judged.
pub(super) fn state_of(verdicts: &[Verdict]) -> &'static str {
    if verdicts.iter().any(|verdict| verdict.matched) {
        "stored"
    } else if verdicts.iter().any(|verdict| verdict.held.is_some()) {
        "held"
    } else {
        "unmatched"
    }
}

impl Asked {
    pub(super) fn ref_key(&self) -> RefKey {
        (self.repository.as_str().to_owned(), self.reference.clone())
    }
}
