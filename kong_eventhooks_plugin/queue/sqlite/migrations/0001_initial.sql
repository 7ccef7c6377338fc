-- Version 1 of the store's schema.
--
-- Inside, events and hooks are numbered: numbers are short, and new rows go to the end of every table
-- and of nearly every index. Texts (event ids, hook ids) are for the edge. All times are Unix seconds.

-- One row for each event that was accepted. ids begin with their time, so the index on them grows at its end.
CREATE TABLE events (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  source TEXT NOT NULL,
  event TEXT NOT NULL,
  time REAL NOT NULL,
  accepted_at REAL NOT NULL,
  data BLOB NOT NULL,            -- JSON
  scope BLOB,                    -- JSON, [scope, unique]; NULL where both are empty
  held TEXT,                     -- JSON, {hook id: why it was held back}; NULL where nothing was
  deliveries INTEGER NOT NULL    -- how many rows of deliveries need this one
);

-- Events that no delivery needs, oldest first: what retention forgets.
CREATE INDEX events_idle ON events (accepted_at) WHERE deliveries = 0;

-- Hooks by number, with what the limits count: unsettled deliveries, their bytes, states of its filter.
CREATE TABLE hooks (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  deliveries INTEGER NOT NULL DEFAULT 0,
  bytes INTEGER NOT NULL DEFAULT 0,
  states INTEGER NOT NULL DEFAULT 0
);

-- What the rest of the counting needs, in its one row.
CREATE TABLE totals (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  delivered INTEGER NOT NULL,    -- rows of deliveries in that state
  dead INTEGER NOT NULL,
  idle INTEGER NOT NULL,         -- events that no delivery needs
  answer_bytes INTEGER NOT NULL  -- bodies kept in attempts
);
INSERT INTO totals VALUES (1, 0, 0, 0, 0);

-- settled_at IS NULL is what "unsettled" means. lease says which opening of the store holds a leased one; a lease that
-- ran out stays written until somebody claims the delivery anew, and does not count.
CREATE TABLE deliveries (
  event INTEGER NOT NULL,
  hook INTEGER NOT NULL,
  source TEXT NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  created_at REAL NOT NULL,
  due_at REAL NOT NULL,
  lease INTEGER,
  lease_until REAL,
  settled_at REAL,
  reason TEXT,
  PRIMARY KEY (event, hook)
) WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (hook, due_at) WHERE settled_at IS NULL;
CREATE INDEX deliveries_unsettled ON deliveries (event) WHERE settled_at IS NULL;
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX deliveries_settled ON deliveries (settled_at) WHERE settled_at IS NOT NULL;

CREATE TABLE attempts (
  event INTEGER NOT NULL,
  hook INTEGER NOT NULL,
  number INTEGER NOT NULL,
  started_at REAL NOT NULL,
  seconds REAL NOT NULL,
  outcome TEXT NOT NULL,
  error TEXT,
  detail TEXT,
  status INTEGER,
  body BLOB NOT NULL,
  PRIMARY KEY (event, hook, number)
) WITHOUT ROWID;

-- What on_change and snooze remember: model.filter's FilterState by hook, event and slot.
CREATE TABLE filter_states (
  hook INTEGER NOT NULL,
  source TEXT NOT NULL,
  event TEXT NOT NULL,
  slot BLOB NOT NULL,
  digest BLOB NOT NULL,
  until REAL NOT NULL,
  PRIMARY KEY (hook, source, event, slot)
) WITHOUT ROWID;

CREATE INDEX filter_states_until ON filter_states (hook, until);

-- Who delivers, and for how long.
CREATE TABLE leadership (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  holder TEXT NOT NULL,
  until REAL NOT NULL
);

-- Hook definitions, whole, as JSON: references to secrets, never their values.
CREATE TABLE definitions (
  id TEXT PRIMARY KEY,
  hook BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE endpoints (
  hook_id TEXT PRIMARY KEY,
  failing_since REAL,
  disabled TEXT,
  disabled_at REAL
) WITHOUT ROWID;
