//! Every statement about the PostgreSQL log but its set-up.

/// What makes the tables and functions. Older processes go on beside it and after it: what it changes must be right for
/// them too (columns with a default, functions with the arguments that they had), or the format rises.
#[cfg(not(feature = "next-schema"))]
pub(super) const SCHEMA: &str = include_str!("schema.sql");
#[cfg(feature = "next-schema")]
pub(super) const SCHEMA: &str = concat!(
    include_str!("schema.sql"),
    "ALTER TABLE events ADD COLUMN IF NOT EXISTS remark text;"
);

/// The number of that text; it rises with every change, so that an older process does not put its own in place of a
/// newer one's.
pub(super) const REVISION: i64 = 1 + cfg!(feature = "next-schema") as i64;

/// Held while the tables are made, so that services that start together do not get in each other's way.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7311021946)";

/// For as long as the tables are made.
pub(super) const PATIENCE: &str = "SET LOCAL statement_timeout = '60s'";

/// Whether the tables are there, and whether this role may make, and has to make, what the text of this Shipway says. A
/// newer one's are left as they are.
pub(super) const PREPARED: &str = r"
SELECT to_regclass($1 || '.log') IS NOT NULL,
       CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
            ELSE has_schema_privilege(n.oid, 'CREATE') AND n.note IS DISTINCT FROM $2
                 AND coalesce(substring(n.note FROM 'revision (\d+)')::bigint, 0) <= $3
       END
FROM (SELECT oid, obj_description(oid, 'pg_namespace') AS note FROM to_regnamespace($1) AS oid) n";

pub(super) const SETTINGS: &str = "
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums') ORDER BY name";

pub(super) const IDENTIFY: &str =
    "INSERT INTO log (format, id, generation) VALUES ($1, $2, 1) ON CONFLICT DO NOTHING";

pub(super) const IDENTITY: &str = "SELECT format, id, generation FROM log";

/// The whole append: one round trip, one transaction.
pub(super) const APPEND: &str = r#"
SELECT item, status, first, last, "time", names, versions FROM append($1::text::jsonb)"#;

pub(super) const HEAD: &str = "SELECT position, at, hash FROM head";

/// The head's position, and the database's clock.
pub(super) const LOOK: &str =
    "SELECT position, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM head";

pub(super) const STREAMS: &str = "
SELECT number::bigint, name, version::bigint FROM streams WHERE number > $1 ORDER BY number LIMIT $2";

/// The old answer of a known command: a row per stream.
pub(super) const ANSWER: &str = "
SELECT uuid_send(lead.command), lead.position, lead.items::bigint, lead.at, s.name, max(e.version)::bigint
FROM events lead
JOIN events e ON e.position >= lead.position AND e.position < lead.position + lead.items
JOIN streams s ON s.number = e.stream
WHERE lead.items IS NOT NULL AND lead.command = $1::text::uuid
GROUP BY lead.position, s.name
ORDER BY min(e.position)";

pub(super) const READ: &str = "
SELECT position, stream::bigint, coalesce(name, '') AS name, e.version::bigint, kind, schema::bigint, form::bigint,
       items::bigint, at, uuid_send(command) AS command, hash, meta, data
FROM events e LEFT JOIN streams s ON s.number = e.stream
WHERE position > $1 ORDER BY position LIMIT $2";

pub(super) const READ_STREAM: &str = "
SELECT position, stream::bigint, name, e.version::bigint, kind, schema::bigint, form::bigint, items::bigint, at,
       uuid_send(command) AS command, hash, meta, data
FROM streams s JOIN events e ON e.stream = s.number
WHERE s.name = $1 AND e.version > $2 ORDER BY e.version LIMIT $3";

pub(super) const SNAPSHOT: &str = "
SELECT n.version, n.state FROM snapshots n JOIN streams s ON s.number = n.stream WHERE s.name = $1 AND n.schema = $2";

pub(super) const PUT_SNAPSHOT: &str = "
INSERT INTO snapshots (stream, schema, version, state)
    SELECT number, $2, $3, $4 FROM streams WHERE name = $1
ON CONFLICT (stream) DO UPDATE SET schema = excluded.schema, version = excluded.version, state = excluded.state
    WHERE snapshots.schema <> excluded.schema OR snapshots.version < excluded.version";
