# ruff: noqa: S608  statements are put together of the constants of this file
"""The mirror's tables and every statement on them.

Times are Unix seconds; digests are ``kong.admin_api.entities``' (keyed); ``shown`` and ``digests`` are a
``MaskedEntity`` as JSON.
"""

from typing import Final

VERSION: Final = 2
"""Of the tables below, kept in ``mirror_facts``: the file is shared with ``storage.notes``. Raise it with a step."""

STEPS: Final[dict[int, str]] = {
    1: """
-- What holds for the whole mirror: version, origin, epoch, rev, configuration_hash.
CREATE TABLE mirror_facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- Schemas whose list was complete at least once, and when it last was: what is new there since is reported.
CREATE TABLE mirror_lists (schema TEXT PRIMARY KEY, listed_at REAL NOT NULL) WITHOUT ROWID;

CREATE TABLE mirror_entities (
  n INTEGER PRIMARY KEY,
  schema TEXT NOT NULL,
  id TEXT NOT NULL,
  workspace TEXT,
  rev INTEGER NOT NULL,         -- of the transaction that wrote it last
  route_rev INTEGER NOT NULL,   -- of the one that wrote it last for the route; 0: none did
  rules BLOB NOT NULL,          -- digest of the rules that it is masked and compared by
  content BLOB NOT NULL,
  natural BLOB,                 -- digest of what is unique beside the id
  since REAL NOT NULL,          -- when it certainly existed first
  low REAL NOT NULL,            -- this state was Kong's at some moment from low to high
  high REAL NOT NULL,
  others BLOB,                  -- contents of states that may be the later one, 16 bytes each; zeros: it may be deleted
  shown BLOB NOT NULL,
  digests BLOB                  -- NULL: none
);
CREATE UNIQUE INDEX mirror_entities_id ON mirror_entities (schema, id);

-- What may name an entity in a path beside its id: the first 64 bits of the keyed digest.
CREATE TABLE mirror_names (n INTEGER NOT NULL, name INTEGER NOT NULL, PRIMARY KEY (n, name)) WITHOUT ROWID;
CREATE INDEX mirror_names_name ON mirror_names (name);

CREATE TABLE mirror_references (
  n INTEGER NOT NULL,           -- of the entity that refers
  field TEXT NOT NULL,
  schema TEXT NOT NULL,         -- of the one that it refers to
  id TEXT NOT NULL,
  on_delete TEXT,
  PRIMARY KEY (n, field, id)
) WITHOUT ROWID;
CREATE INDEX mirror_references_id ON mirror_references (id, schema);

-- Deleted entities, for observations that come late and for scans that listed them before.
CREATE TABLE mirror_tombstones (
  schema TEXT NOT NULL,
  id TEXT NOT NULL,
  rev INTEGER NOT NULL,
  route_rev INTEGER NOT NULL,
  since REAL NOT NULL,
  low REAL NOT NULL,
  high REAL NOT NULL,
  others BLOB,                  -- contents of states that may be later than the delete
  root TEXT,                    -- what it was deleted with, as schema:id; NULL: nothing
  PRIMARY KEY (schema, id)
) WITHOUT ROWID;
CREATE INDEX mirror_tombstones_high ON mirror_tombstones (high);

-- States that a reconciliation reported, until a late observation claims them: what the route saw is reported already.
CREATE TABLE mirror_round_told (
  n INTEGER PRIMARY KEY,
  schema TEXT NOT NULL,
  id TEXT NOT NULL,
  rules BLOB NOT NULL,
  high REAL NOT NULL,
  shown BLOB NOT NULL,
  digests BLOB
);
CREATE INDEX mirror_round_told_id ON mirror_round_told (schema, id);
CREATE INDEX mirror_round_told_high ON mirror_round_told (high);

-- Requests that were applied: Kong calls again where our answer was lost.
CREATE TABLE mirror_requests (request TEXT PRIMARY KEY, seen_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX mirror_requests_seen_at ON mirror_requests (seen_at);

-- Changes whose events are not committed in the queue yet, as JSON.
CREATE TABLE mirror_outbox (n INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL UNIQUE, change BLOB NOT NULL);

INSERT INTO mirror_facts VALUES ('epoch', 1), ('rev', 1);
""",
    2: """
-- How often a change of an identity was reported, and when last.
CREATE TABLE mirror_identities (
  identity BLOB PRIMARY KEY,
  count INTEGER NOT NULL,
  at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX mirror_identities_at ON mirror_identities (at);
""",
}

IS_THERE: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'mirror_facts'"
FACT: Final = "SELECT value FROM mirror_facts WHERE name = ?"
SET_FACT: Final = "INSERT INTO mirror_facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
NEXT_REV: Final = "UPDATE mirror_facts SET value = value + 1 WHERE name = 'rev' RETURNING value"
NEXT_EPOCH: Final = "UPDATE mirror_facts SET value = value + 1 WHERE name = 'epoch'"

LISTED: Final = "SELECT listed_at FROM mirror_lists WHERE schema = ?"
SET_LISTED: Final = (
    "INSERT INTO mirror_lists VALUES (?, ?) ON CONFLICT (schema) DO UPDATE SET listed_at = excluded.listed_at"
)

