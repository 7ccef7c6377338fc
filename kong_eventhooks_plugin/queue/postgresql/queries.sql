-- Every statement of the shared store, by name. A line "-- name: x" begins one.
-- $1, $2 are the parameters in their order; arrays of one length are the columns of rows (unnest).

-- name: session
-- What a connection has of what it asked for. The arrays are for asyncpg, which asks the server what an array's type is, for
-- tens of milliseconds: once for all of them.
SELECT current_setting('search_path'), current_setting('server_encoding'),
       $1::bigint[], $2::integer[], $3::float8[], $4::bytea[], $5::text[];

-- name: schema_exists
-- By a look into the catalogue: to_regnamespace and to_regclass may say what was so before a lock was waited for.
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1::text);

-- name: version_exists
SELECT EXISTS (
  SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname = $1::text AND c.relname = 'schema_version' AND has_schema_privilege(n.oid, 'USAGE')
);

-- name: version
SELECT version FROM schema_version;

-- name: create_version
CREATE TABLE schema_version (one boolean PRIMARY KEY CHECK (one), version integer NOT NULL);
INSERT INTO schema_version VALUES (true, 0);

-- name: write_version
UPDATE schema_version SET version = $1;

-- name: read_only
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean;

-- name: now
SELECT extract(epoch FROM clock_timestamp())::float8;

-- name: lock_alone
-- Nobody else accepts until this transaction ends.
SELECT pg_advisory_xact_lock($1::integer, $2::integer);

-- name: lock_shared
SELECT pg_advisory_xact_lock_shared($1::integer, $2::integer);

-- name: try_lock
SELECT pg_try_advisory_xact_lock($1::integer, $2::integer);

-- name: add_writer
INSERT INTO writers (process, opened_at, seen_at) VALUES ($1, $2, $2) RETURNING n;

-- name: last_transaction
-- Waits for the writer's transaction where it is still under way.
SELECT transactions FROM writers WHERE n = $1 AND opened_at = $2 FOR UPDATE;

-- name: end_transaction
UPDATE writers SET
  transactions = $2, seen_at = $3,
  delivered = delivered + $4, dead = dead + $5, idle = idle + $6, answer_bytes = answer_bytes + $7
WHERE n = $1 AND opened_at = $8 RETURNING n;

-- name: add_counts
INSERT INTO counters AS c (writer, hook, deliveries, bytes, states)
SELECT $1::bigint, u.* FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bigint[]) AS u
ON CONFLICT (hook, writer) DO UPDATE SET
  deliveries = c.deliveries + excluded.deliveries, bytes = c.bytes + excluded.bytes, states = c.states + excluded.states;

-- name: totals
SELECT sum(delivered)::bigint, sum(dead)::bigint, sum(idle)::bigint, sum(answer_bytes)::bigint FROM writers;

-- name: fold_writers
-- Take over what writers counted that have not been seen for long, and remove them.
WITH gone AS (
  SELECT n, delivered, dead, idle, answer_bytes FROM writers WHERE seen_at < $2 AND n <> $1
  ORDER BY n FOR UPDATE SKIP LOCKED
), counted AS (
  DELETE FROM counters AS c USING gone WHERE c.writer = gone.n RETURNING c.hook, c.deliveries, c.bytes, c.states
), removed AS (
  DELETE FROM writers AS w USING gone WHERE w.n = gone.n
), added AS (
  INSERT INTO counters AS c (writer, hook, deliveries, bytes, states)
  SELECT $1::bigint, hook, sum(deliveries), sum(bytes), sum(states) FROM counted GROUP BY hook
  ON CONFLICT (hook, writer) DO UPDATE SET
    deliveries = c.deliveries + excluded.deliveries, bytes = c.bytes + excluded.bytes,
    states = c.states + excluded.states
)
SELECT coalesce(sum(delivered), 0)::bigint, coalesce(sum(dead), 0)::bigint, coalesce(sum(idle), 0)::bigint,
       coalesce(sum(answer_bytes), 0)::bigint
FROM gone;

