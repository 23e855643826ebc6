//! Every statement about the PostgreSQL log but its set-up.

/// What makes the tables and functions. Older processes go on beside it and after it: what it changes must be right for
/// them too (columns with a default, functions with the arguments that they had), or the format rises.
#[cfg(not(feature = "next-schema"))]
pub(super) const SCHEMA: &str = include_str!("schema.sql");
#[cfg(feature = "next-schema")]
pub(super) const SCHEMA: &str =
    concat!(include_str!("schema.sql"), "ALTER TABLE events ADD COLUMN IF NOT EXISTS remark text;");

/// The number of that text; it rises with every change, so that an older process does not put its own in place of a
/// newer one's.
pub(super) const REVISION: i64 = 3 + cfg!(feature = "next-schema") as i64;

/// Held while the tables are made, so that services that start together do not get in each other's way.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(7311021946)";

/// For as long as the tables are made.
pub(super) const PATIENCE: &str = "SET LOCAL statement_timeout = '60s'";

/// Whether the tables are there, and whether this role may make, and has to make, what the text of this Shipway says. A
/// newer one's are left as they are.
pub(super) const PREPARED: &str = r"
SELECT to_regclass($1 || '.log') IS NOT NULL
           AND coalesce(substring(n.note FROM 'revision (\d+)')::bigint, 0) >= $3,
       CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
            ELSE has_schema_privilege(n.oid, 'CREATE') AND n.note IS DISTINCT FROM $2
                 AND coalesce(substring(n.note FROM 'revision (\d+)')::bigint, 0) <= $3
       END
FROM (SELECT oid, obj_description(oid, 'pg_namespace') AS note FROM to_regnamespace($1) AS oid) n";

pub(super) const SETTINGS: &str = "
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums') ORDER BY name";

pub(super) const IDENTIFY: &str = "INSERT INTO log (format, id, generation, partition_events) VALUES ($1, $2, 1, $3) ON CONFLICT DO NOTHING";

/// Readies the events of an earlier Shipway, which are in one table, to be the first partition: two statements, so that
/// appends go on while all rows are looked at. There is room for ten million events more by then.
pub(super) const BEFORE_PARTITIONS: [&str; 3] = [
    "SET statement_timeout = 0; SET lock_timeout = '30s'",
    "DO $$
DECLARE
    bound bigint;
BEGIN
    IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('events') AND relkind = 'r')
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass('events') AND conname = 'events_within')
    THEN
        SELECT (position / 10000000 + 2) * 10000000 + 1 INTO STRICT bound FROM head;
        EXECUTE format('ALTER TABLE events ADD CONSTRAINT events_within CHECK (position < %s) NOT VALID', bound);
    END IF;
END $$",
    "DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass('events') AND conname = 'events_within') THEN
        ALTER TABLE events VALIDATE CONSTRAINT events_within;
    END IF;
END $$",
];

/// Makes the partitions that are missing up to the one of a position.
pub(super) const MAKE_PARTITIONS: &str = "SELECT make_partitions($1)";

pub(super) const IDENTITY: &str = "SELECT format, id, generation FROM log";

/// The whole append: one round trip, one transaction.
pub(super) const APPEND: &str = r#"
SELECT item, status, first, last, "time", names, versions FROM append($1::text::jsonb)"#;

pub(super) const HEAD: &str = "SELECT position, at, hash FROM head";

/// The head's position, the database's clock, up to where events are archived, and the position whose partition has to be
/// there: the next one is made when one is begun.
pub(super) const LOOK: &str = "
SELECT position, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
       (SELECT coalesce(max(beyond) FILTER (WHERE manifest IS NOT NULL), 1) - 1 FROM partitions),
       (SELECT CASE WHEN position + partition_events >= (SELECT coalesce(max(beyond), 1) FROM partitions)
                    THEN position + partition_events END FROM log)
FROM head";

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

/// The manifest of the archive that has the event of a position.
pub(super) const MANIFEST: &str = "
SELECT manifest FROM partitions WHERE first <= $1 AND beyond > $1";

