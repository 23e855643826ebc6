-- Two roles for Shipway in PostgreSQL: one owns the log's tables, one runs the services and may only append to the log.
--
-- Run it as a superuser, in Shipway's database, before and after each of these:
--   shipway database migrate --url postgres://shipway_owner:…@host/shipway
-- It may be run as often as one likes. The roles have no passwords: give them some (ALTER ROLE … PASSWORD), or map
-- certificates or system users to them in pg_hba.conf.
--
-- Why: a service that is taken over, or a wrong line of SQL in it, can then neither rewrite what has happened nor hide it.
-- The chain of hashes shows tampering; this role keeps it from happening. A trigger refuses changes to events as well, but
-- the tables' owner could drop that.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shipway_owner') THEN
        CREATE ROLE shipway_owner LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shipway_service') THEN
        CREATE ROLE shipway_service LOGIN;
    END IF;
END $$;

-- The log and the tables that are as durable as it: the owner's. The service uses the schema and makes nothing in it.
CREATE SCHEMA IF NOT EXISTS shipway_log;
ALTER SCHEMA shipway_log OWNER TO shipway_owner;
GRANT USAGE ON SCHEMA shipway_log TO shipway_service;

-- Read tables: the service's own, because it builds a new version of a read model beside the old one and drops that. They
-- can be made again from the log.
CREATE SCHEMA IF NOT EXISTS shipway_pipelines;
CREATE SCHEMA IF NOT EXISTS shipway_scheduler;
ALTER SCHEMA shipway_pipelines OWNER TO shipway_service;
ALTER SCHEMA shipway_scheduler OWNER TO shipway_service;

-- Tables that `migrate` makes later can be read and added to at once; whether they may be changed is said below, when this
-- file is run again. Never more than that by default: the first of them may be the events.
ALTER DEFAULT PRIVILEGES FOR ROLE shipway_owner IN SCHEMA shipway_log GRANT SELECT, INSERT ON TABLES TO shipway_service;

DO $$
DECLARE
    it record;
    rights text;
BEGIN
    -- What was made by another role before the roles were parted.
    FOR it IN SELECT n.nspname, c.relname, n.nspname = 'shipway_log' AS log FROM pg_class c
              JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname IN ('shipway_log', 'shipway_pipelines', 'shipway_scheduler')
                AND c.relkind IN ('r', 'p') LOOP
        EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', it.nspname, it.relname,
                       CASE WHEN it.log THEN 'shipway_owner' ELSE 'shipway_service' END);
    END LOOP;
    FOR it IN SELECT p.oid::regprocedure::text AS name, n.nspname = 'shipway_log' AS log FROM pg_proc p
              JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE n.nspname IN ('shipway_log', 'shipway_pipelines', 'shipway_scheduler') LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', it.name,
                       CASE WHEN it.log THEN 'shipway_owner' ELSE 'shipway_service' END);
    END LOOP;

    FOR it IN SELECT relname FROM pg_class
              WHERE relnamespace = 'shipway_log'::regnamespace AND relkind IN ('r', 'p') LOOP
        rights := CASE
            -- Added to, and that is all.
            WHEN it.relname = 'events' THEN 'SELECT, INSERT'
            -- Its partitions, through it; archives are the owner's.
            WHEN it.relname LIKE 'events\_%' OR it.relname IN ('partitions', 'archived_streams') THEN 'SELECT'
            -- A new stream is added, its version moves; the head moves. Neither ever goes away.
            WHEN it.relname = 'streams' THEN 'SELECT, INSERT, UPDATE'
            WHEN it.relname = 'head' THEN 'SELECT, UPDATE'
            -- The log's id and generation change by a restore, which is the owner's.
            WHEN it.relname = 'log' THEN 'SELECT'
            -- What made the tables.
            WHEN it.relname = 'made' THEN 'SELECT'
            -- Snapshots, inbox, secrets, checkpoints, leases: rows that come and go.
            ELSE 'SELECT, INSERT, UPDATE, DELETE'
        END;
        EXECUTE format('REVOKE ALL ON shipway_log.%I FROM shipway_service, PUBLIC', it.relname);
        EXECUTE format('GRANT %s ON shipway_log.%I TO shipway_service', rights, it.relname);
    END LOOP;
END $$;
