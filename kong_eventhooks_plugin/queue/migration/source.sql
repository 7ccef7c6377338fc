-- name: leader
SELECT holder FROM leadership;

-- name: fingerprint
-- What tells the file and its state from any other: a sidecar that writes to it changes one of these.
SELECT (SELECT id FROM events ORDER BY n LIMIT 1), (SELECT id FROM events ORDER BY n DESC LIMIT 1),
       delivered, dead, idle, answer_bytes,
       (SELECT json_group_array(json_array(id, deliveries, bytes, states)) FROM hooks),
       (SELECT json_group_array(json_array(id, length(hook))) FROM definitions)
FROM totals;

-- name: last_event
SELECT coalesce(max(n), 0) FROM events;

-- name: events_until
SELECT count(*) FROM events WHERE n <= ?;

-- name: hooks
SELECT n, id FROM hooks ORDER BY n;

-- name: definitions
SELECT hook FROM definitions ORDER BY id;

-- name: endpoints
SELECT hook_id, failing_since, disabled, disabled_at FROM endpoints ORDER BY hook_id;

-- name: slots
-- Those after a hook's number, source, event and slot; at most so many.
SELECT f.hook, h.id, f.source, f.event, f.slot, f.digest, f.until, f.held, f.since
FROM filter_states AS f JOIN hooks AS h ON h.n = f.hook
WHERE (f.hook, f.source, f.event, f.slot) > (?, ?, ?, ?) ORDER BY f.hook, f.source, f.event, f.slot LIMIT ?;

-- name: sizes
-- The events after a number, and the bytes of each with its attempts; at most so many.
SELECT e.n, length(e.data) + coalesce((
  SELECT sum(length(a.body) + coalesce(length(a.exchange), 0)) FROM attempts AS a WHERE a.event = e.n
), 0)
FROM events AS e WHERE e.n > ? ORDER BY e.n LIMIT ?;

-- name: events
SELECT n, id, source, event, time, accepted_at, data, scope, held, trace FROM events WHERE n > ? AND n <= ? ORDER BY n;

-- name: deliveries
SELECT d.event, h.id, d.source, d.state, d.attempts, d.bytes, d.created_at, d.due_at, d.settled_at, d.reason,
       d.suppressed, d.suppressed_since, d.suppressed_unread
FROM deliveries AS d JOIN hooks AS h ON h.n = d.hook WHERE d.event > ? AND d.event <= ? ORDER BY d.event, d.hook;

-- name: attempts
SELECT a.event, h.id, a.number, a.started_at, a.seconds, a.outcome, a.error, a.detail, a.status, a.body, a.exchange
FROM attempts AS a JOIN hooks AS h ON h.n = a.hook WHERE a.event > ? AND a.event <= ?
ORDER BY a.event, a.hook, a.number;

-- name: count
SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM deliveries), (SELECT count(*) FROM attempts),
       (SELECT count(*) FROM filter_states), (SELECT count(*) FROM endpoints);
