"""Leases inside a transaction: claim, replay, release. ``settling`` ends them.

A lease carries the mark of the opening of the store that took it (``Counters.owner``).
"""

from collections.abc import Sequence

from kong_eventhooks_plugin.errors import QueueFull, UnknownDelivery
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.rows import delivery_from, event_from, splits
from kong_eventhooks_plugin.queue.sqlite.statements import SQL

_DUE = SQL["due"]
_LEASE = SQL["lease"]
_DELIVERY = SQL["delivery"]
_BYTES_OF = SQL["bytes_of"]
_REVIVE = SQL["revive"]
_OTHERS_LEASES = SQL["others_leases"]
_RELEASE_OTHERS_LEASES = SQL["release_others_leases"]


def claim(books: Counters, hook_id: str, limit: int, lease_seconds: float) -> list[Delivery]:
    """Lease what is due first of a hook."""
    account = books.known(hook_id)
    if account is None or account.deliveries == 0 or limit < 1:
        return []
    rows = books.connection.execute(_DUE, {"hook": account.n, "now": books.now, "limit": limit}).fetchall()
    until = books.now + lease_seconds
    books.connection.executemany(_LEASE, [(books.owner, until, row[0], account.n) for row in rows])
    return [
        Delivery(
            id=delivery_id(event_id, hook_id),
            event=event_from((event_id, *event)),
            hook_id=hook_id,
            source=source,
            state="leased",
            attempts=attempts,
            created_at=created_at,
            due_at=due_at,
        )
        for _, source, attempts, created_at, due_at, event_id, *event in rows
    ]


def replay(books: Counters, delivery: str) -> Delivery:
    """Make a settled delivery pending and due; one that is not settled stays as it is."""
    for event_id, hook_id in splits(delivery):
        row = books.connection.execute(_DELIVERY, {"event": event_id, "hook": hook_id}).fetchone()
        if row is not None:
            break
    else:
        raise UnknownDelivery(f"there is no delivery {delivery}")
    before = delivery_from(row, books.now)
    if before.settled_at is None:
        return before
    account = books.of_hook(before.hook_id)
    event = row[0]
    (size,) = books.connection.execute(_BYTES_OF, (event, account.n)).fetchone()
    reason = books.refusal(account, size)
    if reason is not None:
        raise QueueFull(reason, f"no room to replay {delivery}: {reason}")
    books.connection.execute(_REVIVE, (books.now, event, account.n))
    books.add(account, size)
    books.settle(before.state, -1)
    revived = books.connection.execute(_DELIVERY, {"event": before.event.id, "hook": before.hook_id}).fetchone()
    return delivery_from(revived, books.now)


def replay_some(books: Counters, deliveries: Sequence[str]) -> tuple[int, str | None]:
    """Replay deliveries until a limit leaves no room; return how many, and that limit.

    One that retention has forgotten meanwhile is passed over.
    """
    count = 0
    for delivery in deliveries:
        try:
            replay(books, delivery)
            count += 1
        except UnknownDelivery:
            continue
        except QueueFull as full:
            return count, full.reason
    return count, None


def release_others(books: Counters) -> None:
    """Make every delivery due now that another opening of the store has leased."""
    hooks = books.connection.execute(_OTHERS_LEASES, (books.owner,)).fetchall()
    if hooks:
        books.connection.execute(_RELEASE_OTHERS_LEASES, (books.owner,))
        books.woken.update(row[0] for row in hooks)
