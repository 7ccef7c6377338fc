-- Version 3: what on_change and snooze held back before a delivery.

ALTER TABLE filter_states ADD COLUMN held INTEGER NOT NULL DEFAULT 0;   -- how many, since it last fired
ALTER TABLE filter_states ADD COLUMN since REAL NOT NULL DEFAULT 0;     -- when that was; 0 is unknown

-- States that can be deleted as soon as their snooze is over.
CREATE INDEX filter_states_idle ON filter_states (hook, until) WHERE held = 0;

ALTER TABLE deliveries ADD COLUMN suppressed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN suppressed_since REAL NOT NULL DEFAULT 0;