/// The archived events of a stream that stay at hand.
pub(super) const READ_KEPT: &str = "
SELECT position, stream::bigint, name, e.version::bigint, kind, schema::bigint, form::bigint, items::bigint, at,
       uuid_send(command) AS command, hash, meta, data
FROM streams s JOIN events_kept e ON e.stream = s.number
WHERE s.name = $1 AND e.version > $2 ORDER BY e.version LIMIT $3";

/// Where in the archives a stream's events above a version are.
pub(super) const ARCHIVED_STREAM: &str = "
SELECT a.first_position, a.last_position FROM archived_streams a JOIN streams s ON s.number = a.stream
WHERE s.name = $1 AND a.last_version > $2 ORDER BY a.first_version";

/// Held, by the session, by whoever archives.
pub(super) const ARCHIVE_LOCK: &str = "SELECT pg_try_advisory_lock(7311021948)";

/// The oldest partition in the database if it is full, when its last event was appended, and what time it is.
pub(super) const OLDEST_PARTITION: &str = "
SELECT p.first, p.beyond, p.name, e.at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
FROM (SELECT * FROM partitions WHERE manifest IS NULL ORDER BY first LIMIT 1) p
JOIN head h ON h.position >= p.beyond JOIN events e ON e.position = p.beyond - 1";

/// How many runs with events in a partition may still be decided, and the stream of one. A run with events in an archive
/// had ended before that.
pub(super) fn open_runs(partition: &str) -> String {
    format!(
        "SELECT count(*), min(s.name) FROM (SELECT DISTINCT stream FROM {partition}) p
         JOIN streams s ON s.number = p.stream
         CROSS JOIN LATERAL (
             SELECT count(*) FILTER (WHERE kind = 'run.ended') AS ends,
                    count(*) FILTER (WHERE kind = 'run.node_started')
                        - count(*) FILTER (WHERE kind = 'run.node_ended_later') AS going_on
             FROM events e WHERE e.stream = s.number
         ) e
         WHERE s.name LIKE 'run-%' AND (ends = 0 OR going_on > 0)
           AND NOT EXISTS (SELECT FROM archived_streams a WHERE a.stream = s.number)"
    )
}

/// Notes where a partition's events are by stream, and keeps at hand what is read from its start again and again:
/// projects and places, not runs and deliveries, nor lanes, by whose events nobody decides.
pub(super) fn note_streams(partition: &str) -> [String; 2] {
    const COLUMNS: &str =
        "position, at, stream, version, items, schema, form, command, hash, kind, meta, data";
    let kept = COLUMNS.replace(", ", ", e.");
    [
        format!(
            "INSERT INTO archived_streams (stream, first_version, last_version, first_position, last_position)
             SELECT stream, min(version), max(version), min(position), max(position) FROM {partition} GROUP BY stream"
        ),
        format!(
            "INSERT INTO events_kept ({COLUMNS})
             SELECT e.{kept} FROM {partition} e JOIN streams s ON s.number = e.stream
             WHERE split_part(s.name, '-', 1) NOT IN ('run', 'delivery', 'lane')"
        ),
    ]
}

pub(super) const NOTE_MANIFEST: &str = "UPDATE partitions SET manifest = $2 WHERE first = $1";

/// The tables of archived partitions that are still there, and whether they are being detached; null: they are detached.
pub(super) const ARCHIVED_TABLES: &str = "
SELECT p.name, i.inhdetachpending FROM partitions p LEFT JOIN pg_inherits i ON i.inhrelid = to_regclass(p.name)
WHERE p.manifest IS NOT NULL AND to_regclass(p.name) IS NOT NULL ORDER BY p.first";

pub(super) const SNAPSHOT: &str = "
SELECT n.version, n.state FROM snapshots n JOIN streams s ON s.number = n.stream WHERE s.name = $1 AND n.schema = $2";

pub(super) const PUT_SNAPSHOT: &str = "
INSERT INTO snapshots (stream, schema, version, state)
    SELECT number, $2, $3, $4 FROM streams WHERE name = $1
ON CONFLICT (stream) DO UPDATE SET schema = excluded.schema, version = excluded.version, state = excluded.state
    WHERE snapshots.schema <> excluded.schema OR snapshots.version < excluded.version";