-- name: forget_hooks
-- Drop the counters of hooks of which nothing is kept. Rows of one hook whose sum is nothing may go whatever others count
-- meanwhile; one that a writer is just changing stays, and is in no sum here. Returns the hooks.
WITH unused AS (
  SELECT hook FROM counters GROUP BY hook HAVING sum(deliveries) = 0 AND sum(bytes) = 0 AND sum(states) = 0
  EXCEPT SELECT hook FROM deliveries LIMIT $1
), locked AS (
  SELECT c.hook, c.writer, c.deliveries, c.bytes, c.states FROM counters AS c
  WHERE c.hook IN (SELECT hook FROM unused) ORDER BY c.hook, c.writer FOR UPDATE SKIP LOCKED
), empty AS (
  SELECT hook FROM locked GROUP BY hook HAVING sum(deliveries) = 0 AND sum(bytes) = 0 AND sum(states) = 0
), deleted AS (
  DELETE FROM counters AS c USING locked AS l
  WHERE c.hook = l.hook AND c.writer = l.writer AND l.hook IN (SELECT hook FROM empty) RETURNING c.hook
)
SELECT DISTINCT h.id FROM deleted AS d JOIN hooks AS h ON h.n = d.hook;

-- name: hook_numbers
SELECT id, n FROM hooks WHERE id = ANY($1::text[]);

-- name: add_hooks
INSERT INTO hooks (id) SELECT id FROM unnest($1::text[]) WITH ORDINALITY AS u(id, at) ORDER BY at
ON CONFLICT (id) DO NOTHING;

-- name: last_number
-- The last number that an event was given, whether or not that is committed.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_n;

-- name: accepting
-- The transactions that accept now: they hold the lock from before they take numbers until they have ended.
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'advisory' AND classid = $1::integer::oid AND objid = $2::integer::oid AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: known_events
SELECT id FROM events WHERE id = ANY($1::text[]);

-- name: counted
-- What these hooks hold, and in the row without a hook what all hold.
SELECT hook, sum(deliveries)::bigint, sum(bytes)::bigint, sum(states)::bigint
FROM counters WHERE hook = ANY($1::integer[]) GROUP BY hook
UNION ALL
SELECT NULL, coalesce(sum(deliveries), 0)::bigint, coalesce(sum(bytes), 0)::bigint, 0 FROM counters;

-- name: numbers
SELECT nextval('events_n') FROM generate_series(1, $1::integer);

-- name: lock_slots
-- Slots that are there are locked and stay as they are (WHERE false), others are made; all in one order, so that two
-- nodes that want the same ones wait and never lock each other out.
INSERT INTO suppression_slots AS s (hook, source, event, slot, digest, until, held, since)
SELECT hook, source, event, slot, NULL, 0, 0, 0
FROM unnest($1::integer[], $2::text[], $3::text[], $4::bytea[]) AS u(hook, source, event, slot)
ORDER BY hook, source, event, slot
ON CONFLICT (hook, source, event, slot) DO UPDATE SET held = s.held WHERE false;

-- name: slots
SELECT s.hook, s.source, s.event, s.slot, s.digest, s.until, s.held, s.since
FROM unnest($1::integer[], $2::text[], $3::text[], $4::bytea[]) AS u(hook, source, event, slot)
JOIN suppression_slots AS s USING (hook, source, event, slot)
WHERE s.digest IS NOT NULL;

