"""Claims, replays and releases deliveries inside a transaction; ``settling`` ends leases.

A lease carries the mark of the opening of the store that took it (``Counters.owner``).

Which deliveries of a hook come first is looked up for ``IN_ORDER`` of them at a time: it costs 5 ms where 100,000 wait.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from kong_eventhooks_plugin.errors import QueueFull, UnknownDelivery
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.rows import delivery_from, leased_from, splits
from kong_eventhooks_plugin.queue.sqlite.counters import Counters, Lease
from kong_eventhooks_plugin.queue.sqlite.statements import SQL

IN_ORDER = 256

_DUE_AT = 5
"""A column of what ``SQL.first`` finds."""


def claim(counters: Counters, hook_id: str, limit: int, lease_seconds: float) -> list[Delivery]:
    hook = counters.known(hook_id)
    if hook is None or hook.deliveries == 0 or limit < 1:
        return []
    rows = counters.cursor.execute(SQL.due, {"hook": hook.n, "now": counters.now, "limit": limit}).fetchall()
    until = counters.now + lease_seconds
    if rows:
        counters.cursor.executemany(SQL.lease, [(counters.owner, until, row[0], hook.n) for row in rows])
    return [_leased(counters, hook, row) for row in rows]


def claim_first(counters: Counters, hook_id: str, lease_seconds: float) -> list[Delivery]:
    hook = counters.known(hook_id)
    found = None if hook is None else _first(counters, hook)
    if hook is None or found is None:
        return []
    held_until, *row = found
    if row[_DUE_AT] > counters.now or (held_until or 0.0) > counters.now:
        return []
    counters.cursor.execute(SQL.lease, (counters.owner, counters.now + lease_seconds, row[0], hook.n))
    return [_leased(counters, hook, row)]


def _leased(counters: Counters, hook: HookCounters, row: Any) -> Delivery:
    """Return the delivery of a row that is leased now, and remember what its settlement needs."""
    event, size, source, attempts, *rest = row
    delivery = leased_from(hook.hook_id, source, attempts, *rest)
    counters.remember_lease(delivery.id, Lease(event, hook, attempts, size))
    return delivery


def _first(counters: Counters, hook: HookCounters) -> Any:
    """Return the row of a hook's first unsettled delivery, None where it has none."""
    events = counters.in_order.setdefault(hook.n, deque())
    while True:
        if not events and hook.deliveries:
            rows = counters.cursor.execute(SQL.unsettled_in_order, (hook.n, IN_ORDER)).fetchall()
            events.extend(row[0] for row in rows)
        if not events:
            return None
        row = counters.cursor.execute(SQL.first, (events[0], hook.n)).fetchone()
        if row is not None:
            return row
        events.popleft()  # it has settled


def replay(counters: Counters, delivery: str) -> Delivery:
    """Make a settled delivery pending and due; one that is not settled stays as it is."""
    for event_id, hook_id in splits(delivery):
        row = counters.cursor.execute(SQL.delivery, {"event": event_id, "hook": hook_id}).fetchone()
        if row is not None:
            break
    else:
        raise UnknownDelivery(f"there is no delivery {delivery}")
    before = delivery_from(row, counters.now)
    if before.settled_at is None:
        return before
    hook = counters.of_hook(before.hook_id)
    event = row[0]
    (size,) = counters.cursor.execute(SQL.bytes_of, (event, hook.n)).fetchone()
    reason = counters.refusal(hook, size)
    if reason is not None:
        raise QueueFull(reason, f"no room to replay {delivery}: {reason}")
    counters.cursor.execute(SQL.revive, (counters.now, event, hook.n))
    if hook.n in counters.in_order:
        counters.in_order[hook.n].clear()
    counters.add(hook, size)
    counters.settle(before.state, -1)
    revived = counters.cursor.execute(SQL.delivery, {"event": before.event.id, "hook": before.hook_id}).fetchone()
    return delivery_from(revived, counters.now)


def replay_some(counters: Counters, deliveries: Sequence[str]) -> tuple[int, str | None]:
    """Replay deliveries until a limit leaves no room; return how many, and that limit.

    One that retention has deleted meanwhile is skipped.
    """
    count = 0
    for delivery in deliveries:
        try:
            replay(counters, delivery)
            count += 1
        except UnknownDelivery:
            continue
        except QueueFull as full:
            return count, full.reason
    return count, None


def release_others(counters: Counters) -> None:
    hooks = counters.cursor.execute(SQL.others_leases, (counters.owner,)).fetchall()
    if hooks:
        counters.cursor.execute(SQL.release_others_leases, (counters.owner,))
        counters.woken.update(row[0] for row in hooks)
