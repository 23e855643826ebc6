//! The tables of the secrets' home, and every statement about them. Nothing here sees a value.

use shipway_eventing::failing;
use shipway_events::ProjectId;
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::cipher::Sealed;

/// The statements that make this service's durable tables.
pub const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS secret_keys (
        project TEXT NOT NULL, key_id TEXT NOT NULL, kek_id TEXT NOT NULL, nonce TEXT NOT NULL, wrapped TEXT NOT NULL,
        PRIMARY KEY (project, key_id))",
    "CREATE TABLE IF NOT EXISTS secrets (
        project TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL, key_id TEXT NOT NULL, nonce TEXT NOT NULL,
        ciphertext TEXT NOT NULL,
        PRIMARY KEY (project, name, version))",
];

const ANY_KEY: &str = "SELECT kek_id FROM secret_keys LIMIT 1";
const NEWEST_KEY: &str = "SELECT key_id, kek_id, nonce, wrapped FROM secret_keys WHERE project = $1
    ORDER BY key_id DESC LIMIT 1";
const KEY: &str = "SELECT key_id, kek_id, nonce, wrapped FROM secret_keys WHERE project = $1 AND key_id = $2";
const KEYS: &str = "SELECT key_id, kek_id, nonce, wrapped FROM secret_keys WHERE project = $1";
const PUT_KEY: &str = "INSERT INTO secret_keys (project, key_id, kek_id, nonce, wrapped)
    VALUES ($1, $2, $3, $4, $5)";
const NEWEST: &str = "SELECT version, key_id, nonce, ciphertext FROM secrets WHERE project = $1 AND name = $2
    ORDER BY version DESC LIMIT 1";
const ALL_OF: &str = "SELECT name, version, key_id, nonce, ciphertext FROM secrets
    WHERE project = $1 AND substr(name, 1, length($2)) = $2";
const ONE: &str = "SELECT version, key_id, nonce, ciphertext FROM secrets
    WHERE project = $1 AND name = $2 AND version = $3";
const PUT: &str = "INSERT INTO secrets (project, name, version, key_id, nonce, ciphertext)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (project, name, version) DO NOTHING";

/// A wrapped data key.
#[derive(Debug)]
pub(super) struct KeyRow {
    pub(super) key_id: String,
    pub(super) kek_id: String,
    /// None if the row holds no hex.
    pub(super) wrapped: Option<Sealed>,
}

/// A sealed value.
#[derive(Debug)]
pub(super) struct ValueRow {
    pub(super) version: u32,
    pub(super) key_id: String,
    /// None if the row holds no hex.
    pub(super) sealed: Option<Sealed>,
}

/// The key-encryption key of any data key; none while there are no secrets.
pub(super) async fn any_kek_id(db: &mut AnyConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(ANY_KEY).fetch_optional(db).await
}

/// The project's newest data key.
pub(super) async fn newest_key(
    db: &mut AnyConnection,
    project: ProjectId,
) -> Result<Option<KeyRow>, sqlx::Error> {
    let read = sqlx::query(NEWEST_KEY).bind(project.to_string()).fetch_optional(db);
    failing!("db.secrets.newest_key", read.await)?.map(key_row).transpose()
}

/// One of the project's data keys.
pub(super) async fn key(
    db: &mut AnyConnection,
    project: ProjectId,
    key_id: &str,
) -> Result<Option<KeyRow>, sqlx::Error> {
    let read = sqlx::query(KEY).bind(project.to_string()).bind(key_id).fetch_optional(db);
    let row = failing!("db.secrets.key", read.await)?;
    row.map(key_row).transpose()
}

/// All of the project's data keys.
pub(super) async fn keys(db: &mut AnyConnection, project: ProjectId) -> Result<Vec<KeyRow>, sqlx::Error> {
    let read = sqlx::query(KEYS).bind(project.to_string()).fetch_all(db);
    failing!("db.secrets.keys", read.await)?.into_iter().map(key_row).collect()
}

fn key_row(row: AnyRow) -> Result<KeyRow, sqlx::Error> {
    let wrapped =
        Sealed::from_hex(&row.try_get::<String, _>("nonce")?, &row.try_get::<String, _>("wrapped")?);
    Ok(KeyRow { key_id: row.try_get("key_id")?, kek_id: row.try_get("kek_id")?, wrapped })
}

/// Keeps a data key.
pub(super) async fn put_key(
    db: &mut AnyConnection,
    project: ProjectId,
    key_id: &str,
    kek_id: &str,
    wrapped: &Sealed,
) -> Result<(), sqlx::Error> {
    let (nonce, wrapped) = wrapped.to_hex();
    let put = sqlx::query(PUT_KEY)
        .bind(project.to_string())
        .bind(key_id)
        .bind(kek_id)
        .bind(nonce)
        .bind(wrapped)
        .execute(db);
    failing!("db.secrets.put_key", put.await).map(drop)
}

/// The newest version of a secret.
pub(super) async fn newest(
    db: &mut AnyConnection,
    project: ProjectId,
    name: &str,
) -> Result<Option<ValueRow>, sqlx::Error> {
    let read = sqlx::query(NEWEST).bind(project.to_string()).bind(name).fetch_optional(db);
    let row = failing!("db.secrets.newest", read.await)?;
    row.map(value_row).transpose()
}

/// One version of a secret.
pub(super) async fn one(
    db: &mut AnyConnection,
    project: ProjectId,
    name: &str,
    version: u32,
) -> Result<Option<ValueRow>, sqlx::Error> {
    let row = sqlx::query(ONE)
        .bind(project.to_string())
        .bind(name)
        .bind(i64::from(version))
        .fetch_optional(db)
        .await?;
    row.map(value_row).transpose()
}

/// Every version of the secrets whose names begin so, by name and version.
pub(super) async fn all_of(
    db: &mut AnyConnection,
    project: ProjectId,
    prefix: &str,
) -> Result<Vec<((String, u32), ValueRow)>, sqlx::Error> {
    // Not LIKE: to SQLite a large letter would be the same as a small one.
    let read = sqlx::query(ALL_OF).bind(project.to_string()).bind(prefix).fetch_all(db);
    let named = |row: AnyRow| {
        let name = row.try_get("name")?;
        let row = value_row(row)?;
        Ok(((name, row.version), row))
    };
    failing!("db.secrets.all_of", read.await)?.into_iter().map(named).collect()
}

fn value_row(row: AnyRow) -> Result<ValueRow, sqlx::Error> {
    let sealed =
        Sealed::from_hex(&row.try_get::<String, _>("nonce")?, &row.try_get::<String, _>("ciphertext")?);
    let version = u32::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0);
    Ok(ValueRow { version, key_id: row.try_get("key_id")?, sealed })
}

/// Keeps a version of a secret. Tells whether it was new.
pub(super) async fn put(
    db: &mut AnyConnection,
    project: ProjectId,
    name: &str,
    version: u32,
    key_id: &str,
    sealed: &Sealed,
) -> Result<bool, sqlx::Error> {
    let (nonce, ciphertext) = sealed.to_hex();
    let put = sqlx::query(PUT)
        .bind(project.to_string())
        .bind(name)
        .bind(i64::from(version))
        .bind(key_id)
        .bind(nonce)
        .bind(ciphertext)
        .execute(db);
    let done = failing!("db.secrets.put", put.await)?;
    Ok(done.rows_affected() == 1)
}