-- name: write_slots
UPDATE suppression_slots AS s SET digest = u.digest, until = u.until, held = u.held, since = u.since
FROM unnest($1::integer[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::float8[], $7::bigint[], $8::float8[])
  AS u(hook, source, event, slot, digest, until, held, since)
WHERE s.hook = u.hook AND s.source = u.source AND s.event = u.event AND s.slot = u.slot;

-- name: delete_unused_slots
DELETE FROM suppression_slots AS s
USING unnest($1::integer[], $2::text[], $3::text[], $4::bytea[]) AS u(hook, source, event, slot)
WHERE s.hook = u.hook AND s.source = u.source AND s.event = u.event AND s.slot = u.slot AND s.digest IS NULL;

-- name: delete_soonest_slots
-- The states of a hook that end soonest, so many of them; what another node is just using stays.
WITH chosen AS (
  SELECT hook, source, event, slot FROM suppression_slots WHERE hook = $1
  ORDER BY until, source, event, slot LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM suppression_slots AS s USING chosen AS c
WHERE s.hook = c.hook AND s.source = c.source AND s.event = c.event AND s.slot = c.slot;

-- name: delete_ended_slots
-- Those whose snooze is over; until = 0 is a state of on_change alone, which does not end. Those that have held something
-- back stay for longer: the next delivery reports it.
WITH chosen AS (
  SELECT hook, source, event, slot FROM suppression_slots
  WHERE until > 0 AND until <= $1 AND (held = 0 OR until <= $2) LIMIT $3 FOR UPDATE SKIP LOCKED
), deleted AS (
  DELETE FROM suppression_slots AS s USING chosen AS c
  WHERE s.hook = c.hook AND s.source = c.source AND s.event = c.event AND s.slot = c.slot RETURNING s.hook
)
SELECT hook, count(*) FROM deleted GROUP BY hook;

-- name: add_events
INSERT INTO events (n, id, source, event, time, accepted_at, data, scope, held, deliveries, trace)
SELECT n, id, source, event, time, accepted_at, data, scope, nullif(held, '')::jsonb, deliveries, nullif(trace, '')
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[], $7::bytea[], $8::bytea[],
            $9::text[], $10::integer[], $11::text[])
  AS u(n, id, source, event, time, accepted_at, data, scope, held, deliveries, trace)
ORDER BY id
ON CONFLICT (id) DO NOTHING;

-- name: add_deliveries
-- Those with a time are leased until then by the writer $11.
INSERT INTO deliveries (event, hook, source, bytes, created_at, due_at, suppressed, suppressed_since, suppressed_unread,
                        lease_until, state, lease, attempts)
SELECT u.*, CASE WHEN u.until IS NULL THEN 'pending' ELSE 'leased' END, CASE WHEN u.until IS NOT NULL THEN $11::bigint END, 0
FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::bigint[], $5::float8[], $6::float8[], $7::bigint[],
            $8::float8[], $9::bigint[], $10::float8[])
  AS u(event, hook, source, bytes, created_at, due_at, suppressed, since, unread, until);

-- name: write
-- Settlements, claims and offers: a transaction by itself (migrations/0007_write.sql).
SELECT * FROM write(
  $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
  $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46,
  $47, $48, $49
);

-- name: outcome_of_offers
-- Which of these events a writer's last transaction has written, and when: it has written the writer's row as well.
SELECT id, accepted_at FROM events
WHERE id = ANY($2::text[]) AND xmin = (SELECT xmin FROM writers WHERE n = $1);

-- name: outcome_of_claims
-- What a writer's last transaction has leased.
SELECT d.hook, d.source, d.attempts, d.created_at, d.due_at, d.suppressed, d.suppressed_since, d.suppressed_unread,
       e.trace, e.id, e.source, e.event, e.data, e.time, e.scope
FROM deliveries AS d JOIN events AS e ON e.n = d.event
WHERE d.lease_until IS NOT NULL AND d.lease = $1 AND d.xmin = (SELECT xmin FROM writers WHERE n = $1)
ORDER BY d.hook, d.due_at, d.event;

-- name: add_attempts
INSERT INTO attempts (event, hook, number, started_at, seconds, outcome, error, detail, status, body, exchange)
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::float8[], $5::float8[], $6::text[], $7::text[],
                     $8::text[], $9::integer[], $10::bytea[], $11::bytea[]);

-- name: to_replay
-- Locked in one order. A delivery's place in the arrays first.
SELECT u.at, d.event, d.hook, h.id, d.state, d.bytes, d.settled_at
FROM unnest($1::integer[], $2::text[], $3::text[]) AS u(at, id, hook_id)
JOIN events AS e ON e.id = u.id JOIN hooks AS h ON h.id = u.hook_id
JOIN deliveries AS d ON d.event = e.n AND d.hook = h.n
ORDER BY d.event, d.hook FOR UPDATE OF d;

-- name: revive
UPDATE deliveries AS d SET state = 'pending', due_at = $3, settled_at = NULL, reason = NULL
FROM unnest($1::bigint[], $2::integer[]) AS u(event, hook) WHERE d.event = u.event AND d.hook = u.hook;

-- name: leasing
-- Which writers hold leases, and of which process they are.
SELECT n, process FROM writers WHERE n IN (SELECT lease FROM deliveries WHERE lease_until IS NOT NULL);

-- name: release_leases
-- Returns the hooks of which these writers held leases.
WITH theirs AS (
  SELECT event, hook FROM deliveries WHERE lease_until IS NOT NULL AND lease = ANY($1::bigint[])
  ORDER BY event, hook FOR UPDATE
), released AS (
  UPDATE deliveries AS d SET state = 'pending', lease = NULL, lease_until = NULL
  FROM theirs AS t WHERE d.event = t.event AND d.hook = t.hook RETURNING d.hook
)
SELECT DISTINCT h.id FROM released AS r JOIN hooks AS h ON h.n = r.hook;

