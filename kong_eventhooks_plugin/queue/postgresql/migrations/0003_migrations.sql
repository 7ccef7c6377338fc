-- Version 3: what has been moved here from SQLite files, and what waits in the nodes' spools.

ALTER TABLE nodes
  ADD COLUMN spooled integer NOT NULL DEFAULT 0,        -- accepted events that are not here yet, at the last heartbeat
  ADD COLUMN spooled_bytes bigint NOT NULL DEFAULT 0,
  ADD COLUMN spooled_since float8;                      -- when the oldest of them was accepted; NULL: none is

-- A row for each file, in the state that it had (queue.migration): how far it has come, and by how much the numbers of its
-- events are shifted.
CREATE TABLE migrations (
  source text PRIMARY KEY,
  shift bigint NOT NULL,
  moved bigint NOT NULL,         -- the file's number of the last event that is here
  began_at float8 NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
