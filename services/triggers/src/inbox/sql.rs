//! The inbox's tables and statements, in what both databases speak.

use serde::de::DeserializeOwned;
use shipway_contracts::v1;
use shipway_events::{
    DeliveryId, Timestamp,
    delivery::{Held, RuleVerdict, Verdict},
};
use sqlx::FromRow;

use super::Stored;

/// The statements that make this service's durable tables.
///
/// `key` is the hook and its sender's id of the delivery; `body_key` the hook and the body's digest, on the first
/// delivery of a push only. Ids grow with time, so `delivery` is the order of arrival.
pub const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS inbox (
        delivery TEXT PRIMARY KEY,
        hook TEXT,
        key TEXT NOT NULL UNIQUE,
        body TEXT NOT NULL,
        body_key TEXT,
        received_at BIGINT NOT NULL,
        headers TEXT NOT NULL,
        sealed BLOB NOT NULL,
        original TEXT,
        state TEXT NOT NULL,
        summary TEXT NOT NULL,
        verdicts TEXT NOT NULL,
        trace TEXT
    )",
    "CREATE INDEX IF NOT EXISTS inbox_body ON inbox (body_key) WHERE body_key IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS inbox_to_match ON inbox (delivery) WHERE state = 'stored'",
    "CREATE INDEX IF NOT EXISTS inbox_approved ON inbox (delivery) WHERE state = 'approved'",
    "CREATE TABLE IF NOT EXISTS waiting (
        delivery TEXT PRIMARY KEY,
        repository TEXT NOT NULL,
        refs TEXT NOT NULL,
        source TEXT NOT NULL,
        event TEXT NOT NULL,
        since BIGINT NOT NULL,
        tries BIGINT NOT NULL,
        next_try_at BIGINT NOT NULL,
        last_error TEXT
    )",
    "CREATE INDEX IF NOT EXISTS waiting_repository ON waiting (repository)",
    "CREATE TABLE IF NOT EXISTS branch_heads (
        repository TEXT NOT NULL,
        reference TEXT NOT NULL,
        sha TEXT,
        state TEXT NOT NULL,
        PRIMARY KEY (repository, reference)
    )",
    "CREATE TABLE IF NOT EXISTS asked_repositories (
        repository TEXT PRIMARY KEY,
        first_asked_at BIGINT NOT NULL
    )",
];

pub(super) const SAME_KEY: &str = "
    SELECT i.key, COALESCE(o.delivery, i.delivery), COALESCE(o.summary, i.summary),
           COALESCE(o.verdicts, i.verdicts), COALESCE(o.state, i.state)
    FROM json_each($1) AS w
    JOIN inbox AS i ON i.key = w.value->>'key'
    LEFT JOIN inbox AS o ON o.delivery = i.original";

pub(super) const SAME_BODY: &str = "
    SELECT i.body_key, COALESCE(i.original, i.delivery)
    FROM json_each($1) AS w
    JOIN inbox AS i ON i.body_key = w.value->>'body'
    WHERE i.received_at >= $2
    ORDER BY i.delivery";

/// Keeps other processes from the same refs until the commit: what is counted is read and written as one.
pub(super) const LOCK_STATES: &str = "
    INSERT INTO branch_heads (repository, reference, state)
    SELECT value->>'repository', value->>'reference', '{}' FROM json_each($1) WHERE true
    ON CONFLICT (repository, reference) DO UPDATE SET state = branch_heads.state";

pub(super) const STATES: &str = "
    SELECT h.repository, h.reference, h.state
    FROM json_each($1) AS w
    JOIN branch_heads AS h ON h.repository = w.value->>'repository' AND h.reference = w.value->>'reference'";

pub(super) const ONE: &str = "SELECT summary, verdicts, state FROM inbox WHERE delivery = $1";

pub(super) const INSERT: &str = "
    INSERT INTO inbox (delivery, hook, key, body, body_key, received_at, headers, sealed, original, state,
                       summary, verdicts, trace)
    SELECT value->>'delivery', value->>'hook', value->>'key', value->>'body', value->>'body_key',
           CAST(value->>'received_at' AS BIGINT), value->>'headers', unhex(value->>'sealed'),
           value->>'original', value->>'state', value->>'summary', value->>'verdicts', value->>'trace'
    FROM json_each($1)";

pub(super) const PUT_STATES: &str = "
    INSERT INTO branch_heads (repository, reference, sha, state)
    SELECT value->>'repository', value->>'reference', value->>'sha', value->>'state'
    FROM json_each($1) WHERE true
    ON CONFLICT (repository, reference) DO UPDATE SET sha = excluded.sha, state = excluded.state";