-- name: release_leases_of_gone
-- Returns the hooks of which processes held leases that are gone; those seen before $1 hold none any more.
WITH theirs AS (
  SELECT event, hook FROM deliveries WHERE lease_until IS NOT NULL AND lease IN (
    SELECT w.n FROM writers AS w JOIN nodes AS o ON o.process = w.process WHERE o.state = 'gone' AND o.seen_at >= $1
  )
  ORDER BY event, hook FOR UPDATE SKIP LOCKED
), released AS (
  UPDATE deliveries AS d SET state = 'pending', lease = NULL, lease_until = NULL
  FROM theirs AS t WHERE d.event = t.event AND d.hook = t.hook RETURNING d.hook
)
SELECT DISTINCT h.id FROM released AS r JOIN hooks AS h ON h.n = r.hook;

-- name: release_forgotten_leases
-- Returns the hooks of which a writer held leases of other deliveries than these.
WITH forgotten AS (
  SELECT d.event, d.hook
  FROM deliveries AS d JOIN events AS e ON e.n = d.event JOIN hooks AS h ON h.n = d.hook
  WHERE d.lease_until IS NOT NULL AND d.lease = $1::bigint AND e.id || '_' || h.id <> ALL($2::text[])
  ORDER BY d.event, d.hook FOR UPDATE OF d
), released AS (
  UPDATE deliveries AS d SET state = 'pending', lease = NULL, lease_until = NULL
  FROM forgotten AS f WHERE d.event = f.event AND d.hook = f.hook RETURNING d.hook
)
SELECT DISTINCT h.id FROM released AS r JOIN hooks AS h ON h.n = r.hook;

-- name: fail_some
WITH chosen AS (
  SELECT event, hook FROM deliveries WHERE hook = $1 AND settled_at IS NULL
  ORDER BY event, hook LIMIT $4 FOR UPDATE
), failed AS (
  UPDATE deliveries AS d SET state = 'dead', lease = NULL, lease_until = NULL, settled_at = $2, reason = $3
  FROM chosen AS c WHERE d.event = c.event AND d.hook = c.hook RETURNING d.bytes
)
SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM failed;

-- name: make_due
-- Those that wait for a time which a clock set back has put off: at most so many.
WITH chosen AS (
  SELECT d.event, d.hook FROM hooks AS h CROSS JOIN LATERAL (
    SELECT event, hook FROM deliveries
    WHERE hook = h.n AND settled_at IS NULL AND due_at > $1 AND (attempts = 0 OR due_at > $2)
    LIMIT $3 FOR UPDATE SKIP LOCKED
  ) AS d LIMIT $3
), made AS (
  UPDATE deliveries AS d SET due_at = $1 FROM chosen AS c WHERE d.event = c.event AND d.hook = c.hook RETURNING d.hook
)
SELECT h.id, count(*) FROM made JOIN hooks AS h ON h.n = made.hook GROUP BY h.id;

-- name: delete_settled
-- Deliveries that were settled first and not after $1, at most $2, with their attempts; their events need them no more.
WITH chosen AS (
  SELECT event, hook, state FROM deliveries WHERE settled_at IS NOT NULL AND settled_at <= $1
  ORDER BY settled_at, event, hook LIMIT $2 FOR UPDATE SKIP LOCKED
), bodies AS (
  DELETE FROM attempts AS a USING chosen AS c WHERE a.event = c.event AND a.hook = c.hook
  RETURNING octet_length(a.body) + coalesce(octet_length(a.exchange), 0) AS size
), deleted AS (
  DELETE FROM deliveries AS d USING chosen AS c WHERE d.event = c.event AND d.hook = c.hook
), released AS (
  UPDATE events AS e SET deliveries = e.deliveries - c.count
  FROM (SELECT event, count(*) AS count FROM chosen GROUP BY event) AS c WHERE e.n = c.event
  RETURNING e.deliveries
)
SELECT count(*) FILTER (WHERE state = 'delivered'), count(*) FILTER (WHERE state <> 'delivered'),
       (SELECT count(*) FROM released WHERE deliveries = 0), (SELECT coalesce(sum(size), 0)::bigint FROM bodies)
