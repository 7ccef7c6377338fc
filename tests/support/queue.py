"""Values for tests of the queue: events, offers, attempts."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook, Origin
from kong_eventhooks_plugin.model.ids import delivery_id, event_id
from kong_eventhooks_plugin.model.scope import EventScope
from kong_eventhooks_plugin.queue.contract import (
    Candidate,
    EventFilter,
    HeldBack,
    Offer,
    Queue,
    QueueLimits,
    Room,
    Settlement,
    SettlementSource,
)
from tests.support.clock import START

SOURCE = "rate-limiting"
NAME = "rate-limit-exceeded"


class Settling(SettlementSource):
    """Settlements that can wait, and a future of their end."""

    def __init__(self, waiting: Callable[[], Sequence[Settlement]]) -> None:
        self._waiting = waiting
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def waiting(self) -> Sequence[Settlement]:
        return self._waiting()

    def settled(self, count: int) -> None:
        self.ended.set_result(count)

    def not_settled(self, error: Exception) -> None:
        self.ended.set_exception(error)


def settled_soon(
    queue: Queue, waiting: Callable[[], Sequence[Settlement]], *, prompt: bool = False
) -> "asyncio.Future[int]":
    """Have ``settle_soon`` settle what ``waiting`` returns; the future has how many."""
    source = Settling(waiting)
    queue.settle_soon(source, prompt=prompt)
    return source.ended


async def settle_from(source: SettlementSource, settle: Callable[[Sequence[Settlement]], Awaitable[None]]) -> None:
    """Settle as an engine does."""
    settlements = source.waiting()
    try:
        await settle(settlements)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the source's
        source.not_settled(error)
    else:
        source.settled(len(settlements))


class Shelf:
    """A delivering side with as much room as the test gives a hook; it keeps what it was given."""

    def __init__(self, **room: int) -> None:
        self.rooms = room
        self.given: list[tuple[str, list[Delivery], float]] = []

    def room(self, hook_id: str) -> Room:
        return Room(self.rooms.get(hook_id, 0), 60.0)

    def taken(self, hook_id: str, deliveries: Sequence[Delivery], until: float) -> None:
        self.given.append((hook_id, [*deliveries], until))

    def by_hook(self) -> dict[str, tuple[list[Delivery], float]]:
        return {hook_id: (deliveries, until) for hook_id, deliveries, until in self.given}


def event(key: object, name: str = NAME, **data: Any) -> Event:
    """An event that ``key`` tells apart."""
    return Event(
        id=event_id(START, SOURCE, str(key)),
        source=SOURCE,
        event=name,
        data={"key": str(key), **data},
        time=START - 0.5,
        scope=EventScope(service=("5e1d", "demo"), consumer=("c0de", "alice")),
        unique=("key",),
    )


def offer(key: object, *candidates: Candidate | str, name: str = NAME, **data: Any) -> Offer:
    """An offer of an event to hooks, each given whole or by its id; to the hook ``h`` where none is."""
    wanted = candidates or ("h",)
    hooks = tuple(Candidate(one, SOURCE) if isinstance(one, str) else one for one in wanted)
    return Offer(event(key, name, **data), hooks)


def id_of(key: object, hook: str = "h") -> str:
    """The id of the delivery of ``event(key)`` to a hook."""
    return delivery_id(event(key).id, hook)


def attempt(number: int, outcome: Any = "retry", **changes: Any) -> Attempt:
    """An attempt's record."""
    values: dict[str, Any] = {
        "number": number,
        "started_at": START + number,
        "seconds": 0.25,
        "outcome": outcome,
        "error": None if outcome == "delivered" else "status",
        "detail": None if outcome == "delivered" else "answered 503",
        "status": 200 if outcome == "delivered" else 503,
        "body": b"\xff\x00sorry",
    }
    return Attempt(**{**values, **changes})


def delivered(delivery: str, number: int = 1, **changes: Any) -> Settlement:
    """The end of a delivery that arrived."""
    return Settlement(delivery, "delivered", attempt(number, "delivered", **changes))


def postponed(delivery: str, due_at: float, number: int = 1, **changes: Any) -> Settlement:
    """The end of an attempt that is to be tried again."""
    return Settlement(delivery, "pending", attempt(number, **changes), due_at=due_at)


def dead(delivery: str, number: int = 1) -> Settlement:
    """The end of a delivery that can never arrive."""
    return Settlement(delivery, "dead", attempt(number, "discard"), reason="410 Gone")


async def deliver(queue: Queue, *keys: object, hook: str = "h") -> None:
    """Offer events to a hook, claim and deliver them."""
    for key in keys:
        await queue.offer(offer(key, hook))
        for claimed in await queue.claim(hook, 1, 60):
            await queue.settle([delivered(claimed.id, claimed.attempts + 1)])


async def held_back(queue: Queue) -> Counter[tuple[str, str, HeldBack]]:
    """How often each hook was held back on an event, and why."""
    counts: Counter[tuple[str, str, HeldBack]] = Counter()
    page = await queue.events(EventFilter(), 1_000)
    while True:
        for accepted in page.events:
            counts.update((hook_id, accepted.event.event, reason) for hook_id, reason in accepted.held_back.items())
        if page.next_offset is None:
            return counts
        page = await queue.events(EventFilter(), 1_000, page.next_offset)


def hook(name: str, **changes: Any) -> Hook:
    """A definition."""
    values: dict[str, Any] = {
        "id": f"id-{name}",
        "name": name,
        "source": SOURCE,
        "handler": "webhook",
        "config": {"url": "http://127.0.0.1/", "secret": "{vault://env/secret}", "headers": {"x-a": "b"}},
        "origin": Origin(place="file", key="kong.yml", path="kong.yml: plugins[0].config.hooks[0]"),
        "snooze": 60,
        "tags": ("a", "b"),
    }
    return Hook(**{**values, **changes})


SMALL = QueueLimits(deliveries=8, bytes=10_000, deliveries_per_hook=5, settled_seconds=100.0, settled_count=6)
