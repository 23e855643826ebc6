//! Who may do what only one process may do, and who is there at all. PostgreSQL only: the embedded mode has its data
//! folder's lock instead.
//!
//! * A *lease* is held by one owner until a time, by the database's clock. Taking it raises its epoch; whoever writes
//!   under a lease checks the epoch in the same statement, so that an owner that was asleep changes nothing.
//! * A *member* is a process that says so again and again. Members decide nothing: they tell each other where they are.
//!
//! No time of this machine is compared with one of another: what is left is computed by the database.

use std::time::Duration;

use sqlx::Row;

use crate::{
    durable::{Durable, DurableError, failed},
    failing,
};

pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS leases (
        name TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        epoch BIGINT NOT NULL,
        until BIGINT NOT NULL,
        note TEXT NOT NULL
    )",
    "CREATE TABLE IF NOT EXISTS members (
        service TEXT NOT NULL,
        id TEXT NOT NULL,
        address TEXT NOT NULL,
        detail TEXT NOT NULL,
        since BIGINT NOT NULL,
        until BIGINT NOT NULL,
        PRIMARY KEY (service, id)
    )",
];

const TAKE: &str = "
INSERT INTO leases AS l (name, owner, epoch, until, note)
VALUES ($1, $2, 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $3, $4)
ON CONFLICT (name) DO UPDATE
    SET owner = excluded.owner, epoch = l.epoch + 1, until = excluded.until, note = excluded.note
    WHERE l.owner = excluded.owner OR l.until < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
RETURNING epoch";

const RENEW: &str = "
UPDATE leases SET until = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $4
WHERE name = $1 AND owner = $2 AND epoch = $3";

const RELEASE: &str = "UPDATE leases SET until = 0 WHERE name = $1 AND owner = $2 AND epoch = $3";

const HOLDER: &str = "
SELECT owner, epoch, note, until - (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS remaining
FROM leases WHERE name = $1";

const BEAT: &str = "
INSERT INTO members AS m (service, id, address, detail, since, until)
VALUES ($1, $2, $3, $4, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $5)
ON CONFLICT (service, id) DO UPDATE
    SET address = excluded.address, detail = excluded.detail, until = excluded.until,
        since = CASE WHEN m.until < excluded.since THEN excluded.since ELSE m.since END";

const LEAVE: &str = "DELETE FROM members WHERE service = $1 AND id = $2";

const FORGET: &str = "
DELETE FROM members WHERE service = $1 AND until < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - $2
RETURNING id";

const MEMBERS: &str = "
SELECT id, address, detail, since, until - (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS remaining
FROM members WHERE service = $1 ORDER BY id";

/// Leases and members of one log. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Leases {
    durable: Durable,
}

/// The number of a lease's holding; rises each time the lease is taken.
pub type Epoch = i64;

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The owner.
    pub owner: String,
    /// Its holding.
    pub epoch: Epoch,
    /// What it said when it took the lease.
    pub note: String,
    /// How much of it is left; zero: it is over.
    pub left: Duration,
}

/// A process that is, or was, there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Where it can be reached.
    pub address: String,
    /// What it says of itself, as JSON.
    pub detail: String,
    /// Since when it has been there without a gap: microseconds since 1970 by the database's clock.
    pub since: i64,
    /// How long it counts without a further beat; zero: it is gone.
    pub left: Duration,
    /// How long ago it stopped to count; zero while it does.
    pub gone_for: Duration,
}

impl Leases {
    /// Leases beside a PostgreSQL log; makes their tables if they are missing.
    ///
    /// # Errors
    /// [`DurableError::Database`], also if the log is not in PostgreSQL.
    pub async fn open(durable: Durable) -> Result<Self, DurableError> {
        durable.create(TABLES).await?;
        Ok(Self { durable })
    }

    /// Takes a lease that is free, over, or this owner's own; its new epoch, or none while another holds it.
    ///
    /// # Errors
    /// [`DurableError::Database`].
    pub async fn take(
        &self,
        name: &str,
        owner: &str,
        note: &str,
        ttl: Duration,
    ) -> Result<Option<Epoch>, DurableError> {
        let take = sqlx::query_scalar(TAKE)
            .bind(name)
            .bind(owner)
            .bind(micros(ttl))
            .bind(note)
            .fetch_optional(self.durable.pool());
        failing!("db.lease.take", take.await).map_err(failed("taking a lease"))
    }

