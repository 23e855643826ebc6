-- The tables and functions of the PostgreSQL log. Run at every start, under an advisory lock, inside the schema
-- that the connection's search_path names.

CREATE TABLE IF NOT EXISTS log (
    one int PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    format bigint NOT NULL,
    id text NOT NULL,
    generation bigint NOT NULL
);
-- How many events a partition has that is made from now on.
ALTER TABLE log ADD COLUMN IF NOT EXISTS partition_events bigint NOT NULL DEFAULT 10000000 CHECK (partition_events > 0);

-- The append lock, and the end of the log. One row, rewritten in place by every commit.
CREATE TABLE IF NOT EXISTS head (
    one int PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    streams int NOT NULL,
    position bigint NOT NULL,
    at bigint NOT NULL,
    hash bytea NOT NULL
) WITH (fillfactor = 10);
INSERT INTO head (streams, position, at, hash)
    VALUES (0, 0, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS streams (
    number int PRIMARY KEY,
    version int NOT NULL,
    name text NOT NULL UNIQUE
) WITH (fillfactor = 70);

-- What an earlier Shipway made without partitions becomes the first of them, below.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('events') AND relkind = 'r') THEN
        ALTER TABLE events RENAME TO events_first;
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS events (
    position bigint PRIMARY KEY,
    at bigint NOT NULL,          -- microseconds since 1970
    stream int NOT NULL,
    version int NOT NULL,
    items int,                   -- on the first event of a command: how many it has
    schema smallint NOT NULL,
    form smallint NOT NULL,      -- what `data` is: 0 the data, 1 the digest of a blob, 2 the digest of erased data
    command uuid NOT NULL,
    hash bytea NOT NULL,
    kind text NOT NULL,
    meta text NOT NULL,
    data text NOT NULL
) PARTITION BY RANGE (position);

-- The partitions of `events`, without gaps. An archived one has a manifest, a blob that says where its events are, and
-- its table is detached and dropped.
CREATE TABLE IF NOT EXISTS partitions (
    first bigint PRIMARY KEY,    -- its first position
    beyond bigint NOT NULL,      -- the first position of the next one
    name text NOT NULL,          -- its table
    manifest text                -- the digest of the blob
);

-- Where in the archives a stream's events are: a row per stream and archived partition.
CREATE TABLE IF NOT EXISTS archived_streams (
    stream int NOT NULL,
    first_version int NOT NULL,
    last_version int NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    PRIMARY KEY (stream, first_version)
);

-- The archived events of streams that never end and are read from their start: they stay at hand.
CREATE TABLE IF NOT EXISTS events_kept (LIKE events, PRIMARY KEY (stream, version));

CREATE OR REPLACE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never changed or deleted (% refused)', TG_OP;
END $$;
CREATE OR REPLACE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_stay();
CREATE OR REPLACE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events_kept
    FOR EACH STATEMENT EXECUTE FUNCTION events_stay();

DO $$
DECLARE
    bound bigint;
BEGIN
    IF to_regclass('events_first') IS NOT NULL AND NOT EXISTS (SELECT FROM partitions) THEN
        -- It was found true of all rows before, while appends went on: attaching looks at none.
        SELECT substring(pg_get_constraintdef(oid) FROM '\d+')::bigint INTO STRICT bound FROM pg_constraint
            WHERE conrelid = 'events_first'::regclass AND conname = 'events_within';
        EXECUTE format('ALTER TABLE events ATTACH PARTITION events_first FOR VALUES FROM (MINVALUE) TO (%s)', bound);
        INSERT INTO partitions (first, beyond, name) VALUES (1, bound, 'events_first');
    END IF;
END $$;