_ROW: Final = (
    "n, schema, id, workspace, rev, route_rev, rules, content, natural, since, low, high, others, shown, digests"
)
ROW_BY_ID: Final = f"SELECT {_ROW} FROM mirror_entities WHERE schema = ? AND id = ?"
ROW_BY_N: Final = f"SELECT {_ROW} FROM mirror_entities WHERE n = ?"
ROWS_BY_N: Final = f"SELECT {_ROW} FROM mirror_entities WHERE n IN "
ROWS_BY_NAME: Final = (
    f"SELECT {_ROW} FROM mirror_entities WHERE n IN (SELECT n FROM mirror_names WHERE name = ?) AND schema = ? LIMIT ?"
)
REFERENCES_TO: Final = (
    "SELECT n, field, on_delete FROM mirror_references WHERE id = ? AND schema = ? ORDER BY n LIMIT ?"
)
REFERRED: Final = "SELECT DISTINCT id FROM mirror_references WHERE schema = ? AND id IN "
REFERS: Final = "SELECT 1 FROM mirror_references WHERE n = ? AND schema = ? AND id = ?"
ADD_ROW: Final = f"INSERT INTO mirror_entities ({_ROW}) VALUES ({', '.join('?' * 15)})"
NEXT_N: Final = "SELECT coalesce(max(n), 0) + 1 FROM mirror_entities"
SET_ROW: Final = (
    "UPDATE mirror_entities SET schema = ?, id = ?, workspace = ?, rev = ?, route_rev = ?, rules = ?, content = ?, "
    "natural = ?, since = ?, low = ?, high = ?, others = ?, shown = ?, digests = ? WHERE n = ?"
)
ADD_PUBLISHED: Final = (
    "INSERT INTO mirror_round_told (schema, id, rules, high, shown, digests) VALUES (?, ?, ?, ?, ?, ?)"
)
PUBLISHED_OF: Final = (
    "SELECT n, rules, shown, digests FROM mirror_round_told WHERE schema = ? AND id = ? AND high > ? ORDER BY n"
)
CLAIM: Final = "DELETE FROM mirror_round_told WHERE n = ?"
DROP_ROW: Final = "DELETE FROM mirror_entities WHERE n = ?"
DROP_NAMES: Final = "DELETE FROM mirror_names WHERE n = ?"
NAMES_OF: Final = "SELECT name FROM mirror_names WHERE n = ?"
NAMES_OF_ROWS: Final = "SELECT n, name FROM mirror_names WHERE n IN "
ADD_NAME: Final = "INSERT OR IGNORE INTO mirror_names VALUES (?, ?)"
DROP_REFERENCES: Final = "DELETE FROM mirror_references WHERE n = ?"
REFERENCES_OF: Final = "SELECT field, schema, id, on_delete FROM mirror_references WHERE n = ?"
REFERENCES_OF_ROWS: Final = "SELECT n, field, schema, id, on_delete FROM mirror_references WHERE n IN "
ADD_REFERENCE: Final = "INSERT OR IGNORE INTO mirror_references VALUES (?, ?, ?, ?, ?)"

TOMBSTONE: Final = (
    "SELECT rev, route_rev, since, low, high, others, root FROM mirror_tombstones WHERE schema = ? AND id = ?"
)
TOMBSTONES: Final = "SELECT id FROM mirror_tombstones WHERE schema = ? AND id IN "
SET_TOMBSTONE: Final = "INSERT OR REPLACE INTO mirror_tombstones VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
DROP_TOMBSTONE: Final = "DELETE FROM mirror_tombstones WHERE schema = ? AND id = ?"

ADD_REQUEST: Final = "INSERT OR IGNORE INTO mirror_requests VALUES (?, ?)"
DROP_OLDER: Final = ("DELETE FROM mirror_tombstones WHERE high < ?", "DELETE FROM mirror_round_told WHERE high < ?")
DROP_REQUESTS: Final = "DELETE FROM mirror_requests WHERE seen_at < ?"

COUNT_IDENTITY: Final = (
    "INSERT INTO mirror_identities VALUES (?, 1, ?) ON CONFLICT (identity) "
    "DO UPDATE SET count = count + 1, at = excluded.at RETURNING count - 1"
)
IDENTITY_COUNT: Final = "SELECT count, at FROM mirror_identities WHERE identity = ?"
DROP_IDENTITIES: Final = "DELETE FROM mirror_identities WHERE at < ?"

ADD_TO_OUTBOX: Final = "INSERT INTO mirror_outbox (identity, change) VALUES (?, ?)"
PENDING: Final = "SELECT change FROM mirror_outbox ORDER BY n LIMIT ?"
REMOVE_FROM_OUTBOX: Final = "DELETE FROM mirror_outbox WHERE identity = ?"
OUTBOX: Final = "SELECT (SELECT max(n) FROM mirror_outbox) - (SELECT min(n) FROM mirror_outbox) + 1"
"""As good as a count, and as quick with many: the oldest leave first. NULL: it is empty."""

KNOWN_STATES: Final = (
    "SELECT id, n, rev, route_rev, workspace, content, others, high FROM mirror_entities WHERE schema = ? AND id IN "
)
IDS: Final = "SELECT id, n FROM mirror_entities WHERE schema = ? AND (workspace IS ? OR workspace IS NULL)"
IDS_AFTER: Final = "SELECT id, n FROM mirror_entities WHERE schema = ? AND id > ? ORDER BY id LIMIT ?"
CANDIDATES_AFTER: Final = (
    "SELECT id, n, natural, content FROM mirror_entities WHERE schema = ? AND id > ? ORDER BY id LIMIT ?"
)

FORGET: Final = (
    "DELETE FROM mirror_entities", "DELETE FROM mirror_names", "DELETE FROM mirror_references",
    "DELETE FROM mirror_tombstones", "DELETE FROM mirror_round_told", "DELETE FROM mirror_lists",
    "DELETE FROM mirror_facts WHERE name = 'configuration_hash'",
)  # fmt: skip
"""All that is known; the outbox and the identities stay."""
