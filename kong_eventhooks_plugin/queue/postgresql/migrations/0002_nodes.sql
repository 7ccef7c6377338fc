-- Version 2: the nodes that share the store, and what each of them says of itself.

-- A row for each sidecar process that has the store open (two of one node overlap while Kong reloads). It stays for a
-- while after the process is gone: what only this node declared waits for it to come back (queue.nodes).
CREATE TABLE nodes (
  process text PRIMARY KEY,      -- queue.holders, as in writers
  id text NOT NULL,              -- the node's, for as long as its data_dir lives: the id of its spool
  name text NOT NULL,            -- its host's name
  version text NOT NULL,         -- of this program
  kong text,                     -- the id of the Kong node beside it; NULL: not known
  state text NOT NULL,           -- live, accepting (it delivers nothing), leaving (it begins nothing more), gone
  started_at float8 NOT NULL,
  seen_at float8 NOT NULL,       -- its last heartbeat
  declared_at float8 NOT NULL,   -- when hooks, kong or state last changed
  hooks text[] NOT NULL          -- the ids of the hooks that its own files, plugins or Kong declare; not the API's
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
