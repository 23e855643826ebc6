//! The schema and how it came to be. Each step works with the program before it too.

use postgres::Client;

use crate::Error;

/// Number, name and statements, in order.
const STEPS: &[(i32, &str, &str)] = &[(1, "items", include_str!("../migrations/0001_items.sql"))];

/// The lock that lets one program migrate at a time.
const LOCK: i64 = 7_400;

/// Applies what is missing, all or nothing; the names of what was applied.
pub fn apply(client: &mut Client) -> Result<Vec<String>, Error> {
    let mut transaction = client.transaction()?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])?;
    transaction.batch_execute(
        "SET LOCAL lock_timeout = '10s';
         CREATE TABLE IF NOT EXISTS schema_version (
             version INTEGER PRIMARY KEY,
             name TEXT NOT NULL,
             applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
         )",
    )?;
    let row = transaction.query_one("SELECT coalesce(max(version), 0) FROM schema_version", &[])?;
    let at: i32 = row.get(0);
    let mut applied = Vec::new();
    for (version, name, statements) in STEPS.iter().filter(|(version, ..)| *version > at) {
        transaction
            .batch_execute(statements)
            .map_err(|error| format!("migration {version:04} {name}: {error}"))?;
        transaction
            .execute("INSERT INTO schema_version (version, name) VALUES ($1, $2)", &[version, name])?;
        applied.push(format!("{version:04} {name}"));
    }
    transaction.commit()?;
    Ok(applied)
}

/// The version of the schema as it is; 0 before the first migration.
pub fn version(client: &mut Client) -> Result<i32, Error> {
    let exists = client.query_one("SELECT to_regclass('schema_version') IS NOT NULL", &[])?;
    if !exists.get::<_, bool>(0) {
        return Ok(0);
    }
    Ok(client.query_one("SELECT coalesce(max(version), 0) FROM schema_version", &[])?.get(0))
}

/// The version that this program brings.
pub fn newest() -> i32 {
    STEPS.last().map_or(0, |(version, ..)| *version)
}
