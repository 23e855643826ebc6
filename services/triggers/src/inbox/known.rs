//! What is known beforehand of the deliveries of one commit: their refs, whether their keys and bodies came before.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shipway_eventing::failing;
use shipway_events::DeliveryId;
use sqlx::AnyConnection;

use super::{
    Subject,
    decide::{Group, RefKey, Row, kept},
    sql,
};
use crate::domain::heads::MEMORY;

/// All of it in one row: SQLite hands over each row by waking two threads. `$1` are refs, `$2` deliveries, `$3` is since when
/// bodies are remembered. Texts of `$all` and `$row` are how a database makes a list of all rows, and one of a row.
macro_rules! known {
    ($all:literal, $end:literal, $row:literal) => {
        concat!(
            "SELECT (SELECT ", $all, $row, "(h.repository, h.reference, h.state)", $end,
            " FROM json_each($1) AS w
              JOIN branch_heads AS h ON h.repository = w.value->>'repository' AND h.reference = w.value->>'reference'),
             (SELECT ", $all, $row, "(d.repository, d.refs)", $end,
            " FROM json_each($1) AS w JOIN waiting AS d ON d.repository = w.value->>'repository'),
             (SELECT ", $all, $row, "(i.key, COALESCE(o.delivery, i.delivery), COALESCE(o.summary, i.summary),
                                      COALESCE(o.verdicts, i.verdicts), COALESCE(o.state, i.state))", $end,
            " FROM json_each($2) AS w JOIN inbox AS i ON i.key = w.value->>'key'
              LEFT JOIN inbox AS o ON o.delivery = i.original),
             (SELECT ", $all, $row, "(i.delivery, i.body_key, COALESCE(i.original, i.delivery))", $end,
            " FROM json_each($2) AS w JOIN inbox AS i ON i.body_key = w.value->>'body' WHERE i.received_at >= $3)"
        )
    };
}

const SQLITE: &str = known!("json_group_array(", ")", "json_array");
const POSTGRES: &str = known!("CAST(COALESCE(jsonb_agg(", "), '[]') AS TEXT)", "jsonb_build_array");

/// Makes the refs that are missing, so that they can be locked.
const MAKE: &str = "
    INSERT INTO branch_heads (repository, reference, state)
    SELECT value->>'repository', value->>'reference', '{}' FROM json_each($1) WHERE true
    ON CONFLICT (repository, reference) DO NOTHING";

/// Keeps other processes from the same refs until the commit: what is counted is read and written as one. On SQLite
/// nobody else writes meanwhile.
const LOCK: &str = "
    SELECT count(*) FROM (
        SELECT h.reference FROM json_each($1) AS w
        JOIN branch_heads AS h ON h.repository = w.value->>'repository' AND h.reference = w.value->>'reference'
        ORDER BY h.repository, h.reference FOR UPDATE OF h) AS locked";

impl Group {
    /// Reads what is known of rows, and locks their refs.
    pub(super) async fn read(
        &mut self,
        connection: &mut AnyConnection,
        rows: &[Row],
    ) -> Result<(), sqlx::Error> {
        let (refs, deliveries) = asked_for(rows);
        if refs.is_empty() && deliveries.is_empty() {
            return Ok(());
        }
        let wanted = Value::Array(refs).to_string();
        if is_postgres(connection) && wanted.len() > "[]".len() {
            sqlx::query(MAKE).bind(&wanted).execute(&mut *connection).await?;
            sqlx::query(LOCK).bind(&wanted).execute(&mut *connection).await?;
        }
        // After the refs are locked: of a body that comes to two processes at once, one sees the other's.
        self.read_known(connection, &wanted, &deliveries).await
    }

    /// Reads what is known of deliveries by their keys alone.
    pub(super) async fn read_same_keys(
        &mut self,
        connection: &mut AnyConnection,
        keys: impl Iterator<Item = &str>,
    ) -> Result<(), sqlx::Error> {
        let deliveries: Vec<Value> = keys.map(|key| json!({ "key": key })).collect();
        self.read_known(connection, "[]", &deliveries).await
    }

    async fn read_known(
        &mut self,
        connection: &mut AnyConnection,
        refs: &str,
        deliveries: &[Value],
    ) -> Result<(), sqlx::Error> {
        let statement = if is_postgres(connection) { POSTGRES } else { SQLITE };
        let since = self.now.micros().saturating_sub(i64::try_from(MEMORY.as_micros()).unwrap_or(i64::MAX));
        let read = sqlx::query_as(statement).bind(refs).bind(json!(deliveries).to_string()).bind(since);
        let (states, waiting, keys, bodies): (String, String, String, String) =
            failing!("db.inbox.known", read.fetch_one(connection).await)?;
        for (repository, reference, state) in rows::<(String, String, String)>(&states)? {
            self.states.insert((repository, reference), sql::decoded(&state));
        }
        for (repository, refs) in rows::<(String, String)>(&waiting)? {
            let refs: Vec<String> = sql::decoded(&refs);
            self.waiting
                .extend(refs.into_iter().map(|reference| -> RefKey { (repository.clone(), reference) }));
        }
        for (key, delivery, summary, verdicts, state) in
            rows::<(String, DeliveryId, String, String, String)>(&keys)?
        {
            self.by_key.insert(key, kept(delivery, summary, &verdicts, &state));
        }
        let mut bodies = rows::<(DeliveryId, String, DeliveryId)>(&bodies)?;
        // The newest with a body is the last.
        bodies.sort_unstable();
        self.by_body.extend(bodies.into_iter().map(|(_, body, first)| (body, first)));
        Ok(())
    }
}

/// Whether other processes write the same database at the same time.
pub(super) fn is_postgres(connection: &AnyConnection) -> bool {
    connection.backend_name() == "PostgreSQL"
}

/// The refs of rows in their order, so that two processes cannot wait for each other; and their deliveries.
fn asked_for(rows: &[Row]) -> (Vec<Value>, Vec<Value>) {
    let mut refs = std::collections::BTreeSet::new();
    let mut deliveries = Vec::new();
    for row in rows {
        match row {
            Row::Delivery(incoming) => {
                deliveries.push(json!({ "key": incoming.key, "body": incoming.body_key() }));
                // No head of a branch is moved by a replay.
                if !incoming.is_replay {
                    refs.extend(incoming.to.iter().map(Subject::ref_key));
                }
            }
            Row::Asked(asked) => drop(refs.insert(asked.ref_key())),
            Row::Answered(answered) => refs.extend(answered.to.iter().map(Subject::ref_key)),
            Row::LookedAt(_) | Row::Matched(_) | Row::Postponed(_) | Row::Approve(_) => {}
        }
    }
    let wanted = |(repository, reference)| json!({ "repository": repository, "reference": reference });
    (refs.into_iter().map(wanted).collect(), deliveries)
}

/// A list that the database made of rows.
fn rows<T: DeserializeOwned>(json: &str) -> Result<Vec<T>, sqlx::Error> {
    serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))
}
