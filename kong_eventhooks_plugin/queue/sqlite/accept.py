"""Accepts offers, a batch of them at once: every statement costs more than its rows."""

from asyncio import Future
from collections.abc import Sequence

from kong_eventhooks_plugin.model.suppression import SuppressionSlot, decide_suppression
from kong_eventhooks_plugin.queue.contract import Candidate, HeldBack, Offer, Receipt
from kong_eventhooks_plugin.queue.sqlite.counters import Counters
from kong_eventhooks_plugin.queue.sqlite.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.sqlite.rows import encode
from kong_eventhooks_plugin.queue.sqlite.statements import SQL, insert_rows
from kong_eventhooks_plugin.queue.sqlite.suppression import Key
from kong_eventhooks_plugin.queue.sqlite.waiter import Waiter

_NONE_HELD = (0, 0.0)


class Offered(Waiter[Receipt]):
    """An offer that waits for its transaction, with its event's ``data`` and ``scope`` as columns."""

    __slots__ = ("data", "offer", "scope")

    def __init__(self, offer: Offer, data: bytes, scope: bytes | None, future: "Future[Receipt]") -> None:
        super().__init__(future)
        self.offer = offer
        self.data = data
        self.scope = scope


def accept(counters: Counters, batch: Sequence[Offered]) -> None:
    """Write a batch of offers; each has its receipt as its answer then."""
    ids = [offered.offer.event.id for offered in batch]
    rows = counters.connection.execute(SQL.known_events, (encode(ids).decode(),)).fetchall()
    known = {row[0] for row in rows}
    events: list[tuple[object, ...]] = []
    deliveries: list[tuple[object, ...]] = []
    now = counters.now
    for offered in batch:
        offer = offered.offer
        event = offer.event
        if event.id in known:
            offered.answer = Receipt(event_id=event.id, duplicate=True, fired=(), held_back={})
            continue
        known.add(event.id)
        n = counters.next_event()
        size = len(offered.data)
        fired: list[str] = []
        held_back: dict[str, HeldBack] = {}
        for candidate in offer.candidates:
            hook = counters.of_hook(candidate.hook_id)
            verdict = _decide(counters, hook, candidate, event.event, size)
            if isinstance(verdict, str):
                held_back[candidate.hook_id] = verdict
            else:
                counters.add(hook, size)
                fired.append(candidate.hook_id)
                deliveries.append((n, hook.n, candidate.source, size, now, now, *verdict))
        if not fired:
            counters.totals.idle += 1
        held = encode(held_back).decode() if held_back else ""
        trace = "" if event.trace is None else encode(event.trace).decode()
        row = (
            n, event.id, event.source, event.event, event.time, now,
            offered.data, offered.scope, held, len(fired), trace,
        )  # fmt: skip
        events.append(row)
        offered.answer = Receipt(event_id=event.id, duplicate=False, fired=tuple(fired), held_back=held_back)
    insert_rows(counters.connection, SQL.add_event, events)
    insert_rows(counters.connection, SQL.add_delivery, deliveries)


def _decide(
    counters: Counters, hook: HookCounters, candidate: Candidate, event: str, size: int
) -> HeldBack | tuple[int, float]:
    """Return why a hook does not fire or, where it does, how many were held back since when; remember either."""
    if candidate.refused is not None:
        return candidate.refused
    rule = candidate.rule
    if rule is None:
        return counters.refusal(hook, size) or _NONE_HELD
    key: Key = (hook.n, candidate.source, event, rule.slot_key(candidate.digest))
    slot = counters.suppression.get(key)
    verdict = decide_suppression(rule, slot, candidate.digest, counters.now)
    if not isinstance(verdict, SuppressionSlot):
        counters.suppression.hold(key, counters.now)
        return verdict
    reason = counters.refusal(hook, size)
    if reason is not None:
        return reason
    counters.suppression.put(hook, key, verdict, new=slot is None)
    return (slot.held, slot.since) if slot is not None and slot.held else _NONE_HELD
