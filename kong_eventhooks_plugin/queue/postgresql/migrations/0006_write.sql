-- Version 6: settlements, claims and offers in one call, which is a transaction by itself: a round trip and not thirty.
--
-- Each statement of a function sees what was committed before it, as those of a transaction do (READ COMMITTED). Nothing
-- in here catches an error: a subtransaction would have a number of its own, by which outcome would not find its rows.

-- Returns rows of a kind: settled (at), claimed, accepted (at), and one last: now (created_at; suppressed is 1 where the body
-- of an answer found no room).
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
  _most_bytes bigint,         -- of bodies and exchanges in all
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
  kind text, at integer, hook integer, source text, attempts integer, created_at float8, due_at float8,
  suppressed bigint, suppressed_since float8, unread bigint, trace text, id text, event_source text, event text,
  data bytea, "time" float8, scope bytea
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  _now float8 := coalesce(_time, extract(epoch FROM clock_timestamp())::float8);
  _ended_at integer[] := '{}';
  _ended_hook integer[] := '{}';
  _ended_state text[] := '{}';
  _ended_bytes bigint[] := '{}';
  _dropped boolean := false;
  _answers bigint := 0;
  _n bigint[];
  _accepted integer[] := '{}';
BEGIN
  IF cardinality(_settled_at) > 0 THEN
    SELECT coalesce(sum(w.answer_bytes), 0) INTO _answers FROM writers AS w;
    WITH held AS MATERIALIZED (
      -- Locked in one order. A settlement counts where the lease is ours and its attempt is the next one.
      SELECT u.*, d.event, d.bytes, coalesce(u.number, d.attempts) AS attempts
      FROM unnest(
        _settled_at, _settled_event, _settled_hook, _state, _due_at, _reason, _number, _started_at, _seconds, _outcome,
        _error, _detail, _status, _body, _exchange
      ) AS u(at, id, hook, state, due_at, reason, number, started_at, seconds, outcome, error, detail, status, body,
             exchange)
      JOIN events AS e ON e.id = u.id JOIN deliveries AS d ON d.event = e.n AND d.hook = u.hook
      WHERE d.lease = _writer AND (u.number IS NULL OR u.number = d.attempts + 1)
      ORDER BY d.event, d.hook, u.at FOR UPDATE OF d
    ), meant AS (
      SELECT DISTINCT ON (h.at) h.* FROM held AS h ORDER BY h.at, h.event, h.hook
    ), once AS (
      SELECT DISTINCT ON (m.event, m.hook)
        m.*, coalesce(octet_length(m.body), 0) + coalesce(octet_length(m.exchange), 0) AS size
      FROM meant AS m ORDER BY m.event, m.hook, m.at
    ), ended AS (
      SELECT o.*, o.size = 0 OR _answers + sum(o.size) OVER (ORDER BY o.at) <= _most_bytes AS fits FROM once AS o
    ), recorded AS (
      INSERT INTO attempts (event, hook, number, started_at, seconds, outcome, error, detail, status, body, exchange)
      SELECT d.event, d.hook, d.number, d.started_at, d.seconds, d.outcome, d.error, d.detail, d.status,
             CASE WHEN d.fits THEN d.body ELSE '' END, CASE WHEN d.fits THEN d.exchange END
      FROM ended AS d WHERE d.number IS NOT NULL
    ), updated AS (
      UPDATE deliveries AS d SET
        state = u.state, lease = NULL, lease_until = NULL, attempts = u.attempts,
        due_at = CASE WHEN u.state = 'pending' THEN coalesce(u.due_at, _now) ELSE d.due_at END,
        settled_at = CASE WHEN u.state <> 'pending' THEN _now END,
        reason = CASE WHEN u.state = 'dead' THEN u.reason END
      FROM ended AS u WHERE d.event = u.event AND d.hook = u.hook
    )
    SELECT coalesce(array_agg(d.at), '{}'), coalesce(array_agg(d.hook), '{}'), coalesce(array_agg(d.state), '{}'),
           coalesce(array_agg(d.bytes), '{}'), coalesce(sum(d.size) FILTER (WHERE d.fits), 0),
           coalesce(bool_or(NOT d.fits), false)
    INTO _ended_at, _ended_hook, _ended_state, _ended_bytes, _answers, _dropped
    FROM ended AS d;
  END IF;

  IF cardinality(_claim_hook) > 0 THEN
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
    SELECT 'claimed', NULL::integer, l.hook, l.source, l.attempts, l.created_at, l.due_at, l.suppressed,
           l.suppressed_since, l.suppressed_unread, e.trace, e.id, e.source, e.event, e.data, e.time, e.scope
    FROM leased AS l JOIN events AS e ON e.n = l.event ORDER BY l.hook, l.due_at, l.event;
  END IF;

  FOR _at IN 1 .. cardinality(_first_hook) LOOP
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
    SELECT 'claimed', NULL::integer, l.hook, l.source, l.attempts, l.created_at, l.due_at, l.suppressed,
           l.suppressed_since, l.suppressed_unread, e.trace, e.id, e.source, e.event, e.data, e.time, e.scope
    FROM leased AS l JOIN events AS e ON e.n = l.event;
  END LOOP;

  IF _spool IS NOT NULL THEN
    INSERT INTO spools AS s (id, n)
    SELECT _spool, _last WHERE _before = 0 OR EXISTS (SELECT FROM spools AS o WHERE o.id = _spool)
    ON CONFLICT ON CONSTRAINT spools_pkey DO UPDATE SET n = greatest(s.n, excluded.n) WHERE s.n >= _before;
    IF NOT FOUND THEN
      RAISE EXCEPTION '%', coalesce((SELECT s.n FROM spools AS s WHERE s.id = _spool), 0) USING ERRCODE = 'KE003';
    END IF;
  END IF;

  IF cardinality(_id) > 0 THEN
    -- queue/postgresql/schema.py: LOCKS, ACCEPTING. Held before a number is taken, until the transaction's end.
    PERFORM pg_advisory_xact_lock_shared(1262839915, 2);
    IF cardinality(_fired_hook) > 0 AND (
      SELECT coalesce(sum(h.deliveries) > _most_deliveries OR sum(h.bytes) > _most_held
                      OR max(h.deliveries) FILTER (WHERE h.hook = ANY(_fired_hook)) > _most_of_hook, false)
      FROM (SELECT c.hook, sum(c.deliveries) AS deliveries, sum(c.bytes) AS bytes FROM counters AS c GROUP BY c.hook) AS h
    ) THEN
      RAISE EXCEPTION 'a limit is near' USING ERRCODE = 'KE001';
    END IF;
    SELECT array_agg(nextval('events_n')) INTO _n FROM generate_series(1, cardinality(_id));
    WITH added AS (
      INSERT INTO events (n, id, source, event, time, accepted_at, data, scope, held, deliveries, trace)
      SELECT u.n, u.id, u.source, u.event, u.time, _now, u.data, u.scope, nullif(u.held, '')::jsonb, u.fired,
             nullif(u.trace, '')
      FROM unnest(_n, _id, _source, _event, _event_time, _data, _scope, _held, _fired, _trace)
        AS u(n, id, source, event, time, data, scope, held, fired, trace)
      ORDER BY u.id, u.n
      ON CONFLICT DO NOTHING RETURNING events.n
    ), accepted AS (
      SELECT u.at::integer AS at FROM added AS a JOIN unnest(_n) WITH ORDINALITY AS u(n, at) ON u.n = a.n
    ), fired AS (
      INSERT INTO deliveries (
        event, hook, source, bytes, created_at, due_at, suppressed, suppressed_since, suppressed_unread, attempts, state,
        lease, lease_until
      )
      SELECT _n[u.at], u.hook, u.source, u.bytes, _now, _now, u.suppressed, u.since, u.unread, 0,
             CASE WHEN u.seconds IS NULL THEN 'pending' ELSE 'leased' END,
             CASE WHEN u.seconds IS NOT NULL THEN _writer END, _now + u.seconds
      FROM accepted AS a
      JOIN unnest(_fired_at, _fired_hook, _fired_source, _fired_bytes, _fired_suppressed, _fired_since, _fired_unread,
                  _fired_lease)
        AS u(at, hook, source, bytes, suppressed, since, unread, seconds) ON u.at = a.at
    )
    SELECT coalesce(array_agg(a.at), '{}') INTO _accepted FROM accepted AS a;
  END IF;

  INSERT INTO counters AS c (writer, hook, deliveries, bytes, states)
  SELECT _writer, s.hook, sum(s.deliveries), sum(s.bytes), 0 FROM (
    SELECT u.hook, -1 AS deliveries, -u.bytes AS bytes
    FROM unnest(_ended_hook, _ended_state, _ended_bytes) AS u(hook, state, bytes) WHERE u.state <> 'pending'
    UNION ALL
    SELECT u.hook, 1, u.bytes
    FROM unnest(_fired_at, _fired_hook, _fired_bytes) AS u(at, hook, bytes) WHERE u.at = ANY(_accepted)
  ) AS s GROUP BY s.hook ORDER BY s.hook
  ON CONFLICT ON CONSTRAINT counters_pkey DO UPDATE SET
    deliveries = c.deliveries + excluded.deliveries, bytes = c.bytes + excluded.bytes;

  UPDATE writers AS w SET
    transactions = _transaction, seen_at = _now,
    delivered = w.delivered + (SELECT count(*) FROM unnest(_ended_state) AS u(state) WHERE u.state = 'delivered'),
    dead = w.dead + (SELECT count(*) FROM unnest(_ended_state) AS u(state) WHERE u.state = 'dead'),
    idle = w.idle + (SELECT count(*) FROM unnest(_accepted) AS u(at) WHERE _fired[u.at] = 0),
    answer_bytes = w.answer_bytes + _answers
  WHERE w.n = _writer AND w.opened_at = _opened_at;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the writer is gone' USING ERRCODE = 'KE002';
  END IF;

  RETURN QUERY
  SELECT 'settled', u.at, u.hook, NULL, NULL::integer, NULL::float8, NULL::float8, NULL::bigint, NULL::float8,
         NULL::bigint, NULL, NULL, NULL, NULL, NULL::bytea, NULL::float8, NULL::bytea
  FROM unnest(_ended_at, _ended_hook) AS u(at, hook)
  UNION ALL
  SELECT 'accepted', u.at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM unnest(_accepted) AS u(at);
  RETURN QUERY
  SELECT 'now', NULL::integer, NULL::integer, NULL, NULL::integer, _now, NULL::float8, _dropped::integer::bigint,
         NULL::float8, NULL::bigint, NULL, NULL, NULL, NULL, NULL::bytea, NULL::float8, NULL::bytea;
END $$;