pub(super) const MATCHED: &str = "
    UPDATE inbox SET state = 'matched'
    WHERE delivery IN (SELECT value->>'delivery' FROM json_each($1))";

pub(super) const LOOKED_AT: &str = "
    INSERT INTO asked_repositories (repository, first_asked_at) VALUES ($1, $2)
    ON CONFLICT (repository) DO NOTHING";

pub(super) const FIRST_LOOK: &str = "SELECT first_asked_at FROM asked_repositories WHERE repository = $1";

pub(super) const REFS: &str = "SELECT reference, state FROM branch_heads WHERE repository = $1";

pub(super) const TO_MATCH: &str = "
    SELECT delivery, hook, body, summary, verdicts, state, trace FROM inbox
    WHERE state = 'stored' OR state = 'approved' ORDER BY delivery LIMIT $1";

pub(super) const LIST: &str = "
    SELECT i.delivery, i.hook, i.received_at, i.state, i.summary, i.verdicts, i.original,
           w.since, w.tries, w.next_try_at, w.last_error
    FROM inbox AS i LEFT JOIN waiting AS w ON w.delivery = i.delivery
    WHERE i.delivery < $1 ORDER BY i.delivery DESC LIMIT $2";

pub(super) const FORGET: &str = "
    DELETE FROM inbox WHERE delivery IN (
        SELECT delivery FROM inbox WHERE delivery < $1 AND state NOT IN ('stored', 'approved', 'waiting') ORDER BY delivery LIMIT 1000)";

#[derive(FromRow)]
pub(super) struct ToMatch {
    delivery: String,
    hook: Option<String>,
    body: String,
    summary: String,
    verdicts: String,
    state: String,
    trace: Option<String>,
}

impl ToMatch {
    pub(super) fn stored(self) -> Option<Stored> {
        Some(Stored {
            delivery: self.delivery.parse().ok()?,
            hook: self.hook.and_then(|hook| hook.parse().ok()),
            digest: self.body,
            summary: self.summary,
            verdicts: decoded(&self.verdicts),
            approved: self.state == "approved",
            trace: self.trace,
        })
    }
}

#[derive(FromRow)]
pub(super) struct Listed {
    delivery: String,
    hook: Option<String>,
    received_at: i64,
    state: String,
    summary: String,
    verdicts: String,
    original: Option<String>,
    since: Option<i64>,
    tries: Option<i64>,
    next_try_at: Option<i64>,
    last_error: Option<String>,
}

impl Listed {
    pub(super) fn shown(self) -> v1::Delivery {
        let id: Option<DeliveryId> = self.delivery.parse().ok();
        let verdicts: Vec<Verdict> = decoded(&self.verdicts);
        let verdict = |verdict: Verdict| v1::Verdict {
            run: id.and_then(|id| verdict.run(id)).map(|run| run.to_string()).unwrap_or_default(),
            flow: verdict.flow.to_string(),
            path: verdict.path,
            trigger: verdict.trigger,
            matched: verdict.matched,
            reason: verdict.reason,
            rules: verdict.rules.into_iter().map(rule).collect(),
            held: verdict.held.map(held),
        };
        let summary = match &self.original {
            Some(original) => format!("{} (the same as delivery {original})", self.summary),
            None => self.summary,
        };
        let at = |micros: i64| Timestamp::from_micros(micros).to_string();
        let waiting = self.since.map(|since| v1::Waiting {
            since: at(since),
            tries: self.tries.and_then(|tries| tries.try_into().ok()).unwrap_or_default(),
            next_try: self.next_try_at.map(at).unwrap_or_default(),
            last_error: self.last_error.unwrap_or_default(),
        });
        v1::Delivery {
            waiting,
            id: self.delivery,
            hook: self.hook.unwrap_or_default(),
            received_at: Timestamp::from_micros(self.received_at).to_string(),
            state: self.state,
            summary,
            verdicts: verdicts.into_iter().map(verdict).collect(),
        }
    }
}

fn rule(rule: RuleVerdict) -> v1::RuleVerdict {
    v1::RuleVerdict { rule: rule.rule, outcome: rule.outcome.as_str().to_owned(), words: rule.words }
}

fn held(held: Held) -> v1::HeldCommit {
    let Held { pull_request, head, approval } = held;
    let (by, secrets) = approval.map_or((String::new(), false), |by| (by.by.name().to_owned(), by.secrets));
    v1::HeldCommit { pull_request, head, approved_by: by, with_secrets: secrets }
}

/// What this service wrote itself as JSON. Damage is said, and reads as nothing known.
pub(super) fn decoded<T: DeserializeOwned + Default>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| {
        tracing::error!(%error, "a row of the inbox is damaged");
        T::default()
    })
}