FROM chosen;

-- name: delete_idle
WITH chosen AS (
  SELECT n FROM events WHERE deliveries = 0 AND accepted_at <= $1 ORDER BY accepted_at, n LIMIT $2
  FOR UPDATE SKIP LOCKED
), deleted AS (
  DELETE FROM events AS e USING chosen AS c WHERE e.n = c.n RETURNING 1
)
SELECT count(*) FROM deleted;

-- name: spool_position
SELECT n FROM spools WHERE id = $1;

-- name: move_spool_position
-- Returns nothing where the store has less of the spool than up to $2.
INSERT INTO spools AS s (id, n) SELECT $1, $3::bigint WHERE $2::bigint = 0 OR EXISTS (SELECT FROM spools WHERE id = $1)
ON CONFLICT (id) DO UPDATE SET n = greatest(s.n, excluded.n) WHERE s.n >= $2::bigint
RETURNING n;

-- name: leader
SELECT holder, until FROM leadership FOR UPDATE;

-- name: acquire_leadership
UPDATE leadership SET holder = $1, until = $2;

-- name: release_leadership
UPDATE leadership SET holder = '', until = 0 WHERE holder = $1;

-- name: beat
UPDATE nodes SET seen_at = $2, spooled = $3, spooled_bytes = $4, spooled_since = $5
WHERE process = $1 AND state <> 'gone' RETURNING true;

-- name: declare_node
INSERT INTO nodes AS n (process, id, name, version, kong, state, started_at, seen_at, declared_at, hooks)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $7, $8)
ON CONFLICT (process) DO UPDATE SET
  kong = excluded.kong, state = excluded.state, seen_at = excluded.seen_at, declared_at = excluded.declared_at,
  hooks = excluded.hooks;

-- name: nodes_seen
SELECT process, declared_at, seen_at FROM nodes;

-- name: declared_by
SELECT declared_at, process, id, name, version, kong, state, started_at, seen_at, hooks
FROM nodes WHERE process = ANY($1::text[]);

-- name: all_nodes
SELECT process, id, name, version, kong, state, started_at, seen_at, hooks FROM nodes ORDER BY name, started_at;

-- name: all_spooled
SELECT process, spooled, spooled_bytes, spooled_since FROM nodes;

-- name: store_size
-- Of all tables and indexes, in bytes.
SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class AS c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'm', 'p');

-- name: notify
SELECT pg_notify($1::text, $2::text);

-- name: notify_of_work
-- Nobody waits until this is on disk: there is nothing of it to keep.
SELECT set_config('synchronous_commit', 'off', true), pg_notify(channel, payload)
FROM unnest($1::text[], $2::text[]) AS u(channel, payload);

-- name: set_node_gone
UPDATE nodes SET state = 'gone', declared_at = $3 WHERE process = $1 AND seen_at = $2 AND state <> 'gone'
RETURNING true;

-- name: forget_nodes
DELETE FROM nodes WHERE process = ANY($1::text[]) AND state = 'gone';

-- name: write_definitions
INSERT INTO definitions (id, hook) SELECT id, hook FROM unnest($1::text[], $2::bytea[]) AS u(id, hook) ORDER BY id
ON CONFLICT (id) DO UPDATE SET hook = excluded.hook;

-- name: delete_definitions
WITH chosen AS (SELECT id FROM definitions WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE)
DELETE FROM definitions AS d USING chosen AS c WHERE d.id = c.id;

-- name: all_definitions
SELECT hook FROM definitions;

