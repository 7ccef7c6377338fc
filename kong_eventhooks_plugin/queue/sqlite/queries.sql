-- Every statement of the SQLite store, by name. A line "-- name: x" begins one; statements.py reads the file.

-- name: known_event
SELECT id FROM events WHERE id = ?;

-- name: known_events
-- Which of these ids (a JSON array) are already there.
SELECT e.id FROM json_each(?) AS given CROSS JOIN events AS e ON e.id = given.value;

-- name: last_event
SELECT coalesce(max(n), 0) FROM events;

-- name: add_event
-- As most are: nothing was held back, and it belongs to no trace. Each value that is bound takes a thousandth of an offer.
INSERT INTO events (n, id, source, event, time, accepted_at, data, scope, deliveries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_noted_event
-- An empty text for NULL: Python's sqlite3 looks for an adapter of None, which takes it microseconds.
INSERT INTO events (n, id, source, event, time, accepted_at, data, scope, held, deliveries, trace)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, nullif(?, ''), ?, nullif(?, ''));

-- name: add_delivery
INSERT INTO deliveries (event, hook, source, state, attempts, bytes, created_at, due_at)
VALUES (?, ?, ?, 'pending', 0, ?, ?, ?);

-- name: add_delivery_after_suppressed
INSERT INTO deliveries (event, hook, source, state, attempts, bytes, created_at, due_at, suppressed, suppressed_since,
                        suppressed_unread)
VALUES (?, ?, ?, 'pending', 0, ?, ?, ?, ?, ?, ?);

-- name: add_leased_delivery
INSERT INTO deliveries
  (event, hook, source, state, attempts, bytes, created_at, due_at, suppressed, suppressed_since, suppressed_unread, lease,
   lease_until)
