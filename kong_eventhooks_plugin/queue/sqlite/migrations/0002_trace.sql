-- Version 2: the trace that an event belongs to.

ALTER TABLE events ADD COLUMN trace TEXT;  -- JSON, model.trace's Trace; NULL without tracing
