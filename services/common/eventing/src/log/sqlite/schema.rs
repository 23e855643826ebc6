//! The tables of the embedded log, and every statement about them.

/// Makes what is missing.
pub(super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    format INTEGER NOT NULL,
    id TEXT NOT NULL,
    generation INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    position INTEGER NOT NULL,
    at INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS streams (
    number INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    schema INTEGER NOT NULL,
    form INTEGER NOT NULL,
    items INTEGER,
    at INTEGER NOT NULL,
    command BLOB NOT NULL,
    hash BLOB NOT NULL,
    meta TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS events_stream ON events (stream, version);
CREATE UNIQUE INDEX IF NOT EXISTS events_command ON events (command) WHERE items IS NOT NULL;
CREATE TRIGGER IF NOT EXISTS events_are_not_deleted BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER IF NOT EXISTS events_are_not_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TABLE IF NOT EXISTS snapshots (
    stream INTEGER PRIMARY KEY,
    schema INTEGER NOT NULL,
    version INTEGER NOT NULL,
    state BLOB NOT NULL
) STRICT;
INSERT OR IGNORE INTO head VALUES (1, 0, 0, zeroblob(32));
INSERT OR IGNORE INTO log VALUES (1, $1, $2, 1);
";

/// The whole append as one text: one thread crossing, one transaction, one sync.
/// $1 new streams, $2 versions of known ones, $3 events, $4 their commands, $5 their hashes, $6 to $8 the head.
pub(super) const APPEND: &str = "
BEGIN IMMEDIATE;
INSERT INTO streams (number, name, version)
    SELECT value->>0, value->>1, value->>2 FROM json_each($1);
UPDATE streams SET version = value->>1 FROM json_each($2) WHERE number = value->>0;
INSERT INTO events (position, stream, version, kind, schema, form, items, at, meta, data, command, hash)
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8,
           value->>9, substr($4, 1 + 16 * key, 16), substr($5, 1 + 32 * key, 32)
    FROM json_each($3);
UPDATE head SET position = $6, at = $7, hash = $8;
COMMIT";

pub(super) const HEAD: &str = "SELECT position, at, hash FROM head";

pub(super) const STREAMS_BY_NAME: &str =
    "SELECT number, name, version FROM streams WHERE name IN (SELECT value FROM json_each($1))";

pub(super) const LAST_STREAM: &str = "SELECT coalesce(max(number), 0) FROM streams";

pub(super) const STREAMS: &str =
    "SELECT number, name, version FROM streams WHERE number > $1 ORDER BY number LIMIT $2";

/// The old answers of known commands: a row per command and stream.
pub(super) const ANSWERS: &str = "
SELECT lead.command, lead.position, lead.items, lead.at, s.name, max(e.version) AS version
FROM events lead
JOIN events e ON e.position >= lead.position AND e.position < lead.position + lead.items
JOIN streams s ON s.number = e.stream
WHERE lead.items IS NOT NULL AND lead.command IN (SELECT unhex(value) FROM json_each($1))
GROUP BY lead.position, e.stream
ORDER BY lead.position, min(e.position)";

pub(super) const READ: &str = "
SELECT position, stream, coalesce(name, '') AS name, e.version, kind, schema, form, items, at, command, hash, meta,
       data
FROM events e LEFT JOIN streams s ON s.number = e.stream
WHERE position > $1 ORDER BY position LIMIT $2";

pub(super) const READ_STREAM: &str = "
SELECT position, stream, name, e.version, kind, schema, form, items, at, command, hash, meta, data
FROM streams s JOIN events e ON e.stream = s.number
WHERE s.name = $1 AND e.version > $2 ORDER BY e.version LIMIT $3";

pub(super) const SNAPSHOT: &str = "
SELECT n.version, n.state FROM snapshots n JOIN streams s ON s.number = n.stream WHERE s.name = $1 AND n.schema = $2";

pub(super) const PUT_SNAPSHOT: &str = "
INSERT INTO snapshots (stream, schema, version, state)
    SELECT number, $2, $3, $4 FROM streams WHERE name = $1
ON CONFLICT (stream) DO UPDATE SET schema = excluded.schema, version = excluded.version, state = excluded.state
    WHERE snapshots.schema <> excluded.schema OR snapshots.version < excluded.version";
