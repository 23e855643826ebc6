//! The table of what is to be said and what came of it, in what both databases speak.

use shipway_eventing::durable::{Durable, DurableError};
use shipway_events::{Position, Timestamp};
use shipway_forge::State;
use sqlx::FromRow;

use super::words;

/// The statements that make the table.
///
/// `outcome` is `open` while something is to be said, then `said`, `silent` (nobody says it, `note` says why), `replaced`
/// (another run of the flow at that commit speaks, `note` says which) or `given up` (`note` has the host's words). Ids of runs grow with time.
pub const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS commit_statuses (
        run TEXT PRIMARY KEY,
        project TEXT NOT NULL,
        flow TEXT NOT NULL,
        trigger_ref TEXT NOT NULL,
        path TEXT NOT NULL,
        name TEXT NOT NULL,
        repository TEXT NOT NULL,
        commit_id TEXT NOT NULL,
        state TEXT NOT NULL,
        words TEXT NOT NULL,
        position BIGINT NOT NULL,
        tries BIGINT NOT NULL,
        due_at BIGINT NOT NULL,
        until_at BIGINT NOT NULL,
        held_until BIGINT NOT NULL,
        outcome TEXT NOT NULL,
        note TEXT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS commit_statuses_due ON commit_statuses (due_at) WHERE outcome = 'open'",
    "CREATE INDEX IF NOT EXISTS commit_statuses_commit ON commit_statuses (commit_id, flow)",
];

const BEGIN: &str = "
    INSERT INTO commit_statuses (run, project, flow, trigger_ref, path, name, repository, commit_id, state, words,
                                 position, tries, due_at, until_at, held_until, outcome, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $13, 0, 'open', '')
    ON CONFLICT (run) DO NOTHING";

const KNOWN: &str = "SELECT position FROM commit_statuses WHERE run = $1";

const END: &str = "
    UPDATE commit_statuses
    SET state = $2, words = $3, position = $4, tries = 0, due_at = $5, until_at = $6, outcome = 'open', note = ''
    WHERE run = $1 AND position < $4";

const TOLD: &str =
    "SELECT repository, commit_id, state, outcome, note, tries FROM commit_statuses WHERE run = $1";

const DUE: &str = "
    SELECT run, project, flow, trigger_ref, path, name, repository, commit_id, state, words, position, tries, until_at
    FROM commit_statuses
    WHERE outcome = 'open' AND due_at <= $1 AND held_until <= $1
    ORDER BY due_at, run
    LIMIT $2";

const HOLD: &str = "
    UPDATE commit_statuses SET held_until = $3
    WHERE run = $1 AND position = $2 AND outcome = 'open' AND held_until <= $4";

/// Of a flow's runs at one commit the newest speaks: of those that ran, if there are any.
const SPEAKER: &str = "
    SELECT run FROM commit_statuses WHERE commit_id = $1 AND flow = $2 AND repository = $3
    ORDER BY CASE state WHEN 'skipped' THEN 1 ELSE 0 END, run DESC
    LIMIT 1";

const SAY_AGAIN: &str = "
    UPDATE commit_statuses SET outcome = 'open', note = '', tries = 0, due_at = $2
    WHERE run = $1 AND outcome IN ('said', 'replaced')";

/// One statement each, so that whoever dies after it holds nothing. What was noted meanwhile, at another position, stays.
const CLOSE: &str = "
    UPDATE commit_statuses
    SET outcome = CASE WHEN position = $2 THEN $3 ELSE outcome END,
        note = CASE WHEN position = $2 THEN $4 ELSE note END,
        held_until = 0
    WHERE run = $1";

const LATER: &str = "
    UPDATE commit_statuses
    SET tries = CASE WHEN position = $2 THEN $3 ELSE tries END,
        due_at = CASE WHEN position = $2 THEN $4 ELSE due_at END,
        note = CASE WHEN position = $2 THEN $5 ELSE note END,
        held_until = 0
    WHERE run = $1";

const FORGET: &str = "DELETE FROM commit_statuses WHERE until_at < $1";

/// What is to be said of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// How far it is.
    pub(super) state: State,
    /// The same in words, after the run's name.
    pub(super) words: String,
    /// The event that says so.
    pub(super) position: Position,
}

/// A run and what is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) run: String,
    pub(super) project: String,
    pub(super) flow: String,
    pub(super) trigger: String,
    pub(super) path: String,
    pub(super) name: String,
    pub(super) repository: String,
    pub(super) commit: String,
    pub(super) said: Said,
    /// How often it was tried.
    pub(super) tries: u32,
    /// When it is given up, in microseconds.
    pub(super) until: i64,
}

#[derive(FromRow)]
struct Read {
    run: String,
    project: String,
    flow: String,
    trigger_ref: String,
    path: String,
    name: String,
    repository: String,
    commit_id: String,
    state: String,
    words: String,
    position: i64,
    tries: i64,
    until_at: i64,
}

impl From<Read> for Row {
    fn from(read: Read) -> Self {
        let position = read.position.cast_unsigned();
        Self {
            run: read.run,
            project: read.project,
            flow: read.flow,
            trigger: read.trigger_ref,
            path: read.path,
            name: read.name,
            repository: read.repository,
            commit: read.commit_id,
            said: Said { state: words::state(&read.state), words: read.words, position },
            tries: u32::try_from(read.tries).unwrap_or(u32::MAX),
            until: read.until_at,
        }
    }
}

/// What a host hears of a run, for people.
#[derive(Clone, Debug, FromRow, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) repository: String,
    pub(crate) commit_id: String,
    pub(crate) state: String,
    pub(crate) outcome: String,
    pub(crate) note: String,
    pub(crate) tries: i64,
}