    /// Makes a holding last on; false if it is another's by now. A holding that is over but that nobody took goes on.
    ///
    /// # Errors
    /// [`DurableError::Database`]; the holding then ends at its time.
    pub async fn renew(
        &self,
        name: &str,
        owner: &str,
        epoch: Epoch,
        ttl: Duration,
    ) -> Result<bool, DurableError> {
        let renew = sqlx::query(RENEW)
            .bind(name)
            .bind(owner)
            .bind(epoch)
            .bind(micros(ttl))
            .execute(self.durable.lazy_pool());
        let done = failing!("db.lease.renew", renew.await).map_err(failed("renewing a lease"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a holding up, so that others need not wait for its end.
    ///
    /// # Errors
    /// [`DurableError::Database`]; the holding then ends at its time.
    pub async fn release(&self, name: &str, owner: &str, epoch: Epoch) -> Result<(), DurableError> {
        let release = sqlx::query(RELEASE).bind(name).bind(owner).bind(epoch).execute(self.durable.pool());
        failing!("db.lease.release", release.await).map_err(failed("releasing a lease"))?;
        Ok(())
    }

    /// Who holds a lease, or held it last.
    ///
    /// # Errors
    /// [`DurableError::Database`].
    pub async fn holder(&self, name: &str) -> Result<Option<Holder>, DurableError> {
        let row = sqlx::query(HOLDER)
            .bind(name)
            .fetch_optional(self.durable.pool())
            .await
            .map_err(failed("looking at a lease"))?;
        let holder = |row: sqlx::any::AnyRow| {
            Ok(Holder {
                owner: row.try_get("owner")?,
                epoch: row.try_get("epoch")?,
                note: row.try_get("note")?,
                left: duration(row.try_get("remaining")?),
            })
        };
        row.map(holder).transpose().map_err(failed("looking at a lease"))
    }

    /// Says that a process is there, and for how long that counts.
    ///
    /// # Errors
    /// [`DurableError::Database`].
    pub async fn beat(
        &self,
        service: &str,
        id: &str,
        address: &str,
        detail: &str,
        ttl: Duration,
    ) -> Result<(), DurableError> {
        let beat = sqlx::query(BEAT)
            .bind(service)
            .bind(id)
            .bind(address)
            .bind(detail)
            .bind(micros(ttl))
            .execute(self.durable.lazy_pool());
        failing!("db.lease.beat", beat.await).map_err(failed("saying that a process is there"))?;
        Ok(())
    }

    /// A process goes away of its own will.
    ///
    /// # Errors
    /// [`DurableError::Database`]; it then counts until its time.
    pub async fn leave(&self, service: &str, id: &str) -> Result<(), DurableError> {
        let leave = sqlx::query(LEAVE).bind(service).bind(id).execute(self.durable.pool());
        failing!("db.lease.leave", leave.await).map_err(failed("saying that a process goes"))?;
        Ok(())
    }

    /// Forgets members that have been gone for longer than this; their ids.
    ///
    /// # Errors
    /// [`DurableError::Database`].
    pub async fn forget(&self, service: &str, gone_for: Duration) -> Result<Vec<String>, DurableError> {
        sqlx::query_scalar(FORGET)
            .bind(service)
            .bind(micros(gone_for))
            .fetch_all(self.durable.pool())
            .await
            .map_err(failed("forgetting members that are gone"))
    }

    /// All members of a service, those that are gone and not forgotten among them, by id.
    ///
    /// # Errors
    /// [`DurableError::Database`].
    pub async fn members(&self, service: &str) -> Result<Vec<Member>, DurableError> {
        let list = sqlx::query(MEMBERS).bind(service).fetch_all(self.durable.pool());
        let rows = failing!("db.lease.members", list.await).map_err(failed("listing members"))?;
        let member = |row: &sqlx::any::AnyRow| {
            let remaining: i64 = row.try_get("remaining")?;
            Ok(Member {
                id: row.try_get("id")?,
                address: row.try_get("address")?,
                detail: row.try_get("detail")?,
                since: row.try_get("since")?,
                left: duration(remaining),
                gone_for: duration(-remaining),
            })
        };
        rows.iter().map(member).collect::<Result<_, _>>().map_err(failed("listing members"))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
