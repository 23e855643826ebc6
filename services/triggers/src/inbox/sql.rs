//! The inbox's tables and statements, in what both databases speak.

use serde::de::DeserializeOwned;
use sqlx::FromRow;

use super::Stored;

/// The statements that make this service's durable tables.
///
/// `key` is the hook and its sender's id of the delivery; `body_key` the hook and the body's digest, on the first
/// delivery of a push only. Ids grow with time, so `delivery` is the order of arrival. `unconfirmed` has the refs of which a
/// delivery that waits may tell what the delivery `first` told before.
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
    "CREATE INDEX IF NOT EXISTS waiting_next ON waiting (next_try_at)",
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
    "CREATE TABLE IF NOT EXISTS unconfirmed (
        delivery TEXT PRIMARY KEY,
        refs TEXT NOT NULL,
        first TEXT NOT NULL
    )",
];

macro_rules! concat_filter {
    ($rest:literal) => {
        concat!(
            "SELECT i.delivery, hook, key, received_at, state, summary, verdicts, original,
                    w.since, w.tries, w.next_try_at, w.last_error
             FROM inbox AS i LEFT JOIN waiting AS w ON w.delivery = i.delivery
             WHERE i.delivery >= $1 AND i.delivery < $2 AND received_at >= $8 AND received_at < $9 AND ($3 = '' OR hook = $3)
               AND ($4 = '' OR (state = $4 AND original IS NULL) OR ($4 = 'repeated' AND original IS NOT NULL))
               AND ($5 = '' OR verdicts LIKE $5 ESCAPE '\\')
               AND ($6 = '' OR lower(summary) LIKE $6 ESCAPE '\\' OR lower(verdicts) LIKE $6 ESCAPE '\\') ",
            $rest
        )
    };
}

pub(super) const ONE: &str = "SELECT summary, verdicts, state FROM inbox WHERE delivery = $1";

pub(super) const INSERT_VALUES: &str = "
    INSERT INTO inbox (delivery, hook, key, body, body_key, received_at, headers, sealed, original, state,
                       summary, verdicts, trace)";

pub(super) const INSERT: &str = "
    INSERT INTO inbox (delivery, hook, key, body, body_key, received_at, headers, sealed, original, state,
                       summary, verdicts, trace)
    SELECT value->>'delivery', value->>'hook', value->>'key', value->>'body', value->>'body_key',
           CAST(value->>'received_at' AS BIGINT), value->>'headers', unhex(value->>'sealed'),
           value->>'original', value->>'state', value->>'summary', value->>'verdicts', value->>'trace'
    FROM json_each($1)";

/// What makes a statement write those only whose keys are new.
pub(super) const NEW: &str = " ON CONFLICT (key) DO NOTHING";

/// The same in one statement.
pub(super) const INSERT_NEW: &str = "
    INSERT INTO inbox (delivery, hook, key, body, body_key, received_at, headers, sealed, original, state,
                       summary, verdicts, trace)
    SELECT value->>'delivery', value->>'hook', value->>'key', value->>'body', value->>'body_key',
           CAST(value->>'received_at' AS BIGINT), value->>'headers', unhex(value->>'sealed'),
           value->>'original', value->>'state', value->>'summary', value->>'verdicts', value->>'trace'
    FROM json_each($1) WHERE true
    ON CONFLICT (key) DO NOTHING";

pub(super) const PUT_BODY: &str = "UPDATE inbox SET sealed = $2 WHERE delivery = $1";

pub(super) const PUT_STATES_VALUES: &str = "INSERT INTO branch_heads (repository, reference, sha, state)";
pub(super) const PUT_STATES_TAIL: &str = "
    ON CONFLICT (repository, reference) DO UPDATE SET sha = excluded.sha, state = excluded.state";

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

/// Filters that are empty do not choose. `$1` and `$2` are ids.
pub(super) const NEWEST_FIRST: &str = concat_filter!("ORDER BY i.delivery DESC LIMIT $7");

/// The same from the oldest on, without repeats, replays and what no hook brought.
pub(super) const FIRST_ONES: &str = concat_filter!(
    "AND original IS NULL AND hook IS NOT NULL AND key NOT LIKE 'replay/%' ORDER BY i.delivery LIMIT $7"
);

/// Two tell that a beginning is of several.
pub(super) const BY_BEGINNING: &str = "
    SELECT i.delivery, hook, key, body, received_at, headers, sealed, original, state, summary, verdicts,
           w.since, w.tries, w.next_try_at, w.last_error
    FROM inbox AS i LEFT JOIN waiting AS w ON w.delivery = i.delivery
    WHERE i.delivery >= $1 AND i.delivery < $2 ORDER BY i.delivery LIMIT 2";

/// Replays come later.
pub(super) const REPLAYS: &str = "
    SELECT delivery FROM inbox WHERE delivery > $1 AND key LIKE $2 ORDER BY delivery LIMIT 100";

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

/// What this service wrote itself as JSON. Damage is said, and reads as nothing known.
pub(super) fn decoded<T: DeserializeOwned + Default>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| {
        tracing::error!(%error, "a row of the inbox is damaged");
        T::default()
    })
}
