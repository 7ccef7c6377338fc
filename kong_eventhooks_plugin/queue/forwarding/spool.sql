-- name: schema
-- `total` is the bytes of all offers up to this one, ever: what waits is a difference of two totals.
CREATE TABLE offers (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    total INTEGER NOT NULL,
    accepted_at REAL NOT NULL,
    offer BLOB NOT NULL
) STRICT;
-- `n` and `total` of the last offer that the shared store has committed.
CREATE TABLE forwarded (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    n INTEGER NOT NULL,
    total INTEGER NOT NULL
) STRICT;
INSERT INTO forwarded VALUES (1, 0, 0);
-- The file's name for itself in the shared store, by which that store keeps how far it has come.
CREATE TABLE spool (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL
) STRICT;
-- The hooks that this node declares, and a copy of those that the API has made: for a start without the shared store.
CREATE TABLE definitions (
    id TEXT PRIMARY KEY,
    hook BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- name: name_itself
-- Once; it keeps the name.
INSERT INTO spool VALUES (1, ?) ON CONFLICT DO NOTHING;

-- name: own_name
SELECT id FROM spool;

-- name: newest
SELECT n, total FROM offers ORDER BY n DESC LIMIT 1;

-- name: oldest
SELECT n, total FROM offers ORDER BY n LIMIT 1;

-- name: add
INSERT INTO offers (total, accepted_at, offer) VALUES (?, ?, ?);

-- name: after
SELECT n, accepted_at, offer, total FROM offers WHERE n > ? ORDER BY n LIMIT ?;

-- name: oldest_after
SELECT accepted_at FROM offers WHERE n > ? ORDER BY n LIMIT 1;

-- name: mark
SELECT n, total FROM forwarded;

-- name: set_mark
UPDATE forwarded SET n = ?1, total = coalesce((SELECT total FROM offers WHERE n = ?1), total) WHERE n < ?1;

-- name: go_back
UPDATE forwarded
SET n = ?1, total = coalesce((SELECT total FROM offers WHERE n <= ?1 ORDER BY n DESC LIMIT 1),
                             (SELECT total - length(offer) FROM offers ORDER BY n LIMIT 1), total)
WHERE n > ?1;

-- name: delete_kept
-- What is forwarded, up to a place: in steps, oldest first.
DELETE FROM offers WHERE n IN (
    SELECT n FROM offers WHERE n <= (SELECT n FROM forwarded) AND n <= ? ORDER BY n LIMIT ?
);

-- name: definitions
SELECT hook FROM definitions;

-- name: delete_definition
DELETE FROM definitions WHERE id = ?;

-- name: write_definition
INSERT INTO definitions VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET hook = excluded.hook;
