-- Version 7: settlements, claims and offers in one call, which is a transaction by itself: a round trip and not thirty.
--
-- Each statement of a function sees what was committed before it, as those of a transaction do (READ COMMITTED). Nothing
-- in here catches an error: a subtransaction would have a number of its own, by which outcome would not find its rows.
-- A statement costs more than what it does for a row: a part that is not there (NULL) has none, and what changes
-- nothing does not begin to write.

-- Returns rows with what was claimed, and one last that has the time, and of settlements and offers which counted.
--
-- Errors of ours: KE001, a limit is near, and the offers have to be accepted alone; KE002, the writer's row is gone;
-- KE003, the store has less of a spool than up to _before, and the message is how much.
CREATE FUNCTION write(
  _writer bigint,
  _opened_at float8,
  _transaction bigint,
  _time float8,               -- NULL: the clock's
  -- Settlements: a row for each pair of event and hook that the id of the at-th may mean.
  _settled_at integer[],
  _settled_event text[],
  _settled_hook integer[],
  _state text[],
  _due_at float8[],           -- NULL: now
  _reason text[],
  _number integer[],          -- of the attempt; NULL: there was none
  _started_at float8[],
  _seconds float8[],
  _outcome text[],
  _error text[],
  _detail text[],
  _status integer[],
  _body bytea[],
  _exchange bytea[],
  _size bigint[],             -- of bodies and exchanges up to this one
  _most_bytes bigint,         -- of them in all
  -- Claims: of each hook once.
  _claim_hook integer[],
  _claim_most integer[],
  _claim_seconds float8[],
  _first_hook integer[],      -- the first unsettled delivery alone
  _first_seconds float8[],
  -- Offers: from a spool or not (NULL), whose events may be there already.
  _spool text,
  _before bigint,
  _last bigint,
  _most_deliveries bigint,    -- in all and of one hook, and bytes in all: more of them are near the limits
  _most_of_hook bigint,
  _most_held bigint,
  _id text[],
  _source text[],
  _event text[],
  _event_time float8[],
  _data bytea[],
  _scope bytea[],
  _held text[],
  _fired integer[],
  _trace text[],
  _fired_at integer[],        -- deliveries: of the at-th event
  _fired_hook integer[],
  _fired_source text[],
  _fired_bytes bigint[],
  _fired_suppressed bigint[],
  _fired_since float8[],
  _fired_unread bigint[],
  _fired_lease float8[]       -- seconds; NULL: nobody's yet
) RETURNS TABLE (
  now float8, settled integer[], accepted integer[], dropped boolean, -- dropped: an answer's body found no room
  kept boolean, hook integer, source text, attempts integer, created_at float8, due_at float8, suppressed bigint,
  suppressed_since float8, unread bigint, trace text, id text, event_source text, event text, data bytea, "time" float8,
  scope bytea
) LANGUAGE plpgsql
  -- Arrays seem longer to a plan for all of them than to one for these, and so each call would be planned. Each statement
  -- looks a few rows up, however many there are when it is planned.
  SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  _now float8 := coalesce(_time, extract(epoch FROM clock_timestamp())::float8);
  _settled integer[] := '{}';
  _accepted integer[] := '{}';
  _claimed boolean := false;
  _delivered bigint := 0;
  _dead bigint := 0;
  _idle bigint := 0;
  _answers bigint := 0;
  _dropped boolean := false;
  _n bigint[];