VALUES (?, ?, ?, 'leased', 0, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: all_hooks
SELECT id, n, deliveries, bytes, states FROM hooks;

-- name: add_hook
INSERT INTO hooks (id) VALUES (?);

-- name: write_hook
UPDATE hooks SET deliveries = ?, bytes = ?, states = ? WHERE n = ?;

-- name: unused_hooks
-- Hooks of which nothing is kept.
SELECT n FROM hooks
WHERE deliveries = 0 AND states = 0
  AND n NOT IN (SELECT hook FROM deliveries INDEXED BY deliveries_settled WHERE settled_at IS NOT NULL)
LIMIT ?;

-- name: delete_hook
DELETE FROM hooks WHERE n = ?;

-- name: read_totals
SELECT delivered, dead, idle, answer_bytes FROM totals;

-- name: write_totals
UPDATE totals SET delivered = ?, dead = ?, idle = ?, answer_bytes = ?;

-- name: suppression_state
SELECT digest, until, held, since FROM filter_states WHERE hook = ? AND source = ? AND event = ? AND slot = ?;

-- name: write_suppression_state
INSERT INTO filter_states (hook, source, event, slot, digest, until, held, since) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  digest = excluded.digest, until = excluded.until, held = excluded.held, since = excluded.since;

-- name: delete_soonest_states
-- The states of a hook that end soonest, so many of them.
DELETE FROM filter_states WHERE (hook, source, event, slot) IN (
  SELECT hook, source, event, slot FROM filter_states WHERE hook = ? ORDER BY until, source, event, slot LIMIT ?
);

-- name: delete_ended_states
-- Those of a hook whose snooze is over; until = 0 is a state of on_change alone, which does not end. Those that have held
-- something back stay for longer: the next delivery reports it.
DELETE FROM filter_states WHERE (hook, source, event, slot) IN (
  SELECT hook, source, event, slot FROM filter_states INDEXED BY filter_states_idle
  WHERE hook = :hook AND held = 0 AND until > 0 AND until <= :now
  UNION ALL
  SELECT hook, source, event, slot FROM filter_states INDEXED BY filter_states_until
  WHERE hook = :hook AND held > 0 AND until > 0 AND until <= :kept
  LIMIT :limit
);

-- name: due
-- What a hook can lease now.
SELECT d.event, d.bytes, d.source, d.attempts, d.created_at, d.due_at, d.suppressed, d.suppressed_since,
       d.suppressed_unread, e.trace, e.id, e.source, e.event, e.data, e.time, e.scope
FROM deliveries AS d INDEXED BY deliveries_due CROSS JOIN events AS e ON e.n = d.event
WHERE d.hook = :hook AND d.settled_at IS NULL AND d.due_at <= :now
  AND (d.lease_until IS NULL OR d.lease_until <= :now)
ORDER BY d.due_at, d.event LIMIT :limit;

-- name: unsettled_in_order
-- The first of a hook's unsettled deliveries as they were accepted.
SELECT event FROM deliveries INDEXED BY deliveries_due WHERE hook = ? AND settled_at IS NULL ORDER BY event LIMIT ?;

-- name: first
-- An unsettled delivery, and until when somebody holds it.
SELECT d.lease_until, d.event, d.bytes, d.source, d.attempts, d.created_at, d.due_at, d.suppressed,
       d.suppressed_since,
       d.suppressed_unread, e.trace, e.id, e.source, e.event, e.data, e.time, e.scope
FROM deliveries AS d CROSS JOIN events AS e ON e.n = d.event
WHERE d.event = ? AND d.hook = ? AND d.settled_at IS NULL;

-- name: make_due
-- Those of a hook that wait for a time which a clock set back has put off: at most so many.
UPDATE deliveries SET due_at = :now WHERE hook = :hook AND event IN (
  SELECT event FROM deliveries INDEXED BY deliveries_due
  WHERE hook = :hook AND settled_at IS NULL AND due_at > :now AND (attempts = 0 OR due_at > :furthest) LIMIT :limit
);

-- name: lease
UPDATE deliveries SET state = 'leased', lease = ?, lease_until = ? WHERE event = ? AND hook = ?;

-- name: leased
-- A delivery that this opening of the store holds: what a settlement needs that is not in memory any more.
SELECT d.event, d.attempts, d.bytes FROM events AS e CROSS JOIN deliveries AS d
WHERE e.id = ? AND d.event = e.n AND d.hook = ? AND d.lease = ?;

-- name: postpone
UPDATE deliveries SET state = 'pending', lease = NULL, lease_until = NULL, attempts = ?, due_at = ?
WHERE event = ? AND hook = ? AND lease = ? AND attempts = ?;

-- name: end
UPDATE deliveries SET state = ?, lease = NULL, lease_until = NULL, attempts = ?, settled_at = ?, reason = ?
WHERE event = ? AND hook = ? AND lease = ? AND attempts = ?;

-- name: add_attempt
INSERT INTO attempts (event, hook, number, started_at, seconds, outcome, error, detail, status, body, exchange)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: revive
UPDATE deliveries SET state = 'pending', due_at = ?, settled_at = NULL, reason = NULL WHERE event = ? AND hook = ?;

-- name: bytes_of
SELECT bytes FROM deliveries WHERE event = ? AND hook = ?;

-- name: others_leases
-- The hooks of which another opening of the store holds leases.
SELECT DISTINCT h.id FROM deliveries AS d INDEXED BY deliveries_unsettled CROSS JOIN hooks AS h
WHERE d.settled_at IS NULL AND d.lease_until IS NOT NULL AND d.lease <> ? AND h.n = d.hook;

-- name: release_others_leases
UPDATE deliveries INDEXED BY deliveries_unsettled SET state = 'pending', lease = NULL, lease_until = NULL
WHERE settled_at IS NULL AND lease_until IS NOT NULL AND lease <> ?;

-- name: create_chosen
CREATE TEMP TABLE IF NOT EXISTS chosen (event INTEGER NOT NULL, hook INTEGER NOT NULL, PRIMARY KEY (event, hook))
WITHOUT ROWID;

-- name: choose_none
DELETE FROM temp.chosen;

-- name: choose_unsettled_of_hook
INSERT INTO temp.chosen SELECT event, hook FROM deliveries WHERE hook = ? AND settled_at IS NULL LIMIT ?;

-- name: choose_settled_before
INSERT INTO temp.chosen SELECT event, hook FROM deliveries WHERE settled_at <= ? ORDER BY settled_at LIMIT ?;

-- name: choose_settled_first
INSERT INTO temp.chosen
SELECT event, hook FROM deliveries WHERE settled_at IS NOT NULL ORDER BY settled_at, event, hook LIMIT ?;

-- name: chosen_by_hook_and_state
SELECT d.hook, d.state, count(*), sum(d.bytes) FROM temp.chosen AS c CROSS JOIN deliveries AS d
WHERE d.event = c.event AND d.hook = c.hook GROUP BY d.hook, d.state;

-- name: chosen_answer_bytes
SELECT coalesce(sum(length(a.body) + coalesce(length(a.exchange), 0)), 0) FROM temp.chosen AS c CROSS JOIN attempts AS a
WHERE a.event = c.event AND a.hook = c.hook;

-- name: fail_chosen
UPDATE deliveries SET state = 'dead', lease = NULL, lease_until = NULL, settled_at = ?, reason = ?
WHERE (event, hook) IN (SELECT event, hook FROM temp.chosen);

-- name: delete_chosen_attempts
DELETE FROM attempts WHERE (event, hook) IN (SELECT event, hook FROM temp.chosen);

-- name: release_chosen_events
UPDATE events SET deliveries = deliveries - (SELECT count(*) FROM temp.chosen AS c WHERE c.event = events.n)
WHERE n IN (SELECT event FROM temp.chosen);

-- name: chosen_idle_events
SELECT count(*) FROM events WHERE deliveries = 0 AND n IN (SELECT event FROM temp.chosen);

-- name: delete_chosen
DELETE FROM deliveries WHERE (event, hook) IN (SELECT event, hook FROM temp.chosen);

-- name: delete_idle_before
DELETE FROM events WHERE n IN (
  SELECT n FROM events INDEXED BY events_idle WHERE deliveries = 0 AND accepted_at <= ? ORDER BY accepted_at LIMIT ?
);

-- name: delete_idle_first
DELETE FROM events WHERE n IN (
  SELECT n FROM events INDEXED BY events_idle WHERE deliveries = 0 ORDER BY accepted_at, n LIMIT ?
);

-- name: leader
SELECT holder, until FROM leadership;

-- name: acquire_leadership
INSERT INTO leadership (one, holder, until) VALUES (1, ?, ?)
ON CONFLICT DO UPDATE SET holder = excluded.holder, until = excluded.until;

-- name: release_leadership
DELETE FROM leadership WHERE holder = ?;

-- name: write_definition
INSERT INTO definitions (id, hook) VALUES (?, ?) ON CONFLICT DO UPDATE SET hook = excluded.hook;

-- name: delete_definition
DELETE FROM definitions WHERE id = ?;

-- name: all_definitions
SELECT hook FROM definitions;

-- name: write_endpoint
INSERT INTO endpoints (hook_id, failing_since, disabled, disabled_at) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
  failing_since = excluded.failing_since, disabled = excluded.disabled, disabled_at = excluded.disabled_at;

-- name: all_endpoints
SELECT hook_id, failing_since, disabled, disabled_at FROM endpoints ORDER BY hook_id;

-- name: work
-- Each hook's first delivery that nobody holds.
SELECT id, due_at FROM (
  SELECT h.id, (
    SELECT d.due_at FROM deliveries AS d INDEXED BY deliveries_due
    WHERE d.hook = h.n AND d.settled_at IS NULL AND (d.lease_until IS NULL OR d.lease_until <= ?)
    ORDER BY d.due_at LIMIT 1
  ) AS due_at
  FROM hooks AS h WHERE h.deliveries > 0
) WHERE due_at IS NOT NULL ORDER BY due_at, id;

-- name: delivery
SELECT d.event, d.hook,
       h.id, d.source, d.state, d.attempts, d.created_at, d.due_at, d.lease_until, d.settled_at, d.reason, d.suppressed,
       d.suppressed_since, d.suppressed_unread, e.id, e.source, e.event, e.data, e.time, e.scope,
       (SELECT a.status FROM attempts AS a WHERE a.event = d.event AND a.hook = d.hook AND a.number = d.attempts),
       (SELECT a.error FROM attempts AS a WHERE a.event = d.event AND a.hook = d.hook AND a.number = d.attempts)
FROM events AS e CROSS JOIN hooks AS h CROSS JOIN deliveries AS d
WHERE e.id = :event AND h.id = :hook AND d.event = e.n AND d.hook = h.n;

-- name: page
SELECT d.event, d.hook,
       h.id, d.source, d.state, d.attempts, d.created_at, d.due_at, d.lease_until, d.settled_at, d.reason, d.suppressed,
       d.suppressed_since, d.suppressed_unread, e.id, e.source, e.event, e.data, e.time, e.scope,
       (SELECT a.status FROM attempts AS a WHERE a.event = d.event AND a.hook = d.hook AND a.number = d.attempts),
       (SELECT a.error FROM attempts AS a WHERE a.event = d.event AND a.hook = d.hook AND a.number = d.attempts)
FROM deliveries AS d CROSS JOIN hooks AS h CROSS JOIN events AS e
WHERE (d.event, d.hook) < (:event, :hook) AND h.n = d.hook AND e.n = d.event
  AND (:hook_id IS NULL OR d.hook = (SELECT n FROM hooks WHERE id = :hook_id))
  AND (:state IS NULL OR d.state = :state)
  AND (:source IS NULL OR d.source = :source)
  AND (:prefix IS NULL OR d.event IN (SELECT n FROM events WHERE id >= :prefix AND id < :prefix || '~'))
  AND (:since IS NULL OR d.created_at >= :since)
  AND (:until IS NULL OR d.created_at < :until)
ORDER BY d.event DESC, d.hook DESC LIMIT :size;

-- name: page_unsettled
-- The same for the states that a lease's end changes without a write.
SELECT d.event, d.hook,
       h.id, d.source, d.state, d.attempts, d.created_at, d.due_at, d.lease_until, d.settled_at, d.reason, d.suppressed,
       d.suppressed_since, d.suppressed_unread, e.id, e.source, e.event, e.data, e.time, e.scope,
       (SELECT a.status FROM attempts AS a WHERE a.event = d.event AND a.hook = d.hook AND a.number = d.attempts),
       (SELECT a.error FROM attempts AS a WHERE a.event = d.event AND a.hook = d.hook AND a.number = d.attempts)
FROM deliveries AS d INDEXED BY deliveries_unsettled CROSS JOIN hooks AS h CROSS JOIN events AS e
WHERE d.settled_at IS NULL AND d.event <= :event AND (d.event, d.hook) < (:event, :hook)
  AND h.n = d.hook AND e.n = d.event
  AND (d.lease_until IS NOT NULL AND d.lease_until > :now) = (:state = 'leased')
  AND (:hook_id IS NULL OR d.hook = (SELECT n FROM hooks WHERE id = :hook_id))
  AND (:source IS NULL OR d.source = :source)
  AND (:prefix IS NULL OR d.event IN (SELECT n FROM events WHERE id >= :prefix AND id < :prefix || '~'))
  AND (:since IS NULL OR d.created_at >= :since)
  AND (:until IS NULL OR d.created_at < :until)
ORDER BY d.event DESC, d.hook DESC LIMIT :size;

-- name: page_events
SELECT n, id, source, event, data, time, scope, accepted_at, held FROM events
WHERE n < :before
  AND (:after IS NULL OR n > (SELECT n FROM events WHERE id = :after))
  AND (:source IS NULL OR source = :source)
  AND (:name IS NULL OR event = :name)
  AND (:since IS NULL OR accepted_at >= :since)
  AND (:until IS NULL OR accepted_at < :until)
  AND (:held_back = 0 OR held IS NOT NULL)
  AND (:hook_id IS NULL
    OR EXISTS (SELECT 1 FROM deliveries AS d
               WHERE d.event = events.n AND d.hook = (SELECT h.n FROM hooks AS h WHERE h.id = :hook_id))
    OR EXISTS (SELECT 1 FROM json_each(events.held) AS one WHERE one.key = :hook_id))
ORDER BY n DESC LIMIT :size;

-- name: event
SELECT id, source, event, data, time, scope FROM events WHERE id = ?;

-- name: hook_number
SELECT n FROM hooks WHERE id = ?;

-- name: fired_of_events
-- The deliveries of these events (a JSON array of their numbers), a lease that ran out being none.
SELECT d.event, h.id, iif(d.state = 'leased' AND d.lease_until <= :now, 'pending', d.state)
FROM json_each(:events) AS one CROSS JOIN deliveries AS d CROSS JOIN hooks AS h
WHERE d.event = one.value AND h.n = d.hook ORDER BY d.event, h.id;

-- name: replayable
-- Settled deliveries by event's and hook's id, oldest first.
SELECT e.id, h.id FROM deliveries AS d INDEXED BY deliveries_settled CROSS JOIN hooks AS h CROSS JOIN events AS e
WHERE d.settled_at IS NOT NULL AND h.n = d.hook AND e.n = d.event
  AND (:hook_id IS NULL OR d.hook = (SELECT n FROM hooks WHERE id = :hook_id))
  AND (:state IS NULL OR d.state = :state)
  AND (:source IS NULL OR d.source = :source)
  AND (:since IS NULL OR d.created_at >= :since)
  AND (:until IS NULL OR d.created_at < :until)
ORDER BY d.event, d.hook LIMIT :size;

-- name: attempts
SELECT number, started_at, seconds, outcome, error, detail, status, body, exchange FROM attempts
WHERE event = ? AND hook = ? ORDER BY number;

-- name: count_leased
SELECT count(*) FROM deliveries INDEXED BY deliveries_unsettled WHERE settled_at IS NULL AND lease_until > ?;

-- name: oldest_unsettled
SELECT created_at FROM deliveries INDEXED BY deliveries_unsettled WHERE settled_at IS NULL ORDER BY event, hook LIMIT 1;