-- Makes the partitions that are missing up to the one of a position; answers the first position that has none. Nobody
-- who appends waits for it. As the tables' owner, because services may make no tables.
--
-- A stream's versions and a command's id are unique in each partition. Over several, `append` sees to it: it looks both
-- up while it holds the head.
CREATE OR REPLACE FUNCTION make_partitions(upto bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    size bigint;
    first bigint;
    table_name text;
BEGIN
    PERFORM pg_advisory_xact_lock(7311021947);
    SELECT partition_events INTO STRICT size FROM log;
    SELECT coalesce(max(beyond), 1) INTO first FROM partitions;
    FOR n IN 1..1000 LOOP
        EXIT WHEN first > upto;
        table_name := 'events_' || lpad(first::text, 15, '0');
        EXECUTE format('CREATE TABLE %I (LIKE events INCLUDING DEFAULTS)', table_name);
        EXECUTE format('CREATE UNIQUE INDEX ON %I (stream, version)', table_name);
        EXECUTE format('CREATE UNIQUE INDEX ON %I (command) WHERE items IS NOT NULL', table_name);
        EXECUTE format('CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION events_stay()', table_name);
        EXECUTE format('ALTER TABLE events ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', table_name,
                       CASE first WHEN 1 THEN 'MINVALUE' ELSE first::text END, first + size);
        INSERT INTO partitions (first, beyond, name) VALUES (first, first + size, table_name);
        first := first + size;
    END LOOP;
    RETURN first;
END $$;

CREATE TABLE IF NOT EXISTS snapshots (
    stream int PRIMARY KEY,
    schema bigint NOT NULL,
    version bigint NOT NULL,
    state bytea NOT NULL
);

-- What SQLite calls json_each and unhex, so that set-based statements read the same on both databases.
CREATE OR REPLACE FUNCTION json_each(list text) RETURNS TABLE (key bigint, value jsonb)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT i - 1, v FROM jsonb_array_elements(list::jsonb) WITH ORDINALITY x (v, i) $$;
CREATE OR REPLACE FUNCTION unhex(digits text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT decode(digits, 'hex') $$;

-- Appends a batch in one round trip. All names by index start at 1.
--   streams: the names of the streams that the batch writes to
--   items:   [{c: command, m: metadata, w: writes before it, s: [stream], e: [expected version or -1], n: [events]}]
--   events:  in order, [{i: item, w: write, o: ordinal in its write, t: on an item's first event their number,
--            k: kind, v: schema, f: form, d: data}]
-- Answers a row per item: `new`, `known` (the old answer) or `conflict` (the stream and its version).
-- A batch names few streams, of tens of thousands or millions: they are looked up one by one. Left to itself the planner,
-- which takes any list for a hundred entries, reads all streams for each append while there are some ten thousand.
CREATE OR REPLACE FUNCTION append(batch jsonb)
    RETURNS TABLE (item bigint, status text, first bigint, last bigint, "time" bigint, names text[], versions bigint[])
    LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    h record;                -- the head
    it record;
    ev record;
    name_of text[];          -- by stream
    number_of int[];
    version_of int[];
    is_new bool[];
    moved bool[];
    takes bool[];            -- by item: whether its events are appended
    commands uuid[];
    metas text[];
    stream_of int[];         -- by write
    start_of int[];          -- the stream's version before the write
    position_of bigint[];    -- by event; null if it is not appended
    hash_of bytea[];
    pos bigint;
    link bytea;
    now_us bigint;
    streams_used int;
    clash int;
    n int := 0;
    s int;
BEGIN
    SELECT * INTO STRICT h FROM head FOR UPDATE;
    now_us := greatest(h.at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    pos := h.position;
    streams_used := h.streams;

    SELECT array_agg(x.name ORDER BY x.i), array_agg(st.number ORDER BY x.i),
           array_agg(coalesce(st.version, 0) ORDER BY x.i), array_agg(st.number IS NULL ORDER BY x.i),
           array_agg(false ORDER BY x.i)
        INTO name_of, number_of, version_of, is_new, moved
        FROM jsonb_array_elements_text(batch->'streams') WITH ORDINALITY x (name, i)
        LEFT JOIN streams st ON st.name = x.name;

    FOR it IN
        SELECT x.*, lead.position AS known_first, lead.items AS known_items, lead.at AS known_at
        FROM ROWS FROM (jsonb_to_recordset(batch->'items') AS (c uuid, m text, w int, s int[], e bigint[], n int[]))
             WITH ORDINALITY x (c, m, w, s, e, n, i)
        LEFT JOIN events lead ON lead.command = x.c AND lead.items IS NOT NULL
        ORDER BY x.i
    LOOP
        item := it.i;
        commands[it.i] := it.c;
        metas[it.i] := it.m;
        takes[it.i] := false;
        IF it.known_first IS NOT NULL THEN
            status := 'known';
            first := it.known_first;
            last := it.known_first + it.known_items - 1;
            "time" := it.known_at;
            SELECT array_agg(a.name ORDER BY a.p), array_agg(a.version ORDER BY a.p) INTO names, versions
                FROM (SELECT st.name, max(ev.version)::bigint AS version, min(ev.position) AS p
                      FROM events ev JOIN streams st ON st.number = ev.stream
                      WHERE ev.position BETWEEN first AND last GROUP BY st.name) a;
            RETURN NEXT;
            CONTINUE;
        END IF;

        clash := NULL;
        FOR k IN 1..array_length(it.s, 1) LOOP
            s := it.s[k];
            IF it.e[k] >= 0 AND it.e[k] <> version_of[s] THEN
                clash := s;
                EXIT;
            END IF;
        END LOOP;
        IF clash IS NOT NULL THEN
            status := 'conflict';
            first := 0;
            last := 0;
            "time" := 0;
            names := ARRAY[name_of[clash]];
            versions := ARRAY[version_of[clash]::bigint];
            RETURN NEXT;
            CONTINUE;
        END IF;

        takes[it.i] := true;
        status := 'new';
        first := pos + 1;
        "time" := now_us;
        names := ARRAY[]::text[];
        versions := ARRAY[]::bigint[];
        FOR k IN 1..array_length(it.s, 1) LOOP
            s := it.s[k];
            IF number_of[s] IS NULL THEN
                streams_used := streams_used + 1;
                number_of[s] := streams_used;
            END IF;
            stream_of[it.w + k] := s;
            start_of[it.w + k] := version_of[s];
            version_of[s] := version_of[s] + it.n[k];
            moved[s] := true;
            pos := pos + it.n[k];
            names := names || name_of[s];
            versions := versions || version_of[s]::bigint;
        END LOOP;
        last := pos;
        RETURN NEXT;
    END LOOP;

    IF pos = h.position THEN
        RETURN;
    END IF;

    pos := h.position;
    link := h.hash;
    FOR ev IN
        SELECT x.i, x.w, x.o, x.v, x.k,
               CASE x.f WHEN 0 THEN sha256(convert_to(x.d, 'UTF8')) ELSE decode(x.d, 'hex') END AS digest
        FROM jsonb_to_recordset(batch->'events') AS x (i int, w int, o int, k text, v int, f int, d text)
    LOOP
        n := n + 1;
        IF takes[ev.i] THEN
            pos := pos + 1;
            s := stream_of[ev.w];
            link := sha256(link || ev.digest || int8send(pos) || int8send(start_of[ev.w] + ev.o) || int8send(now_us)
                || int8send(ev.v) || uuid_send(commands[ev.i]) || convert_to(name_of[s], 'UTF8') || '\x00'::bytea
                || convert_to(ev.k, 'UTF8') || '\x00'::bytea || convert_to(metas[ev.i], 'UTF8'));
            position_of[n] := pos;
            hash_of[n] := link;
        ELSE
            position_of[n] := NULL;
            hash_of[n] := NULL;
        END IF;
    END LOOP;

    INSERT INTO events (position, at, stream, version, items, schema, form, command, hash, kind, meta, data)
        SELECT x.p, now_us, number_of[stream_of[x.w]], start_of[x.w] + x.o, x.t, x.v, x.f, commands[x.i], x.h, x.k,
               metas[x.i], x.d
        FROM ROWS FROM (
            jsonb_to_recordset(batch->'events')
                AS (i int, w int, o int, t int, k text, v smallint, f smallint, d text),
            unnest(position_of),
            unnest(hash_of)
        ) AS x (i, w, o, t, k, v, f, d, p, h)
        WHERE x.p IS NOT NULL;
    INSERT INTO streams (number, version, name)
        SELECT x.number, x.version, x.name
        FROM unnest(number_of, version_of, name_of, is_new, moved) AS x (number, version, name, is_new, moved)
        WHERE x.is_new AND x.moved;
    UPDATE streams st SET version = x.version
        FROM unnest(number_of, version_of, is_new, moved) AS x (number, version, is_new, moved)
        WHERE st.number = x.number AND x.moved AND NOT x.is_new;
    UPDATE head SET streams = streams_used, position = pos, at = now_us, hash = link;
END $$;
