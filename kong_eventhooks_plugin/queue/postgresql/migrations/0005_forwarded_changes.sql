-- Version 5: what the Admin API's route showed to nodes without an Admin API, for one that has it.

CREATE TABLE forwarded_changes (
  n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order in which each node saw them
  seen_at float8 NOT NULL,
  change bytea NOT NULL          -- sources.changes.forwarded_change; no secret is in it
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
