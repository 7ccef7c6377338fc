"""Leases inside a transaction: claim, settle, replay, release.

A lease carries the mark of the opening of the store that took it (``Books.owner``), and a settlement counts only
where that mark still stands and the attempt's number is the next one: a process that lost its lease, or a second
try of the same delivery in this one, changes nothing.

Bodies of answers are kept up to ``Limits.answer_bytes`` in all; past it an attempt is kept without its body.
"""

from collections.abc import Sequence

import structlog

from kong_eventhooks_plugin.errors import QueueFull, UnknownDelivery
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.contract import Settlement
from kong_eventhooks_plugin.queue.sqlite.books import Account, Books
from kong_eventhooks_plugin.queue.sqlite.rows import delivery_from, event_from, splits
from kong_eventhooks_plugin.queue.sqlite.statements import SQL

_DUE = SQL["due"]
_LEASE = SQL["lease"]
_LEASED = SQL["leased"]
_POSTPONE = SQL["postpone"]
_END = SQL["end"]
_ADD_ATTEMPT = SQL["add_attempt"]
_DELIVERY = SQL["delivery"]
_BYTES_OF = SQL["bytes_of"]
_REVIVE = SQL["revive"]
_OTHERS_LEASES = SQL["others_leases"]
_RELEASE_OTHERS_LEASES = SQL["release_others_leases"]

log = structlog.get_logger()


def claim(books: Books, hook_id: str, limit: int, lease_seconds: float) -> list[Delivery]:
    """Lease what is due first of a hook."""
    account = books.known(hook_id)
    if account is None or account.deliveries == 0 or limit < 1:
        return []
    rows = books.connection.execute(_DUE, (account.n, books.now, limit)).fetchall()
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


def settle(books: Books, settlement: Settlement) -> None:
    """End one lease, whose new state is not ``leased``; where it is not ours (any more) nothing changes."""
    attempt = settlement.attempt
    for event_id, hook_id in splits(settlement.delivery_id):
        account = books.known(hook_id)
        if account is None:
            continue
        row = books.connection.execute(_LEASED, (event_id, account.n, books.owner)).fetchone()
        if row is None:
            continue
        event, attempts, size = row
        if attempt is not None and attempt.number != attempts + 1:
            continue
        if attempt is not None:
            _record(books, event, account, attempt)
            attempts = attempt.number
        _move(books, settlement, (event, attempts, size), account)
        return
    log.info("settlement of a lost lease", delivery=settlement.delivery_id, state=settlement.state)


def _move(books: Books, settlement: Settlement, row: tuple[int, int, int], account: Account) -> None:
    event, attempts, size = row
    state = settlement.state
    if state == "pending":
        due_at = books.now if settlement.due_at is None else settlement.due_at
        books.connection.execute(_POSTPONE, (attempts, due_at, event, account.n))
        books.woken.add(account.hook_id)
    else:
        reason = settlement.reason if state == "dead" else None
        books.connection.execute(_END, (state, attempts, books.now, reason, event, account.n))
        books.shift(account, -1, -size)
        books.settle(state, 1)


def _record(books: Books, event: int, account: Account, attempt: Attempt) -> None:
    body = attempt.body
    if books.totals.answer_bytes + len(body) > books.limits.answer_bytes:
        body = b""
    books.totals.answer_bytes += len(body)
    books.connection.execute(
        _ADD_ATTEMPT,
        (event, account.n, attempt.number, attempt.started_at, attempt.seconds, attempt.outcome, attempt.error,
         attempt.detail, attempt.status, body),
    )  # fmt: skip


def replay(books: Books, delivery: str) -> Delivery:
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
    account = books.account(before.hook_id)
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


def replay_some(books: Books, deliveries: Sequence[str]) -> tuple[int, str | None]:
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


def release_others(books: Books) -> None:
    """Make every delivery due now that another opening of the store has leased."""
    hooks = books.connection.execute(_OTHERS_LEASES, (books.owner,)).fetchall()
    if hooks:
        books.connection.execute(_RELEASE_OTHERS_LEASES, (books.owner,))
        books.woken.update(row[0] for row in hooks)