-- name: write_endpoint
INSERT INTO endpoints (hook_id, failing_since, disabled, disabled_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (hook_id) DO UPDATE SET
  failing_since = excluded.failing_since, disabled = excluded.disabled, disabled_at = excluded.disabled_at;

-- name: all_endpoints
SELECT hook_id, failing_since, disabled, disabled_at FROM endpoints ORDER BY hook_id;

-- name: work
-- Each hook's first delivery that nobody holds. A hook that has any is counted.
SELECT h.id, d.due_at
FROM (SELECT DISTINCT hook FROM counters) AS c JOIN hooks AS h ON h.n = c.hook CROSS JOIN LATERAL (
  SELECT due_at FROM deliveries
  WHERE hook = h.n AND settled_at IS NULL AND (lease_until IS NULL OR lease_until <= $1) ORDER BY due_at LIMIT 1
) AS d
ORDER BY d.due_at, h.id;

-- name: delivery
SELECT d.event, d.hook, h.id, d.source, d.state, d.attempts, d.created_at, d.due_at, d.lease_until, d.settled_at,
       d.reason, d.suppressed, d.suppressed_since, d.suppressed_unread, e.id, e.source, e.event, e.data, e.time, e.scope,
       a.status, a.error
FROM events AS e JOIN deliveries AS d ON d.event = e.n JOIN hooks AS h ON h.n = d.hook
  LEFT JOIN attempts AS a ON a.event = d.event AND a.hook = d.hook AND a.number = d.attempts
WHERE e.id = $1 AND h.id = $2;

-- name: page
SELECT d.event, d.hook, h.id, d.source, d.state, d.attempts, d.created_at, d.due_at, d.lease_until, d.settled_at,
       d.reason, d.suppressed, d.suppressed_since, d.suppressed_unread, e.id, e.source, e.event, e.data, e.time, e.scope,
       a.status, a.error
FROM deliveries AS d JOIN hooks AS h ON h.n = d.hook JOIN events AS e ON e.n = d.event
  LEFT JOIN attempts AS a ON a.event = d.event AND a.hook = d.hook AND a.number = d.attempts
WHERE (d.event, d.hook) < ($1::bigint, $2::bigint)
  AND ($3::text IS NULL OR d.hook = (SELECT n FROM hooks WHERE id = $3))
  AND ($4::text IS NULL OR d.state = $4)
  AND ($5::text IS NULL OR d.source = $5)
  AND ($9::text IS NULL OR d.event IN (SELECT n FROM events WHERE id >= $9 AND id < $9 || '~'))
  AND ($6::float8 IS NULL OR d.created_at >= $6)
  AND ($7::float8 IS NULL OR d.created_at < $7)
ORDER BY d.event DESC, d.hook DESC LIMIT $8;

-- name: page_unsettled
-- The same for the states that a lease's end changes without a write.
SELECT d.event, d.hook, h.id, d.source, d.state, d.attempts, d.created_at, d.due_at, d.lease_until, d.settled_at,
       d.reason, d.suppressed, d.suppressed_since, d.suppressed_unread, e.id, e.source, e.event, e.data, e.time, e.scope,
       a.status, a.error
FROM deliveries AS d JOIN hooks AS h ON h.n = d.hook JOIN events AS e ON e.n = d.event
  LEFT JOIN attempts AS a ON a.event = d.event AND a.hook = d.hook AND a.number = d.attempts
WHERE d.settled_at IS NULL AND (d.event, d.hook) < ($1::bigint, $2::bigint)
  AND (d.lease_until IS NOT NULL AND d.lease_until > $10::float8) = ($4::text = 'leased')
  AND ($3::text IS NULL OR d.hook = (SELECT n FROM hooks WHERE id = $3))
  AND ($5::text IS NULL OR d.source = $5)
  AND ($9::text IS NULL OR d.event IN (SELECT n FROM events WHERE id >= $9 AND id < $9 || '~'))
  AND ($6::float8 IS NULL OR d.created_at >= $6)
  AND ($7::float8 IS NULL OR d.created_at < $7)
ORDER BY d.event DESC, d.hook DESC LIMIT $8;

-- name: page_events
SELECT n, id, source, event, data, time, scope, accepted_at, held FROM events
WHERE n < $1::bigint
  AND ($2::text IS NULL OR n > (SELECT n FROM events WHERE id = $2))
  AND ($3::text IS NULL OR source = $3)
  AND ($4::text IS NULL OR event = $4)
  AND ($5::text IS NULL
    OR EXISTS (SELECT 1 FROM deliveries AS d
               WHERE d.event = events.n AND d.hook = (SELECT h.n FROM hooks AS h WHERE h.id = $5))
    OR held ? $5)
  AND ($6::float8 IS NULL OR accepted_at >= $6)
  AND ($7::float8 IS NULL OR accepted_at < $7)
  AND (NOT $9::bool OR held IS NOT NULL)
ORDER BY n DESC LIMIT $8;

-- name: event
SELECT id, source, event, data, time, scope FROM events WHERE id = $1;

-- name: fired_of_events
-- The deliveries of these events, a lease that ran out being none.
SELECT d.event, h.id, CASE WHEN d.state = 'leased' AND d.lease_until <= $2 THEN 'pending' ELSE d.state END
FROM deliveries AS d JOIN hooks AS h ON h.n = d.hook
WHERE d.event = ANY($1::bigint[]) ORDER BY d.event, h.id;

-- name: replayable
-- Settled deliveries by event's and hook's id, oldest first.
SELECT e.id, h.id FROM deliveries AS d JOIN hooks AS h ON h.n = d.hook JOIN events AS e ON e.n = d.event
WHERE d.settled_at IS NOT NULL
  AND ($1::text IS NULL OR d.hook = (SELECT n FROM hooks WHERE id = $1))
  AND ($2::text IS NULL OR d.state = $2)
  AND ($3::text IS NULL OR d.source = $3)
  AND ($4::float8 IS NULL OR d.created_at >= $4)
  AND ($5::float8 IS NULL OR d.created_at < $5)
ORDER BY d.event, d.hook LIMIT $6;

-- name: attempts
SELECT number, started_at, seconds, outcome, error, detail, status, body, exchange FROM attempts
WHERE event = $1 AND hook = $2 ORDER BY number;

-- name: sizes
-- By hook: unsettled deliveries and their bytes.
SELECT h.id, sum(c.deliveries)::bigint, sum(c.bytes)::bigint
FROM counters AS c JOIN hooks AS h ON h.n = c.hook GROUP BY h.id;

-- name: count_leased
SELECT count(*) FROM deliveries WHERE lease_until > $1;

-- name: oldest_unsettled
SELECT created_at FROM deliveries WHERE settled_at IS NULL ORDER BY event, hook LIMIT 1;

-- name: poll_lease_processes
SELECT process FROM poll_leases WHERE name = ANY($1::text[]) AND process <> $2;

-- name: acquire_poll_leases
-- $5: now; $6: when one ends that is from before the clock was set back; $7: processes that have exited.
INSERT INTO poll_leases AS l (name, process, node, term, until)
SELECT name, $2::text, $3::text, ($5::float8 * 1000)::bigint, $4::float8 FROM unnest($1::text[]) AS u(name) ORDER BY name
ON CONFLICT (name) DO UPDATE SET
  process = excluded.process, node = excluded.node, until = excluded.until,
  term = CASE WHEN l.process <> excluded.process OR l.until <= $5::float8
    THEN greatest(l.term + 1, excluded.term) ELSE l.term END
WHERE l.process = excluded.process OR l.until <= $5::float8 OR l.until > $6::float8 OR l.process = ANY($7::text[])
RETURNING name, term;

-- name: release_poll_leases
UPDATE poll_leases SET until = 0 WHERE name = ANY($1::text[]) AND process = $2;

-- name: poll_lease_holders
SELECT name, process, node, term FROM poll_leases WHERE until > $1 AND until <= $2;

-- name: lock_poll_lease
-- Nobody takes the lease until this transaction ends.
SELECT 1 FROM poll_leases WHERE name = $1 AND term = $2 AND until > $3 FOR UPDATE;

-- name: poll_note
SELECT value FROM poll_notes WHERE lease = $1 AND name = $2;

-- name: poll_note_names
SELECT name FROM poll_notes WHERE lease = $1 AND starts_with(name, $2) ORDER BY name;

-- name: poll_notes_size
SELECT coalesce(sum(length(value)), 0)::bigint FROM poll_notes;

-- name: add_poll_notes
INSERT INTO poll_notes (lease, name, value) SELECT $1, name, value FROM unnest($2::text[], $3::bytea[]) AS u(name, value);

-- name: drop_poll_notes
DELETE FROM poll_notes WHERE lease = $1 AND name = ANY($2::text[]);

-- name: count_forwarded_changes
SELECT count(*) FROM forwarded_changes;

-- name: delete_old_forwarded_changes
DELETE FROM forwarded_changes WHERE seen_at < $1;

-- name: add_forwarded_changes
INSERT INTO forwarded_changes (seen_at, change)
SELECT seen_at, change FROM unnest($1::float8[], $2::bytea[]) WITH ORDINALITY AS u(seen_at, change, at) ORDER BY at;

-- name: first_forwarded_changes
SELECT n, seen_at, change FROM forwarded_changes ORDER BY n LIMIT $1;

-- name: delete_forwarded_changes
DELETE FROM forwarded_changes WHERE n = ANY($1::bigint[]);