BEGIN
  IF _settled_at IS NULL AND _id IS NULL AND _spool IS NULL THEN
    -- Claims alone: nobody waits until they are on disk. One that a crash takes back is due again.
    PERFORM set_config('synchronous_commit', 'off', true);
  END IF;
  IF _settled_at IS NOT NULL THEN
    FOR _i IN 2 .. cardinality(_settled_at) LOOP
      IF _settled_at[_i] = _settled_at[_i - 1] THEN
        -- An id that may mean several deliveries means the first of those that are ours.
        SELECT array_agg(CASE WHEN m.i IS NOT NULL THEN u.hook END ORDER BY u.i) INTO _settled_hook
        FROM unnest(_settled_hook) WITH ORDINALITY AS u(hook, i) LEFT JOIN (
          SELECT DISTINCT ON (w.at) w.i
          FROM unnest(_settled_at, _settled_event, _settled_hook, _number) WITH ORDINALITY AS w(at, id, hook, number, i)
          JOIN events AS e ON e.id = w.id JOIN deliveries AS d ON d.event = e.n AND d.hook = w.hook
          WHERE d.lease = _writer AND (w.number IS NULL OR w.number = d.attempts + 1)
          ORDER BY w.at, d.event, d.hook
        ) AS m ON m.i = u.i;
        EXIT;
      END IF;
    END LOOP;
    IF _size[cardinality(_size)] > 0 THEN
      SELECT _most_bytes - coalesce(sum(w.answer_bytes), 0) INTO _most_bytes FROM writers AS w;
    END IF;
    WITH ended AS (
      -- A settlement counts where the lease is ours and its attempt is the next one; of two of a delivery, the first.
      UPDATE deliveries AS d SET
        state = u.state, lease = NULL, lease_until = NULL, attempts = coalesce(u.number, d.attempts),
        due_at = CASE WHEN u.state = 'pending' THEN coalesce(u.due_at, _now) ELSE d.due_at END,
        settled_at = CASE WHEN u.state <> 'pending' THEN _now END,
        reason = CASE WHEN u.state = 'dead' THEN u.reason END
      FROM (
        -- In one order, in which they are locked.
        SELECT u.*, e.n
        FROM unnest(
          _settled_at, _settled_event, _settled_hook, _state, _due_at, _reason, _number, _started_at, _seconds, _outcome,
          _error, _detail, _status, _body, _exchange, _size
        ) AS u(at, id, hook, state, due_at, reason, number, started_at, seconds, outcome, error, detail, status, body,
               exchange, size)
        JOIN events AS e ON e.id = u.id
        ORDER BY e.n, u.hook, u.at
      ) AS u
      WHERE d.event = u.n AND d.hook = u.hook AND d.lease = _writer AND (u.number IS NULL OR u.number = d.attempts + 1)
      RETURNING d.event, d.hook, d.state, d.bytes, u.at, u.number, u.started_at, u.seconds, u.outcome, u.error, u.detail,
                u.status, u.body, u.exchange, u.size <= _most_bytes AS fits
    ), recorded AS (
      INSERT INTO attempts (event, hook, number, started_at, seconds, outcome, error, detail, status, body, exchange)
      SELECT d.event, d.hook, d.number, d.started_at, d.seconds, d.outcome, d.error, d.detail, d.status,
             CASE WHEN d.fits THEN d.body ELSE '' END, CASE WHEN d.fits THEN d.exchange END
      FROM ended AS d WHERE d.number IS NOT NULL
    ), counted AS (
      INSERT INTO counters AS c (writer, hook, deliveries, bytes, states)
      SELECT _writer, d.hook, -count(*), -sum(d.bytes), 0 FROM ended AS d WHERE d.state <> 'pending' GROUP BY d.hook
      ON CONFLICT ON CONSTRAINT counters_pkey DO UPDATE SET
        deliveries = c.deliveries + excluded.deliveries, bytes = c.bytes + excluded.bytes
    )
    SELECT coalesce(array_agg(d.at), '{}'), count(*) FILTER (WHERE d.state = 'delivered'),
           count(*) FILTER (WHERE d.state = 'dead'),
           coalesce(sum(coalesce(octet_length(d.body), 0) + coalesce(octet_length(d.exchange), 0)) FILTER (WHERE d.fits), 0),
           coalesce(bool_or(NOT d.fits), false)
    INTO _settled, _delivered, _dead, _answers, _dropped
    FROM ended AS d;
  END IF;

  IF _claim_hook IS NOT NULL THEN
    RETURN QUERY
    WITH due AS (
      -- For each hook so many, those due first.
      SELECT d.event, d.hook, _now + w.seconds AS until
      FROM unnest(_claim_hook, _claim_most, _claim_seconds) AS w(hook, most, seconds) CROSS JOIN LATERAL (
        SELECT i.event, i.hook FROM deliveries AS i
        WHERE i.hook = w.hook AND i.settled_at IS NULL AND i.due_at <= _now
          AND (i.lease_until IS NULL OR i.lease_until <= _now)
        ORDER BY i.due_at, i.event LIMIT w.most FOR UPDATE SKIP LOCKED
      ) AS d
    ), leased AS (
      UPDATE deliveries AS d SET state = 'leased', lease = _writer, lease_until = due.until
      FROM due WHERE d.event = due.event AND d.hook = due.hook
      RETURNING d.event, d.hook, d.source, d.attempts, d.created_at, d.due_at, d.suppressed, d.suppressed_since,
                d.suppressed_unread
    )
    SELECT NULL::float8, NULL::integer[], NULL::integer[], NULL::boolean, NULL::boolean, l.hook, l.source, l.attempts, l.created_at,
           l.due_at, l.suppressed, l.suppressed_since, l.suppressed_unread, e.trace, e.id, e.source, e.event, e.data,
           e.time, e.scope
    FROM leased AS l JOIN events AS e ON e.n = l.event ORDER BY l.hook, l.due_at, l.event;
    _claimed := FOUND;
  END IF;

  FOR _at IN 1 .. coalesce(cardinality(_first_hook), 0) LOOP
    -- The first unsettled delivery as they were accepted, where it is due and nobody holds it.
    RETURN QUERY
    WITH leased AS (
      UPDATE deliveries AS d SET state = 'leased', lease = _writer, lease_until = _now + _first_seconds[_at]
      WHERE d.hook = _first_hook[_at] AND d.event = (
        SELECT i.event FROM deliveries AS i
        WHERE i.hook = _first_hook[_at] AND i.settled_at IS NULL ORDER BY i.event LIMIT 1
      ) AND d.settled_at IS NULL AND d.due_at <= _now AND (d.lease_until IS NULL OR d.lease_until <= _now)
      RETURNING d.event, d.hook, d.source, d.attempts, d.created_at, d.due_at, d.suppressed, d.suppressed_since,
                d.suppressed_unread
    )
    SELECT NULL::float8, NULL::integer[], NULL::integer[], NULL::boolean, NULL::boolean, l.hook, l.source, l.attempts, l.created_at,
           l.due_at, l.suppressed, l.suppressed_since, l.suppressed_unread, e.trace, e.id, e.source, e.event, e.data,
           e.time, e.scope
    FROM leased AS l JOIN events AS e ON e.n = l.event;
    _claimed := _claimed OR FOUND;
  END LOOP;

  IF _spool IS NOT NULL THEN
    UPDATE spools AS s SET n = greatest(s.n, _last) WHERE s.id = _spool AND s.n >= _before;
    IF NOT FOUND THEN
      INSERT INTO spools AS s (id, n)
      SELECT _spool, _last WHERE _before = 0 OR EXISTS (SELECT FROM spools AS o WHERE o.id = _spool)
      ON CONFLICT ON CONSTRAINT spools_pkey DO UPDATE SET n = greatest(s.n, excluded.n) WHERE s.n >= _before;
      IF NOT FOUND THEN
        RAISE EXCEPTION '%', coalesce((SELECT s.n FROM spools AS s WHERE s.id = _spool), 0) USING ERRCODE = 'KE003';
      END IF;
    END IF;
  END IF;

  IF _id IS NOT NULL THEN
    -- queue/postgresql/schema.py: LOCKS, ACCEPTING. Held before a number is taken, until the transaction's end.
    PERFORM pg_advisory_xact_lock_shared(1262839915, 2);
    IF _fired_hook IS NOT NULL AND (
      SELECT coalesce(sum(h.deliveries) > _most_deliveries OR sum(h.bytes) > _most_held
                      OR max(h.deliveries) FILTER (WHERE h.hook = ANY(_fired_hook)) > _most_of_hook, false)
      FROM (SELECT c.hook, sum(c.deliveries) AS deliveries, sum(c.bytes) AS bytes FROM counters AS c GROUP BY c.hook) AS h
    ) THEN
      RAISE EXCEPTION 'a limit is near' USING ERRCODE = 'KE001';
    END IF;
    FOR _at IN 1 .. cardinality(_id) LOOP
      _n[_at] := nextval('events_n');
    END LOOP;
    WITH added AS (
      INSERT INTO events (n, id, source, event, time, accepted_at, data, scope, held, deliveries, trace)
      SELECT u.n, u.id, u.source, u.event, u.time, _now, u.data, u.scope, nullif(u.held, '')::jsonb, u.fired,
             nullif(u.trace, '')
      FROM unnest(_n, _id, _source, _event, _event_time, _data, _scope, _held, _fired, _trace)
        AS u(n, id, source, event, time, data, scope, held, fired, trace)
      ORDER BY u.id, u.n
      ON CONFLICT DO NOTHING RETURNING n, deliveries
    )
    SELECT coalesce(array_agg(width_bucket(a.n, _n)), '{}'), count(*) FILTER (WHERE a.deliveries = 0)
    INTO _accepted, _idle FROM added AS a;
    IF _fired_hook IS NOT NULL AND _accepted <> '{}' THEN
      WITH fired AS (
        INSERT INTO deliveries (
          event, hook, source, bytes, created_at, due_at, suppressed, suppressed_since, suppressed_unread, attempts,
          state, lease, lease_until
        )
        SELECT _n[u.at], u.hook, u.source, u.bytes, _now, _now, u.suppressed, u.since, u.unread, 0,
               CASE WHEN u.seconds IS NULL THEN 'pending' ELSE 'leased' END,
               CASE WHEN u.seconds IS NOT NULL THEN _writer END, _now + u.seconds
        FROM unnest(_fired_at, _fired_hook, _fired_source, _fired_bytes, _fired_suppressed, _fired_since, _fired_unread,
                    _fired_lease)
          AS u(at, hook, source, bytes, suppressed, since, unread, seconds)
        WHERE cardinality(_accepted) = cardinality(_id) OR u.at = ANY(_accepted)
        RETURNING hook, bytes
      )
      INSERT INTO counters AS c (writer, hook, deliveries, bytes, states)
      SELECT _writer, f.hook, count(*), sum(f.bytes), 0 FROM fired AS f GROUP BY f.hook
      ON CONFLICT ON CONSTRAINT counters_pkey DO UPDATE SET
        deliveries = c.deliveries + excluded.deliveries, bytes = c.bytes + excluded.bytes;
    END IF;
  END IF;

  -- A crash may take back a claim, and what has written nothing: neither says how much the store must have.
  kept := _settled <> '{}' OR _spool IS NOT NULL OR _id IS NOT NULL;
  -- A transaction that has written nothing has no number: whether it was committed is the same to everybody.
  IF kept OR _claimed THEN
    UPDATE writers AS w SET
      transactions = _transaction, seen_at = _now, delivered = w.delivered + _delivered, dead = w.dead + _dead,
      idle = w.idle + _idle, answer_bytes = w.answer_bytes + _answers
    WHERE w.n = _writer AND w.opened_at = _opened_at;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'the writer is gone' USING ERRCODE = 'KE002';
    END IF;
  END IF;

  now := _now;
  settled := _settled;
  accepted := _accepted;
  dropped := _dropped;
  RETURN NEXT;
END $$;
