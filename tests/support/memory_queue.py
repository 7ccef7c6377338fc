"""The queue in memory: for tests, and as the plainest reading of the contract, which the other engines are held to.

Nothing survives the process. Limits are the contract's; a search looks at everything, so keep it small.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from kong_eventhooks_plugin.errors import QueueError, QueueFull, StoreUnavailable, UnknownDelivery, UnknownEvent
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery, State
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.model.suppression import Suppressed, SuppressionSlot, decide_suppression
from kong_eventhooks_plugin.queue.contract import (
    NO_ROOM,
    Accepted,
    Candidate,
    Clock,
    DeliveryFilter,
    DeliveryPage,
    EndpointHealth,
    EventFilter,
    EventPage,
    HeldBack,
    Offer,
    QueueLimits,
    Receipt,
    Replayed,
    Room,
    Settlement,
    SettlementSource,
    Stats,
    Taker,
    Work,
)
from kong_eventhooks_plugin.queue.exchange_record import exchange_from, exchange_of
from kong_eventhooks_plugin.queue.limits import (
    FURTHEST_DUE,
    LARGEST_PAGE,
    LONGEST_OFFSET,
    REPLAYED_AT_ONCE,
    one_page,
    refusal,
)
from kong_eventhooks_plugin.queue.retention import Forgetting
from kong_eventhooks_plugin.queue.rows import check_texts, encode
from tests.support.queue import settle_from

_SETTLED = ("delivered", "dead")


class _Held:
    """A delivery as it is kept: its values, its place in the order of acceptance, its lease and its attempts."""

    def __init__(self, delivery: Delivery, place: tuple[int, int], size: int) -> None:
        self.delivery = delivery
        self.place = place
        self.size = size
        self.lease_until: float | None = None
        self.attempts: list[Attempt] = []

    def change(self, **changes: object) -> None:
        self.delivery = msgspec.structs.replace(self.delivery, **changes)

    def seen(self, now: float) -> Delivery:
        """Return the delivery as it is told: a lease that ran out is no lease."""
        changes: dict[str, object] = {}
        if self.delivery.state == "leased" and self.lease_until is not None and self.lease_until <= now:
            changes["state"] = "pending"
        if self.attempts:
            changes |= {"last_status": self.attempts[-1].status, "last_error": self.attempts[-1].error}
        return msgspec.structs.replace(self.delivery, **changes) if changes else self.delivery

    @property
    def unsettled(self) -> bool:
        return self.delivery.state not in _SETTLED


class _KeptEvent(msgspec.Struct, frozen=True):
    """An event as it is kept: its place in the order of acceptance, when it was accepted, what was held back."""

    event: Event
    place: int
    accepted_at: float
    held_back: dict[str, HeldBack]


class MemoryQueue:
    """The contract over dictionaries. ``clock`` gives Unix seconds."""

    def __init__(self, limits: QueueLimits | None = None, clock: Clock = time.time) -> None:
        self._limits = limits or QueueLimits()
        self._clock = clock
        self._open = False
        self._waiting: list[tuple[Offer, int, asyncio.Future[Receipt]]] = []
        self._events: dict[str, _KeptEvent] = {}
        self._accepted = 0
        self._hooks: dict[str, int] = {}
        self._numbers = itertools.count(1)
        self._forgetting = Forgetting(clock)
        self._held: dict[str, _Held] = {}
        self._states: dict[tuple[str, str, str, bytes], SuppressionSlot] = {}
        self._leader: tuple[str, float] | None = None
        self._definitions: dict[str, Hook] = {}
        self._endpoints: dict[str, EndpointHealth] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._in_order: set[str] = set()
        self._taker: Taker | None = None

    async def open(self) -> None:
        """Nothing to connect to."""
        self._open = True

    async def close(self) -> None:
        """Take what waits."""
        self._commit()
        self._open = False

    def offer(self, offer: Offer) -> "asyncio.Future[Receipt]":
        """Take an event, in the loop's next round, as an engine that commits would."""
        self._check_open()
        if len(self._waiting) >= self._limits.waiting:
            raise QueueFull("buffer", f"{len(self._waiting)} offers wait already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Receipt] = loop.create_future()
        try:
            check_texts(offer.event)
            size = len(msgspec.json.encode(offer.event.data))
        except QueueError as error:
            future.set_exception(error)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            future.set_exception(QueueError(f"event {offer.event.id} cannot be written as JSON: {error}"))
        else:
            self._waiting.append((offer, size, future))
            loop.call_soon(self._commit)
        return future

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        woken: set[str] = set()
        rooms: dict[str, Room] = {}
        taken: dict[str, list[Delivery]] = {}
        for offer, size, future in waiting:
            receipt = self._accept(offer, size)
            for hook_id in receipt.fired:
                if hook_id not in rooms:
                    rooms[hook_id] = NO_ROOM if self._taker is None else self._taker.room(hook_id)
                mine = taken.setdefault(hook_id, [])
                if len(mine) < rooms[hook_id].deliveries:
                    held = self._held[delivery_id(offer.event.id, hook_id)]
                    mine.append(self._lease(held, rooms[hook_id].lease_seconds))
                else:
                    woken.add(hook_id)
            if not future.done():
                future.set_result(receipt)
        for hook_id, deliveries in taken.items():
            if self._taker is not None and deliveries:
                self._taker.taken(hook_id, deliveries, self._clock() + rooms[hook_id].lease_seconds)
        self._wake(woken)

    def _accept(self, offer: Offer, size: int) -> Receipt:
        event = offer.event
        if event.id in self._events:
            return Receipt(event_id=event.id, duplicate=True, fired=(), held_back={})
        self._accepted += 1
        fired: list[str] = []
        held_back: dict[str, HeldBack] = {}
        self._events[event.id] = _KeptEvent(event, self._accepted, self._clock(), held_back)
        for candidate in offer.candidates:
            if candidate.hook_id not in self._hooks:
                self._hooks[candidate.hook_id] = next(self._numbers)
            number = self._hooks[candidate.hook_id]
            verdict = self._decide(candidate, event, size)
            if isinstance(verdict, str):
                held_back[candidate.hook_id] = verdict
            else:
                fired.append(candidate.hook_id)
                delivery = self._delivery(candidate, event, verdict if verdict.count or verdict.unread else None)
                held = _Held(delivery, (self._accepted, number), size)
                self._held[held.delivery.id] = held
        return Receipt(event_id=event.id, duplicate=False, fired=tuple(fired), held_back=held_back)

    def _delivery(self, candidate: Candidate, event: Event, suppressed: Suppressed | None) -> Delivery:
        now = self._clock()
        return Delivery(
            id=delivery_id(event.id, candidate.hook_id),
            event=event,
            hook_id=candidate.hook_id,
            source=candidate.source,
            state="pending",
            attempts=0,
            created_at=now,
            due_at=now,
            suppressed=suppressed,
            data=encode(event.data),
        )

    def _decide(self, candidate: Candidate, event: Event, size: int) -> HeldBack | Suppressed:
        if candidate.refused is not None:
            return candidate.refused
        if candidate.rule is None:
            return self._refusal(candidate.hook_id, size) or Suppressed(0, 0.0)
        key = (candidate.hook_id, candidate.source, event.event, candidate.rule.slot_key(candidate.digest))
        before = self._states.get(key)
        verdict = decide_suppression(candidate.rule, before, candidate.digest, self._clock())
        if not isinstance(verdict, SuppressionSlot):
            assert before is not None
            self._states[key] = before.hold(self._clock())
            return verdict
        reason = self._refusal(candidate.hook_id, size)
        if reason is not None:
            return reason
        self._states[key] = verdict
        self._forget_soonest_state(candidate.hook_id)
        if before is None or not before.held:
            return Suppressed(0, candidate.unread_since, candidate.unread)
        return Suppressed(before.held, before.since, candidate.unread)

    def _forget_soonest_state(self, hook_id: str) -> None:
        mine = [key for key in self._states if key[0] == hook_id]
        if len(mine) > self._limits.suppression_states:
            del self._states[min(mine, key=lambda key: (self._states[key].until, key))]

    def _refusal(self, hook_id: str, size: int) -> HeldBack | None:
        unsettled = [held for held in self._held.values() if held.unsettled]
        of_hook = sum(held.delivery.hook_id == hook_id for held in unsettled)
        return refusal(self._limits, of_hook, len(unsettled), sum(held.size for held in unsettled), size)

    def error(self) -> str | None:
        """Only that it is not open."""
        return None if self._open else "the queue is not open"

    async def claim(self, hook_id: str, limit: int, lease_seconds: float) -> list[Delivery]:
        """Lease up to ``limit`` due deliveries of a hook, those due first first."""
        now = self._now()
        due = [held for held in self._free(now) if held.delivery.hook_id == hook_id and held.delivery.due_at <= now]
        due.sort(key=lambda held: (held.delivery.due_at, held.place))
        return [self._lease(held, lease_seconds) for held in due[: max(limit, 0)]]

    def _lease(self, held: _Held, seconds: float) -> Delivery:
        held.change(state="leased")
        held.lease_until = self._clock() + seconds
        return held.delivery

    async def claim_first(self, hook_id: str, lease_seconds: float) -> list[Delivery]:
        """Lease a hook's first unsettled delivery in the order of acceptance; none where that is leased or not due."""
        now = self._now()
        if hook_id in self._hooks:
            self._in_order.add(hook_id)
        unsettled = [held for held in self._held.values() if held.unsettled and held.delivery.hook_id == hook_id]
        first = min(unsettled, key=lambda held: held.place, default=None)
        if first is None or first.delivery.due_at > now or first.seen(now).state == "leased":
            return []
        first.change(state="leased")
        first.lease_until = now + lease_seconds
        return [first.delivery]

    def _free(self, now: float) -> list[_Held]:
        return [held for held in self._held.values() if held.seen(now).state == "pending"]

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """End leases: state and attempt together. Raises ``QueueError`` where a new state is ``leased``."""
        if any(settlement.state == "leased" for settlement in settlements):
            raise QueueError("a settlement ends a lease; it cannot make one")
        self._now()
        for settlement in settlements:
            held = self._held.get(settlement.delivery_id)
            if held is not None and held.delivery.state == "leased":
                self._settle(held, settlement)

    def hurry(self) -> None:
        """Nothing waits."""

    def settle_soon(self, source: SettlementSource, *, prompt: bool = False) -> None:
        """Settle in the loop's next iteration."""
        self._settling = asyncio.ensure_future(settle_from(source, self.settle))

    def lease_to(self, taker: Taker) -> None:
        """Lease new deliveries to ``taker``."""
        self._taker = taker

    def _settle(self, held: _Held, settlement: Settlement) -> None:
        now, attempt = self._clock(), settlement.attempt
        if attempt is not None:
            if attempt.number != held.delivery.attempts + 1:
                return
            held.attempts.append(self._with_room(attempt))
            held.change(attempts=attempt.number)
        held.lease_until = None
        held.change(state=settlement.state, reason=settlement.reason if settlement.state == "dead" else None)
        if settlement.state == "pending":
            held.change(due_at=now if settlement.due_at is None else settlement.due_at)
            self._wake({held.delivery.hook_id})
        else:
            held.change(settled_at=now)
            self._wake({held.delivery.hook_id} & self._in_order)

    def _with_room(self, attempt: Attempt) -> Attempt:
        headers, request = exchange_from(exchange_of(attempt))
        attempt = msgspec.structs.replace(attempt, headers=headers, request=request)
        kept = sum(_size(one) for held in self._held.values() for one in held.attempts)
        too_much = kept + _size(attempt) > self._limits.answer_bytes
        return msgspec.structs.replace(attempt, body=b"", headers=(), request=None) if too_much else attempt

    async def work(self) -> list[Work]:
        """Return every hook with pending deliveries. Leases that ran out count as pending."""
        first: dict[str, float] = {}
        for held in self._free(self._now()):
            hook_id, due_at = held.delivery.hook_id, held.delivery.due_at
            first[hook_id] = min(due_at, first.get(hook_id, due_at))
        return sorted((Work(hook_id, due_at) for hook_id, due_at in first.items()), key=lambda w: (w.due_at, w.hook_id))

    def on_work(self, wake: Callable[[str], None]) -> None:
        """Have ``wake(hook_id)`` called after each change that made a delivery of it pending."""
        self._listeners.append(wake)

    async def get(self, delivery_id: str) -> Delivery:
        """Return one delivery; ``UnknownDelivery`` where there is none."""
        return self._find(delivery_id).seen(self._now())

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        """Return a delivery's attempts, first first; ``UnknownDelivery`` where there is none."""
        self._check_open()
        return list(self._find(delivery_id).attempts)

    async def page(self, where: DeliveryFilter, size: int, offset: str | None = None) -> DeliveryPage:
        """Return a page of deliveries, newest first; ``size`` 1 to 1,000."""
        now = self._now()
        if not 1 <= size <= LARGEST_PAGE:
            raise QueueError(f"a page has 1 to {LARGEST_PAGE} deliveries, not {size}")
        before = (float("inf"), float("inf"))
        if offset is not None:
            event, _, hook = offset.partition(".")
            if not (event.isdecimal() and hook.isdecimal()):
                raise QueueError(f"{offset!r} is no page's next_offset")
            before = (int(event), int(hook))
        found = [held for held in self._held.values() if held.place < before and _matches(where, held.seen(now))]
        found.sort(key=lambda held: held.place, reverse=True)
        shown, more = one_page(found, size, lambda held: held.size)
        return DeliveryPage(
            deliveries=tuple(held.seen(now) for held in shown),
            next_offset=f"{shown[-1].place[0]}.{shown[-1].place[1]}" if more else None,
        )

    async def replay(self, delivery_id: str) -> Delivery:
        """Make a settled delivery pending and due now. Raises ``QueueFull`` where a limit leaves no room for it."""
        now = self._now()
        held = self._find(delivery_id)
        if held.unsettled:
            return held.seen(now)
        reason = self._refusal(held.delivery.hook_id, held.size)
        if reason is not None:
            raise QueueFull(reason, f"no room to replay {delivery_id}: {reason}")
        held.change(state="pending", due_at=now, settled_at=None, reason=None)
        self._wake({held.delivery.hook_id})
        return held.seen(now)

    async def replay_all(self, where: DeliveryFilter) -> Replayed:
        """Replay every settled delivery that ``where`` names, oldest first."""
        now = self._now()
        found = [held for held in self._held.values() if not held.unsettled and _matches(where, held.seen(now))]
        found.sort(key=lambda held: held.place)
        for count, held in enumerate(found[:REPLAYED_AT_ONCE]):
            try:
                await self.replay(held.delivery.id)
            except QueueFull as full:
                return Replayed(count, full.reason, more=True)
        return Replayed(min(len(found), REPLAYED_AT_ONCE), more=len(found) > REPLAYED_AT_ONCE)

    async def event(self, event_id: str) -> Event:
        """Return one event."""
        self._check_open()
        kept = self._events.get(event_id)
        if kept is None:
            raise UnknownEvent(f"there is no event {event_id}")
        return msgspec.structs.replace(kept.event, compared={}, trace=None)

    async def suppression(self, candidate: Candidate, event: str) -> SuppressionSlot | None:
        """Return what a rule remembers."""
        self._check_open()
        if candidate.rule is None:
            return None
        slot_key = candidate.rule.slot_key(candidate.digest)
        return self._states.get((candidate.hook_id, candidate.source, event, slot_key))

    async def events(self, where: EventFilter, size: int, offset: str | None = None) -> EventPage:
        """Return a page of events, newest first; ``size`` 1 to 1,000."""
        now = self._now()
        if not 1 <= size <= LARGEST_PAGE:
            raise QueueError(f"a page has 1 to {LARGEST_PAGE} events, not {size}")
        if offset is not None and not (offset.isascii() and offset.isdecimal() and len(offset) <= LONGEST_OFFSET):
            raise QueueError(f"{offset!r} is no page's next_offset")
        before = float("inf") if offset is None else int(offset)
        found = [
            (kept.place, Accepted(kept.event, kept.accepted_at, self._fired(kept.event.id, now), kept.held_back))
            for kept in self._events.values()
            if kept.place < before and self._comes_after(kept, where.after)
            if kept.held_back or not where.held_back
        ]
        found = [(place, one) for place, one in found if _is_asked_for(where, one)]
        found.sort(key=lambda entry: entry[0], reverse=True)
        shown, more = one_page(found, size, lambda entry: len(msgspec.json.encode(entry[1].event.data)))
        return EventPage(events=tuple(one for _, one in shown), next_offset=str(shown[-1][0]) if more else None)

    def _fired(self, event_id: str, now: float) -> dict[str, State]:
        held = [one.seen(now) for one in self._held.values() if one.delivery.event.id == event_id]
        return {one.hook_id: one.state for one in sorted(held, key=lambda one: one.hook_id)}

    def _comes_after(self, kept: _KeptEvent, event_id: str | None) -> bool:
        if event_id is None:
            return True
        other = self._events.get(event_id)
        return other is not None and kept.place > other.place

    async def fail_pending(self, hook_id: str, reason: str) -> int:
        """Make every unsettled delivery of a hook dead; return how many."""
        now = self._now()
        buried = [held for held in self._held.values() if held.unsettled and held.delivery.hook_id == hook_id]
        for held in buried:
            held.lease_until = None
            held.change(state="dead", settled_at=now, reason=reason)
        return len(buried)

    async def stats(self) -> Stats:
        """Return the queue's size now."""
        now = self._now()
        unsettled = [held for held in self._held.values() if held.unsettled]
        states = Counter(held.seen(now).state for held in self._held.values())
        depth: dict[State, int] = {state: states[state] for state in ("pending", "leased", "delivered", "dead")}
        oldest = min(unsettled, key=lambda held: held.place, default=None)
        return Stats(
            depth=depth,
            unsettled_bytes=sum(held.size for held in unsettled),
            oldest_pending=None if oldest is None else oldest.delivery.created_at,
            per_hook=dict(Counter(held.delivery.hook_id for held in unsettled)),
        )

    async def sweep(self) -> int:
        """Forget what retention no longer keeps; return how many deliveries, events and filter states went."""
        now = self._now()
        self._make_due(now)
        deleted = self._sweep_settled(now) + self._sweep_idle(now) + self._sweep_states(now)
        if self._forgetting.is_due():
            self._forget_hooks()
        return deleted

    def _forget_hooks(self) -> None:
        used = {held.delivery.hook_id for held in self._held.values()} | {key[0] for key in self._states}
        self._hooks = {hook_id: number for hook_id, number in self._hooks.items() if hook_id in used}
        self._in_order &= used

    def _make_due(self, now: float) -> None:
        late = [
            held
            for held in self._held.values()
            if held.unsettled
            and (held.delivery.due_at > now + FURTHEST_DUE or (held.delivery.due_at > now and not held.attempts))
        ]
        for held in late:
            held.change(due_at=now)
        self._wake({held.delivery.hook_id for held in late})

    def _sweep_settled(self, now: float) -> int:
        settled = sorted(
            (held.delivery.settled_at, held.place, name)
            for name, held in self._held.items()
            if held.delivery.settled_at is not None
        )
        too_many = max(len(settled) - self._limits.settled_count, 0)
        too_old = sum(at <= now - self._limits.settled_seconds for at, _, _ in settled)
        for _, _, name in settled[: max(too_many, too_old)]:
            del self._held[name]
        return max(too_many, too_old)

    def _sweep_idle(self, now: float) -> int:
        needed = {held.delivery.event.id for held in self._held.values()}
        idle = sorted((kept.accepted_at, kept.place, name) for name, kept in self._events.items() if name not in needed)
        too_many = max(len(idle) - self._limits.settled_count, 0)
        too_old = sum(at <= now - self._limits.settled_seconds for at, _, _ in idle)
        for _, _, name in idle[: max(too_many, too_old)]:
            del self._events[name]
        return max(too_many, too_old)

    def _sweep_states(self, now: float) -> int:
        kept = now - self._limits.settled_seconds
        ended = [key for key, state in self._states.items() if 0 < state.until <= (kept if state.held else now)]
        for key in ended:
            del self._states[key]
        return len(ended)

    async def lead(self, holder: str, ttl: float) -> bool:
        """Take or renew the lease of the one delivering process for ``ttl`` seconds; False where another holds it."""
        now = self._now()
        if self._leader is not None and self._leader[0] != holder and self._leader[1] > now:
            return False
        self._leader = (holder, now + ttl)
        return True

    async def resign(self, holder: str) -> None:
        """Give the lease back, if it is ours."""
        self._check_open()
        if self._leader is not None and self._leader[0] == holder:
            self._leader = None

    async def definitions(self) -> list[Hook]:
        """Return every stored hook definition, by name."""
        self._check_open()
        return sorted(self._definitions.values(), key=lambda hook: hook.name)

    async def store_definitions(self, hooks: Sequence[Hook], removed: Sequence[str]) -> None:
        """Write definitions and forget the removed ids."""
        self._check_open()
        for hook_id in removed:
            self._definitions.pop(hook_id, None)
        self._definitions.update({hook.id: hook for hook in hooks})

    async def endpoints(self) -> list[EndpointHealth]:
        """Return what is remembered of endpoints, by hook id."""
        self._check_open()
        return [self._endpoints[hook_id] for hook_id in sorted(self._endpoints)]

    async def save_endpoint(self, health: EndpointHealth) -> None:
        """Write what is remembered of one endpoint."""
        self._check_open()
        self._endpoints[health.hook_id] = health

    def _find(self, delivery_id: str) -> _Held:
        held = self._held.get(delivery_id)
        if held is None:
            raise UnknownDelivery(f"there is no delivery {delivery_id}")
        return held

    def _now(self) -> float:
        self._check_open()
        return self._clock()

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("the queue is not open")

    def _wake(self, hook_ids: set[str]) -> None:
        for hook_id in sorted(hook_ids):
            for wake in self._listeners:
                wake(hook_id)


def _matches(where: DeliveryFilter, delivery: Delivery) -> bool:
    wanted = ((where.hook_id, delivery.hook_id), (where.state, delivery.state), (where.source, delivery.source))
    since = where.since is None or delivery.created_at >= where.since
    until = where.until is None or delivery.created_at < where.until
    prefix = delivery.event.id.startswith(where.event_prefix or "")
    return since and until and prefix and all(want is None or want == found for want, found in wanted)


def _is_asked_for(where: EventFilter, one: Accepted) -> bool:
    wanted = ((where.source, one.event.source), (where.event, one.event.event))
    since = where.since is None or one.accepted_at >= where.since
    until = where.until is None or one.accepted_at < where.until
    hook = where.hook_id is None or where.hook_id in one.fired or where.hook_id in one.held_back
    return since and until and hook and all(want is None or want == found for want, found in wanted)


def _size(attempt: Attempt) -> int:
    return len(attempt.body) + len(exchange_of(attempt) or b"")
