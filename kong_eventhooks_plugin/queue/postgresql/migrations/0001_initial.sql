-- Version 1 of the shared store's schema. Every name without a schema is in ours (the connection's search_path).
--
-- As in the SQLite file, events and hooks are numbered inside, texts are for the edge, and all times are Unix seconds.
-- Rows that change keep room on their page (fillfactor), so that most updates touch no index; each table that changes
-- much is vacuumed after thousands of rows and not after a fifth of them.

-- One row for each event that was accepted. n is in the order of acceptance within a node's batch; two nodes' batches
-- interleave, and a lower n may become visible after a higher one (queue/postgresql/horizon.py).
CREATE SEQUENCE events_n;
CREATE TABLE events (
  n bigint PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  source text NOT NULL,
  event text NOT NULL,
  time float8 NOT NULL,
  accepted_at float8 NOT NULL,
  data bytea NOT NULL,           -- JSON; bytes, because PostgreSQL's own JSON refuses texts that JSON allows
  scope bytea,                   -- JSON, [scope, unique]; NULL where both are empty
  held jsonb,                    -- {hook id: why it was held back}; NULL where nothing was
  deliveries integer NOT NULL,   -- how many rows of deliveries need this one
  trace text                     -- JSON, model.trace's Trace; NULL without tracing
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);

-- Events that no delivery needs, oldest first: what retention forgets.
CREATE INDEX events_idle ON events (accepted_at) WHERE deliveries = 0;

CREATE TABLE hooks (
  n integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE
);

-- Who writes: a row for each connection that does, with what it has counted. The sum over all rows is what is there; so
-- no two nodes wait for each other's counter. transactions is the number of the last one that was committed: after a
-- connection that broke in a COMMIT it says whether that one was.
CREATE TABLE writers (
  n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  process text NOT NULL,         -- queue.holders: host, PID namespace, process, its start
  opened_at float8 NOT NULL,
  seen_at float8 NOT NULL,
  transactions bigint NOT NULL DEFAULT 0,
  delivered bigint NOT NULL DEFAULT 0,    -- rows of deliveries in that state
  dead bigint NOT NULL DEFAULT 0,
  idle bigint NOT NULL DEFAULT 0,         -- events that no delivery needs
  answer_bytes bigint NOT NULL DEFAULT 0  -- bodies and exchanges kept in attempts
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- What the limits count, by hook and writer: unsettled deliveries, their bytes, states of on_change and snooze.
CREATE TABLE counters (
  hook integer NOT NULL,
  writer bigint NOT NULL,
  deliveries bigint NOT NULL,
  bytes bigint NOT NULL,
  states bigint NOT NULL,
  PRIMARY KEY (hook, writer)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- settled_at IS NULL is what "unsettled" means. lease says which writer holds a leased one; a lease that ran out stays
-- written until somebody claims the delivery anew, and does not count.
CREATE TABLE deliveries (
  event bigint NOT NULL,
  hook integer NOT NULL,
  source text NOT NULL,
  state text NOT NULL,
  attempts integer NOT NULL,
  bytes bigint NOT NULL,
  created_at float8 NOT NULL,
  due_at float8 NOT NULL,
  lease bigint,
  lease_until float8,
  settled_at float8,
  reason text,
  suppressed bigint NOT NULL,
  suppressed_since float8 NOT NULL,
  PRIMARY KEY (event, hook)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX deliveries_due ON deliveries (hook, due_at, event) WHERE settled_at IS NULL;
CREATE INDEX deliveries_unsettled ON deliveries (event, hook) WHERE settled_at IS NULL;
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX deliveries_settled ON deliveries (settled_at, event, hook) WHERE settled_at IS NOT NULL;

CREATE TABLE attempts (
  event bigint NOT NULL,
  hook integer NOT NULL,
  number integer NOT NULL,
  started_at float8 NOT NULL,
  seconds float8 NOT NULL,
  outcome text NOT NULL,
  error text,
  detail text,
  status integer,
  body bytea NOT NULL,
  exchange bytea,                -- MessagePack (queue.exchange_record); NULL: not kept
  PRIMARY KEY (event, hook, number)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_scale_factor = 0.1);

-- What on_change and snooze remember: model.suppression's SuppressionSlot. A row with digest NULL is a slot that is
-- locked and has not fired yet; it never outlives its transaction.
CREATE TABLE suppression_slots (
  hook integer NOT NULL,
  source text NOT NULL,
  event text NOT NULL,
  slot bytea NOT NULL,
  digest bytea,
  until float8 NOT NULL,
  held bigint NOT NULL,
  since float8 NOT NULL,
  PRIMARY KEY (hook, source, event, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);

CREATE INDEX suppression_slots_until ON suppression_slots (hook, until);

-- How far the store has come with the offers of each node's spool (queue.forwarding).
CREATE TABLE spools (
  id text PRIMARY KEY,
  n bigint NOT NULL
) WITH (fillfactor = 20);

-- Who delivers, and for how long. The row is always there, so that it can be locked.
CREATE TABLE leadership (
  one boolean PRIMARY KEY CHECK (one),
  holder text NOT NULL,
  until float8 NOT NULL
) WITH (fillfactor = 10);
INSERT INTO leadership VALUES (true, '', 0);

-- Hook definitions, whole, as JSON: references to secrets, never their values.
CREATE TABLE definitions (
  id text PRIMARY KEY,
  hook bytea NOT NULL
);

CREATE TABLE endpoints (
  hook_id text COLLATE "C" PRIMARY KEY,
  failing_since float8,
  disabled text,
  disabled_at float8
) WITH (fillfactor = 50);
