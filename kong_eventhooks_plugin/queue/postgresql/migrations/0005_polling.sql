-- Version 5: what one node of those with an Admin API does for all of them.

-- A row for each thing that one node does at a time (queue.polling). Rows stay: until = 0 where nobody does it.
CREATE TABLE poll_leases (
  name text PRIMARY KEY,
  process text NOT NULL,         -- queue.holders, as in nodes
  node text NOT NULL,            -- its host's name
  term bigint NOT NULL,          -- goes up with each new holder, and with one that was away too long
  until float8 NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- What the holder of a lease keeps for the next one, small values by name.
CREATE TABLE poll_notes (
  lease text NOT NULL,           -- its name
  name text COLLATE "C" NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (lease, name)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- What the Admin API's route showed to nodes without an Admin API, for one that has it.
CREATE TABLE forwarded_changes (
  n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order in which each node saw them
  seen_at float8 NOT NULL,
  change bytea NOT NULL          -- sources.changes.forwarded_change; no secret is in it
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
