"""Taking offers: a batch of them at once, because every statement costs more than its rows."""

from asyncio import Future
from collections.abc import Sequence

from kong_eventhooks_plugin.model.suppression import SuppressionSlot, decide_suppression
from kong_eventhooks_plugin.queue.contract import Candidate, HeldBack, Offer, Receipt
from kong_eventhooks_plugin.queue.sqlite.counters import Counters, HookCounters
from kong_eventhooks_plugin.queue.sqlite.rows import encode
from kong_eventhooks_plugin.queue.sqlite.statements import SQL, insert_rows
from kong_eventhooks_plugin.queue.sqlite.suppression import Key
from kong_eventhooks_plugin.queue.sqlite.waiter import Waiter

_KNOWN_EVENTS = SQL["known_events"]
_ADD_EVENT = SQL["add_event"]
_ADD_DELIVERY = SQL["add_delivery"]


class Offered(Waiter[Receipt]):
    """An offer that waits for its transaction, with its event's ``data`` and ``scope`` as columns."""

    __slots__ = ("data", "offer", "scope")

    def __init__(self, offer: Offer, data: bytes, scope: bytes | None, future: "Future[Receipt]") -> None:
        super().__init__(future)
        self.offer = offer
        self.data = data
        self.scope = scope


def accept(books: Counters, batch: Sequence[Offered]) -> None:
    """Write a batch of offers and give each its receipt."""
    ids = [offered.offer.event.id for offered in batch]
    rows = books.connection.execute(_KNOWN_EVENTS, (encode(ids).decode(),)).fetchall()
    known = {row[0] for row in rows}
    events: list[tuple[object, ...]] = []
    deliveries: list[tuple[object, ...]] = []
    now = books.now
    for offered in batch:
        offer = offered.offer
        event = offer.event
        if event.id in known:
            offered.answer = Receipt(event_id=event.id, duplicate=True, fired=(), held_back={})
            continue
        known.add(event.id)
        n = books.next_event()
        size = len(offered.data)
        fired: list[str] = []
        held_back: dict[str, HeldBack] = {}
        for candidate in offer.candidates:
            account = books.of_hook(candidate.hook_id)
            reason = _hold_back(books, account, candidate, event.event, size)
            if reason is None:
                books.add(account, size)
                fired.append(candidate.hook_id)
                deliveries.append((n, account.n, candidate.source, size, now, now))
            else:
                books.suppress(account, candidate, event.event, reason)
                held_back[candidate.hook_id] = reason
        if not fired:
            books.totals.idle += 1
        held = encode(held_back).decode() if held_back else None
        row = (n, event.id, event.source, event.event, event.time, now, offered.data, offered.scope, held, len(fired))
        events.append(row)
        offered.answer = Receipt(event_id=event.id, duplicate=False, fired=tuple(fired), held_back=held_back)
    insert_rows(books.connection, _ADD_EVENT, events)
    insert_rows(books.connection, _ADD_DELIVERY, deliveries)


def _hold_back(books: Counters, account: HookCounters, candidate: Candidate, event: str, size: int) -> HeldBack | None:
    """Return why a hook does not fire; where it does, its filter's state is remembered."""
    if candidate.refused is not None:
        return candidate.refused
    rule = candidate.rule
    if rule is None:
        return books.refusal(account, size)
    key: Key = (account.n, candidate.source, event, rule.slot_key(candidate.digest))
    state = books.suppression.get(key)
    verdict = decide_suppression(rule, state, candidate.digest, books.now)
    if not isinstance(verdict, SuppressionSlot):
        return verdict
    reason = books.refusal(account, size)
    if reason is None:
        books.suppression.put(account, key, verdict, new=state is None)
    return reason
