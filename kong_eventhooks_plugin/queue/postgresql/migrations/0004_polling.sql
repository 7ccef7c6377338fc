-- Version 4: what one node of those with an Admin API polls for all of them, and the state of its pollers.

-- A row for each thing that one node does at a time (queue.polling). Rows stay: until = 0 where nobody does it.
CREATE TABLE poll_leases (
  name text PRIMARY KEY,
  process text NOT NULL,         -- queue.holders, as in nodes
  node text NOT NULL,            -- its host's name
  term bigint NOT NULL,          -- goes up with each new holder, and with one that was away too long
  until float8 NOT NULL,
  adopted boolean NOT NULL DEFAULT false -- whether the notes of the first holder's own file are here
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- What the holder of a lease keeps for the next one, small values by name.
CREATE TABLE poll_notes (
  lease text NOT NULL,           -- its name
  name text COLLATE "C" NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (lease, name)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