/// What came of saying it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The host has it.
    Said,
    /// Nobody says it, for this reason.
    Silent(String),
    /// This other run speaks.
    Replaced(String),
    /// It is tried no more; the last that was heard.
    GivenUp(String),
    /// It is tried again then.
    Later(Timestamp, String),
}

/// The table.
#[derive(Clone)]
pub(crate) struct Rows {
    durable: Durable,
}

impl Rows {
    pub(crate) const fn new(durable: Durable) -> Self {
        Self { durable }
    }

    /// Notes that a run has started; false if that was known.
    pub(super) async fn begin(
        &self,
        row: &Row,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<bool, DurableError> {
        let begin = sqlx::query(BEGIN)
            .bind(&row.run)
            .bind(&row.project)
            .bind(&row.flow)
            .bind(&row.trigger)
            .bind(&row.path)
            .bind(&row.name)
            .bind(&row.repository)
            .bind(&row.commit)
            .bind(words::word(row.said.state))
            .bind(&row.said.words)
            .bind(row.said.position.cast_signed())
            .bind(due.micros())
            .bind(until.micros());
        self.write("noting a commit status", begin).await
    }

    /// Notes how a run has ended; false if nothing was to be said of it.
    pub(super) async fn end(
        &self,
        run: &str,
        said: &Said,
        due: Timestamp,
        until: Timestamp,
    ) -> Result<bool, DurableError> {
        let known: Option<(i64,)> = sqlx::query_as(KNOWN)
            .bind(run)
            .fetch_optional(self.durable.pool())
            .await
            .map_err(failed("looking for a commit status"))?;
        // Nearly all runs are of no interest here, and cost no write.
        if known.is_none() {
            return Ok(false);
        }
        let end = sqlx::query(END)
            .bind(run)
            .bind(words::word(said.state))
            .bind(&said.words)
            .bind(said.position.cast_signed())
            .bind(due.micros())
            .bind(until.micros());
        self.write("noting a commit status", end).await
    }

    /// What the host hears of a run, and what came of it so far.
    pub(crate) async fn told(&self, run: &str) -> Result<Option<Told>, DurableError> {
        let told = sqlx::query_as(TOLD).bind(run).fetch_optional(self.durable.pool()).await;
        told.map_err(failed("reading what a Git host hears of a run"))
    }

    /// What is to be said now.
    pub(super) async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Row>, DurableError> {
        let rows: Vec<Read> = sqlx::query_as(DUE)
            .bind(now.micros())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.durable.pool())
            .await
            .map_err(failed("reading the commit statuses to set"))?;
        Ok(rows.into_iter().map(Row::from).collect())
    }

    /// Takes a row for so long that nobody else says it meanwhile; false if another process has it.
    pub(super) async fn hold(
        &self,
        row: &Row,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, DurableError> {
        let hold = sqlx::query(HOLD)
            .bind(&row.run)
            .bind(row.said.position.cast_signed())
            .bind(until.micros())
            .bind(now.micros());
        self.write("taking a commit status", hold).await
    }

    /// The other run of the same flow at the same commit whose status counts, if it is not this one's.
    pub(super) async fn other_speaker(&self, row: &Row) -> Result<Option<String>, DurableError> {
        let speaker: Option<(String,)> = sqlx::query_as(SPEAKER)
            .bind(&row.commit)
            .bind(&row.flow)
            .bind(&row.repository)
            .fetch_optional(self.durable.pool())
            .await
            .map_err(failed("looking for other runs of a commit"))?;
        Ok(speaker.map(|(run,)| run).filter(|run| *run != row.run))
    }

    /// Has a run say once more what it has to say: another has spoken in its place.
    pub(super) async fn say_again(&self, run: &str, now: Timestamp) -> Result<(), DurableError> {
        let again = sqlx::query(SAY_AGAIN).bind(run).bind(now.micros());
        self.write("setting a commit status once more", again).await.map(drop)
    }

    /// Records what came of it, and lets the row go. What was noted meanwhile stays to be said.
    pub(super) async fn close(&self, row: &Row, outcome: &Outcome) -> Result<(), DurableError> {
        let (run, position) = (&row.run, row.said.position.cast_signed());
        let (word, note) = match outcome {
            Outcome::Said => ("said", ""),
            Outcome::Silent(why) => ("silent", why.as_str()),
            Outcome::Replaced(by) => ("replaced", by.as_str()),
            Outcome::GivenUp(why) => ("given up", why.as_str()),
            Outcome::Later(at, why) => {
                let later = sqlx::query(LATER).bind(run).bind(position).bind(i64::from(row.tries) + 1);
                let later = later.bind(at.micros()).bind(why);
                return self.write("putting a commit status off", later).await.map(drop);
            }
        };
        let close = sqlx::query(CLOSE).bind(run).bind(position).bind(word).bind(note);
        self.write("closing a commit status", close).await.map(drop)
    }

    /// Forgets what would have been given up before a time.
    pub(super) async fn forget(&self, before: Timestamp) -> Result<(), DurableError> {
        self.write("forgetting commit statuses", sqlx::query(FORGET).bind(before.micros())).await.map(drop)
    }

    /// Runs a statement in a transaction of its own; whether it changed a row.
    async fn write<'q>(
        &self,
        attempting: &'static str,
        statement: sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>,
    ) -> Result<bool, DurableError> {
        let mut tx = self.durable.begin().await?;
        let done = statement.execute(&mut *tx).await.map_err(failed(attempting))?;
        tx.commit().await.map_err(failed(attempting))?;
        Ok(done.rows_affected() > 0)
    }
}

fn failed(attempting: &'static str) -> impl Fn(sqlx::Error) -> DurableError {
    move |source| DurableError::Database { attempting, source: std::sync::Arc::new(source) }
}
