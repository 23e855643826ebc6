//! L-12: with the roles of `infra/postgres/roles.sql`, services append, and can change or remove nothing of the log.

use std::sync::Arc;

use shipway_eventing::{
    Consumer, Durable, Expected, Feed, Leases, Log, OpenError, PostgresLog, verify::verify,
};
use shipway_events::RawEvent;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::given::{Given, item, stream};

const ROLES: &str = include_str!("../../../infra/postgres/roles.sql");

/// What must not be possible, with what it is called.
const FORBIDDEN: &[&str] = &[
    "UPDATE events SET data = '{}' WHERE position = 1",
    "DELETE FROM events WHERE position = 1",
    "TRUNCATE events",
    "DROP TABLE events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE events ADD COLUMN more text",
    "DROP TRIGGER events_stay ON events",
    "CREATE OR REPLACE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE OR REPLACE FUNCTION append(batch jsonb) RETURNS void LANGUAGE sql AS 'SELECT 1'",
    "DELETE FROM events_000000000000001",
    "ALTER TABLE events DETACH PARTITION events_000000000000001",
    "UPDATE partitions SET manifest = 'mine'",
    "CREATE TABLE mine (a int)",
    "CREATE INDEX mine ON events (at)",
    "DELETE FROM streams",
    "TRUNCATE streams",
    "DELETE FROM head",
    "INSERT INTO head (one, streams, position, at, hash) VALUES (1, 0, 0, 0, '')",
    "UPDATE log SET generation = 1",
    "DELETE FROM log",
    "DELETE FROM made",
    "DROP SCHEMA shipway_log CASCADE",
    "ALTER SCHEMA shipway_log RENAME TO other",
    "CREATE ROLE other SUPERUSER",
    "SET ROLE shipway_owner",
    "SET session_replication_role = replica",
];

pub(crate) async fn the_services_role_may_only_append(given: &mut Given) {
    // A database of its own, whose tables nobody made yet.
    let mut superuser = given.superuser().await;
    sqlx::raw_sql("CREATE DATABASE parted").execute(&mut superuser).await.unwrap();
    superuser.close().await.unwrap();
    let as_role =
        |role: &str| given.url().replace("/shipway", "/parted").replace("postgres@", &format!("{role}@"));
    let mut superuser = PgConnection::connect(&as_role("postgres")).await.unwrap();
    sqlx::raw_sql(ROLES).execute(&mut superuser).await.unwrap();
    let early = PostgresLog::connect(&as_role("shipway_service"), given.options().await).await.err().unwrap();
    assert!(matches!(early, OpenError::NotPrepared { .. }), "{early:?}");
    // What `shipway database migrate` does.
    let owner = given.at(&as_role("shipway_owner")).await;
    owner.durable().await.unwrap().create_own().await.unwrap();
    owner.close().await;
    sqlx::raw_sql(ROLES).execute(&mut superuser).await.unwrap();

    let log: Arc<dyn Log> = Arc::new(given.at(&as_role("shipway_service")).await);
    let durable = log.durable().await.unwrap();
    works(&log, &durable).await;
    let mut service = PgConnection::connect(&as_role("shipway_service")).await.unwrap();
    sqlx::raw_sql("SET search_path = shipway_log").execute(&mut service).await.unwrap();
    // PostgreSQL only warns of a grant of what one has not. It must change nothing.
    let grant = "GRANT UPDATE, DELETE, TRUNCATE ON events TO shipway_service";
    sqlx::raw_sql(grant).execute(&mut service).await.unwrap();
    let mut refused = 0;
    for statement in FORBIDDEN {
        match sqlx::raw_sql(AssertSqlSafe(*statement)).execute(&mut service).await {
            Ok(_) => println!("not refused: {statement}"),
            Err(error) => {
                let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
                assert_eq!(code, "42501", "{statement}: {error}");
                refused += 1;
            }
        }
    }
    let report = verify(&*log).await.unwrap();
    println!(
        "ROW L-12 postgresql tried={} refused={refused} events={} bad={}",
        FORBIDDEN.len(),
        report.events,
        u8::from(report.bad.is_some())
    );
    assert_eq!((refused, report.bad), (FORBIDDEN.len(), None));
    for connection in [service, superuser] {
        connection.close().await.unwrap();
    }
    durable.close().await;
    log.close().await;
}

/// All that services do with the log goes well.
async fn works(log: &Arc<dyn Log>, durable: &Durable) {
    use std::time::Duration;
    for n in 0..20 {
        log.append(item(&stream(format!("run-{}", n % 4)), Expected::Any, 3)).await.unwrap();
    }
    let snapshot = shipway_eventing::Snapshot { version: 3, state: b"state".to_vec() };
    log.put_snapshot(&stream("run-1"), 1, snapshot.clone()).await.unwrap();
    assert_eq!(log.snapshot(&stream("run-1"), 1).await.unwrap(), Some(snapshot));
    let leases = Leases::open(durable.clone()).await.unwrap();
    assert!(leases.take("one", "me", "", Duration::from_secs(30)).await.unwrap().is_some());
    let consumer: Consumer = Feed::new(log.clone()).react(durable, Arc::new(Reads)).await.unwrap();
    while points(durable).await < 60 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    consumer.stop().await;
}

async fn points(durable: &Durable) -> i64 {
    let position = "SELECT coalesce(max(position), 0) FROM checkpoints";
    sqlx::query_scalar(position).fetch_one(durable.pool()).await.unwrap()
}

struct Reads;

#[async_trait::async_trait]
impl shipway_eventing::Reaction for Reads {
    fn name(&self) -> &'static str {
        "reads"
    }

    async fn handle(&self, _: &RawEvent) -> Result<(), shipway_eventing::HandleError> {
        Ok(())
    }
}
