"""Decides a batch of offers: which hooks fire, what is held back and why, and the rows that say so. No I/O.

The engine brings what is there: which events are known, what the limits count, the state of on_change and snooze.
"""

from asyncio import Future
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.suppression import SuppressionSlot, decide_suppression
from kong_eventhooks_plugin.queue.contract import Candidate, HeldBack, Offer, Receipt, SpoolPlace
from kong_eventhooks_plugin.queue.hook_counters import HookCounters
from kong_eventhooks_plugin.queue.limits import BATCH, BATCH_DELIVERIES
from kong_eventhooks_plugin.queue.rows import encode
from kong_eventhooks_plugin.queue.waiter import Waiter

T = TypeVar("T")

Key = tuple[int, str, str, bytes]
"""A slot's: hook's number, source and event as the hook names them, slot."""

Row = tuple[Any, ...]
Rows = list[Row]

_NONE_HELD = (0, 0.0, 0)


class Offered(Waiter[Receipt]):
    """An offer that waits for its transaction, with its event's ``data`` and ``scope`` as columns.

    ``place``: where it comes from a spool.
    """

    __slots__ = ("data", "offer", "place", "scope")

    def __init__(
        self,
        offer: Offer,
        data: bytes,
        scope: bytes | None,
        future: "Future[Receipt]",
        place: SpoolPlace | None = None,
    ) -> None:
        self.recipient = future  # as Waiter's, without a call for each event
        self.answer = None
        self.error = None
        self.place = place
        self.offer = offer
        self.data = data
        self.scope = scope


def first(waiting: deque[T]) -> list[T]:
    """Take the operations of the next transaction."""
    return [waiting.popleft() for _ in range(min(len(waiting), BATCH))] if waiting else []


def first_offers(waiting: deque[Offered]) -> list[Offered]:
    """Take the offers of the next transaction; where that raises all of them still wait."""
    count, room = 0, BATCH_DELIVERIES
    for one in waiting:
        if room <= 0 or count == BATCH:
            break
        count += 1
        room -= len(one.offer.candidates)
    return [waiting.popleft() for _ in range(count)]


class Slots(Protocol):
    """What on_change and snooze remember; changes are written with the transaction."""

    def get(self, key: Key) -> SuppressionSlot | None: ...

    def hold(self, key: Key, now: float) -> None:
        """Count one more that a slot, which is there, holds back."""

    def put(self, hook: HookCounters, key: Key, state: SuppressionSlot, *, new: bool) -> None:
        """Remember a slot from now on; ``new`` where there was none."""


class AcceptCounters(Protocol):
    """What a transaction knows of the store; changes are written with it."""

    @property
    def now(self) -> float: ...

    @property
    def suppression(self) -> Slots: ...

    def of_hook(self, hook_id: str) -> HookCounters: ...

    def next_event(self) -> int: ...

    def refusal(self, hook: HookCounters, size: int) -> HeldBack | None:
        """Return the limit that another unsettled delivery of ``size`` bytes would break."""

    def add(self, hook: HookCounters, size: int) -> None:
        """Count a delivery that became unsettled."""

    def add_idle(self) -> None:
        """Count an event without a delivery."""


Lease = Callable[[Event, bytes, Candidate, HookCounters, Row], bool]
"""Leases a new delivery, and counts it, where the delivering side has room: event, its data, and the delivery's row."""


def decide(
    counters: AcceptCounters, batch: Sequence[Offered], known: Collection[str], lease: Lease | None = None
) -> tuple[Rows, Rows]:
    """Give each offer its receipt as its answer; return the new rows of ``events`` and of ``deliveries``.

    Those that ``lease`` takes are left out.
    ``known`` are the ids among them that are there already. An empty text stands for NULL: Python's sqlite3 looks for
    an adapter of None, which takes it microseconds.
    """
    seen = set(known)
    events: Rows = []
    deliveries: Rows = []
    now = counters.now
    for offered in batch:
        offer = offered.offer
        event = offer.event
        if event.id in seen:
            offered.answer = Receipt(event_id=event.id, duplicate=True, fired=(), held_back={})
            continue
        seen.add(event.id)
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
                fired.append(candidate.hook_id)
                row = (n, hook.n, candidate.source, size, now, now, *verdict)
                if lease is None or not lease(event, offered.data, candidate, hook, row):
                    counters.add(hook, size)
                    deliveries.append(row)
        if not fired:
            counters.add_idle()
        held = encode(held_back).decode() if held_back else ""
        trace = "" if event.trace is None else encode(event.trace).decode()
        events.append((
            n, event.id, event.source, event.event, event.time, now,
            offered.data, offered.scope, held, len(fired), trace,
        ))  # fmt: skip
        offered.answer = Receipt(event_id=event.id, duplicate=False, fired=tuple(fired), held_back=held_back)
    return events, deliveries


def slot_of(hook: HookCounters, candidate: Candidate, event: str) -> Key | None:
    """Return the key of the slot that a candidate is judged by, None where it has none."""
    if candidate.refused is not None or candidate.rule is None:
        return None
    return hook.n, candidate.source, event, candidate.rule.slot_key(candidate.digest)


def _decide(
    counters: AcceptCounters, hook: HookCounters, candidate: Candidate, event: str, size: int
) -> HeldBack | tuple[int, float, int]:
    """Return why a hook does not fire or, where it does, the columns of what was held back; remember either."""
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
    if slot is not None and slot.held:
        return slot.held, slot.since, candidate.unread
    return (0, candidate.unread_since, candidate.unread) if candidate.unread else _NONE_HELD
