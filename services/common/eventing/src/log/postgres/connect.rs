//! Connections to the server: how they come about, what they are told, what is made through the first one.
//!
//! Nothing here waits for ever. A server that is away, asleep or full costs a caller seconds, and is asked again by
//! whoever calls next.

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{PostgresOptions, sql};
use crate::log::OpenError;

/// How long an answer may take. A server that is only slow says so before (`statement_timeout`); one that does not even
/// do that is cut off.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection that was idle for so long is asked whether it still is one before it is used.
const IDLE: Duration = Duration::from_secs(1);

/// A server and the schema of the log in it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    connect: PgConnectOptions,
    schema: String,
    timeout: Duration,
    /// How many events a partition has.
    partition: i64,
}

/// Gives up on a server that does not answer.
pub(super) async fn within<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(timed_out("the server did not answer")))
}

fn timed_out(what: &'static str) -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, what))
}

impl Server {
    /// Only names that need no quoting reach SQL text.
    pub(super) fn new(url: &str, options: &PostgresOptions) -> Result<Self, OpenError> {
        let schema = options.schema.clone();
        let invalid = |source| OpenError::Database {
            place: format!("schema {schema}"),
            attempting: "reading the server's URL and the schema's name",
            source,
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if schema.is_empty() || !schema.chars().all(plain) {
            let hint = "a schema's name has only lower case letters, digits and `_`";
            return Err(invalid(sqlx::Error::Configuration(hint.into())));
        }
        let connect = PgConnectOptions::from_str(url)
            .map_err(invalid)?
            .options([
                ("search_path", schema.as_str()),
                // Compiling a plan costs a hundred times what running it does here.
                ("jit", "off"),
                ("statement_timeout", "9s"),
                ("idle_in_transaction_session_timeout", "10s"),
                // The server lets go of a client whose machine is gone.
                ("tcp_keepalives_idle", "10"),
                ("tcp_keepalives_interval", "5"),
                ("tcp_keepalives_count", "3"),
            ])
            .application_name("shipway")
            .disable_statement_logging();
        let partition = i64::try_from(options.partition_events).unwrap_or(i64::MAX);
        Ok(Self { connect, schema, timeout: options.connect_timeout, partition })
    }

    fn place(&self) -> String {
        let database = self.connect.get_database().unwrap_or("postgres");
        let (host, port) = (self.connect.get_host(), self.connect.get_port());
        format!("{host}:{port}/{database}, schema {}", self.schema)
    }

    pub(super) fn failed(&self, attempting: &'static str) -> impl Fn(sqlx::Error) -> OpenError + use<> {
        let place = self.place();
        move |source| OpenError::Database { place: place.clone(), attempting, source }
    }

    /// A connection for the appender.
    pub(super) async fn writer(&self) -> Result<PgConnection, sqlx::Error> {
        let writing = self.connect.clone().options([
            // Planning anew for the partitions that a position may be in takes as long as the rest of an append.
            // A generic plan that scans `streams` because it was small once would be kept for ever.
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            // Whoever waits for the head is refused within 2 s, the way there and back included.
            ("lock_timeout", "1800ms"),
            ("statement_timeout", "5s"),
        ]);
        self.connect(&writing).await
    }

    /// A connection for upkeep, whose statements may take long; it waits for no lock for long.
    pub(super) async fn patient(&self) -> Result<PgConnection, sqlx::Error> {
        let patient = [("statement_timeout", "0"), ("lock_timeout", "30s")];
        self.connect(&self.connect.clone().options(patient)).await
    }

    pub(super) async fn readers(&self, count: u32) -> Result<PgPool, sqlx::Error> {
        PgPoolOptions::new()
            .max_connections(count)
            .acquire_timeout(self.timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move { Ok(meta.idle_for < IDLE || connection.ping().await.is_ok()) })
            })
            .connect_with(self.connect.clone())
            .await
    }

    /// Makes the tables that are missing; the log's id and generation.
    pub(super) async fn prepare(&self, allow_not_durable: bool) -> Result<(String, u32), OpenError> {
        let mut connection =
            self.connect(&self.connect).await.map_err(self.failed("connecting to the server"))?;
        if !allow_not_durable {
            self.refuse_not_durable(&mut connection).await?;
        }
        let failed = self.failed("making its tables and functions");
        let (there, must_make) = self.prepared(&mut connection).await.map_err(&failed)?;
        if must_make {
            self.make(&mut connection).await.map_err(&failed)?;
        } else if !there {
            return Err(OpenError::NotPrepared { place: self.place() });
        }
        let (found, id, generation): (i64, String, i64) =
            sqlx::query_as(sql::IDENTITY).fetch_one(&mut connection).await.map_err(&failed)?;
        crate::log::usable(found, &self.place())?;
        let generation = u32::try_from(generation)
            .map_err(|error| self.failed("reading its generation")(sqlx::Error::Decode(error.into())))?;
        drop(connection.close().await);
        Ok((id, generation))
    }

    /// Whether the tables are there, and whether this process is to make them.
    async fn prepared(&self, connection: &mut PgConnection) -> Result<(bool, bool), sqlx::Error> {
        sqlx::query_as(sql::PREPARED)
            .bind(&self.schema)
            .bind(fingerprint())
            .bind(sql::REVISION)
            .fetch_one(connection)
            .await
    }

    async fn make(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        for statement in sql::BEFORE_PARTITIONS {
            sqlx::raw_sql(statement).execute(&mut *connection).await?;
        }
        let mut setup = connection.begin().await?;
        // Others that start now wait here, not at a table.
        sqlx::query(sql::PATIENCE).execute(&mut *setup).await?;
        sqlx::query(sql::LOCK).execute(&mut *setup).await?;
        // Somebody may have made them while this one waited: the same, or newer ones.
        if !self.prepared(&mut setup).await?.1 {
            return Ok(());
        }
        // The table is asked: a name that was looked up before the lock came may be remembered as missing.
        let there: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_namespace WHERE nspname = $1")
            .bind(&self.schema)
            .fetch_one(&mut *setup)
            .await?;
        if there == 0 {
            let make_schema = AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema));
            sqlx::raw_sql(make_schema).execute(&mut *setup).await?;
        }
        sqlx::raw_sql(sql::SCHEMA).execute(&mut *setup).await?;
        sqlx::query(sql::IDENTIFY)
            .bind(crate::log::FORMAT)
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(self.partition)
            .execute(&mut *setup)
            .await?;
        // Room for what is appended before anybody looks whether there is room.
        let room: i64 = sqlx::query_scalar("SELECT position + partition_events FROM head, log")
            .fetch_one(&mut *setup)
            .await?;
        sqlx::query(sql::MAKE_PARTITIONS).bind(room).execute(&mut *setup).await?;
        let note = AssertSqlSafe(format!("COMMENT ON SCHEMA {} IS '{}'", self.schema, fingerprint()));
        sqlx::raw_sql(note).execute(&mut *setup).await?;
        setup.commit().await
    }

    async fn refuse_not_durable(&self, connection: &mut PgConnection) -> Result<(), OpenError> {
        let settings: Vec<(String, String)> = sqlx::query_as(sql::SETTINGS)
            .fetch_all(connection)
            .await
            .map_err(self.failed("reading the server's settings"))?;
        let value =
            |name: &str| settings.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
            if let Some("off") | None = value(setting) {
                let value = value(setting).unwrap_or("unknown").to_owned();
                return Err(OpenError::NotDurable { setting, value });
            }
        }
        if value("data_checksums") == Some("off") {
            tracing::warn!(
                "PostgreSQL runs without data checksums: a damaged disk is found by `shipway verify` only"
            );
        }
        Ok(())
    }

    async fn connect(&self, options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
        tokio::time::timeout(self.timeout, PgConnection::connect_with(options))
            .await
            .unwrap_or_else(|_| Err(timed_out("no connection came about in time")))
    }
}

/// What tells one text of tables and functions from another. It is kept as the schema's comment.
fn fingerprint() -> String {
    use sha2::{Digest, Sha256};
    let digest = hex::encode(Sha256::digest(sql::SCHEMA));
    format!("The log of Shipway, revision {}, as made by {}", sql::REVISION, &digest[..16])
}

#[cfg(all(test, not(feature = "next-schema")))]
mod tests {
    use super::*;

    /// Another text needs another number: raise it, then put the new pair here.
    #[test]
    fn the_text_has_the_number_that_it_had() {
        assert_eq!(fingerprint(), "The log of Shipway, revision 3, as made by 78212b2528433c06");
    }
}
