-- name: lock_session
-- Until the connection ends.
SELECT pg_advisory_lock($1::integer, $2::integer);

-- name: known
SELECT shift, moved FROM migrations WHERE source = $1;

-- name: numbered
SELECT last_value, is_called FROM events_n;

-- name: reserve
-- Nobody else is given a number up to this one.
SELECT setval('events_n', $1::bigint);

-- name: begin
INSERT INTO migrations (source, shift, moved, began_at) VALUES ($1, $2, 0, $3);

-- name: moved
UPDATE migrations SET moved = $2 WHERE source = $1;

-- name: has_hooks
SELECT EXISTS (SELECT FROM hooks);

-- name: keep_hook_numbers
INSERT INTO hooks (n, id) OVERRIDING SYSTEM VALUE SELECT n, id FROM unnest($1::integer[], $2::text[]) AS u(n, id);

-- name: reserve_hooks
SELECT setval(pg_get_serial_sequence('hooks', 'n'), (SELECT max(n) FROM hooks));

-- name: add_definitions
INSERT INTO definitions (id, hook) SELECT id, hook FROM unnest($1::text[], $2::bytea[]) AS u(id, hook) ORDER BY id
ON CONFLICT (id) DO NOTHING;

-- name: add_endpoints
INSERT INTO endpoints (hook_id, failing_since, disabled, disabled_at)
SELECT * FROM unnest($1::text[], $2::float8[], $3::text[], $4::float8[]) AS u(hook_id, since, disabled, disabled_at)
ORDER BY hook_id ON CONFLICT (hook_id) DO NOTHING;

-- name: add_slots
-- A slot that the store has already is newer.
INSERT INTO suppression_slots (hook, source, event, slot, digest, until, held, since)
SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::float8[], $7::bigint[],
                     $8::float8[]) AS u(hook, source, event, slot, digest, until, held, since)
ORDER BY hook, source, event, slot
ON CONFLICT (hook, source, event, slot) DO NOTHING RETURNING hook;

-- name: add_events
INSERT INTO events (n, id, source, event, time, accepted_at, data, scope, held, trace, deliveries)
SELECT n, id, source, event, time, accepted_at, data, scope, held::jsonb, trace, 0
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::float8[], $7::bytea[], $8::bytea[],
            $9::text[], $10::text[])
  AS u(n, id, source, event, time, accepted_at, data, scope, held, trace)
ORDER BY id
ON CONFLICT (id) DO NOTHING;

-- name: lock_events
-- The numbers that the store has for these events, with how many deliveries need each.
SELECT id, n, deliveries FROM events WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE;

-- name: add_deliveries
INSERT INTO deliveries (event, hook, source, state, attempts, bytes, created_at, due_at, settled_at, reason, suppressed,
                        suppressed_since, suppressed_unread)
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::float8[],
                     $8::float8[], $9::float8[], $10::text[], $11::bigint[], $12::float8[], $13::bigint[])
ON CONFLICT (event, hook) DO NOTHING RETURNING event, hook;

-- name: need_events
UPDATE events AS e SET deliveries = e.deliveries + u.count
FROM unnest($1::bigint[], $2::integer[]) AS u(n, count) WHERE e.n = u.n;

-- name: count_definitions
SELECT count(*) FROM definitions WHERE id = ANY($1::text[]);

-- name: count_endpoints
SELECT count(*) FROM endpoints WHERE hook_id = ANY($1::text[]);

-- name: count_slots
SELECT count(*) FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) AS u(hook_id, source, event, slot)
JOIN hooks AS h ON h.id = u.hook_id
JOIN suppression_slots AS s ON s.hook = h.n AND s.source = u.source AND s.event = u.event AND s.slot = u.slot;

-- name: find_events
SELECT id, n FROM events WHERE id = ANY($1::text[]);

-- name: count_deliveries
SELECT count(*) FROM unnest($1::text[], $2::text[]) AS u(id, hook_id)
JOIN events AS e ON e.id = u.id JOIN hooks AS h ON h.id = u.hook_id
JOIN deliveries AS d ON d.event = e.n AND d.hook = h.n;

-- name: count_attempts
-- Those that were moved with an event: a node may have added others.
SELECT count(*) FROM unnest($1::bigint[], $2::text[], $3::integer[]) AS u(event, hook_id, attempts)
JOIN hooks AS h ON h.id = u.hook_id
JOIN attempts AS a ON a.event = u.event AND a.hook = h.n AND a.number <= u.attempts;
