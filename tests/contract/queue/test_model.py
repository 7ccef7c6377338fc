"""Any sequence of operations does to an engine what it does to the queue in memory."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.delivery import Delivery
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue import retention
from kong_eventhooks_plugin.queue.contract import Candidate, DeliveryFilter, Offer, Queue, QueueLimits, Settlement
from tests.support.clock import FakeClock
from tests.support.memory_queue import MemoryQueue
from tests.support.queue import SOURCE, Shelf, attempt, event, held_back, hook, id_of
from tests.support.queue_engines import DURABLE, ENGINES, Maker

# Not filter_states: an engine may take several offers before it forgets a state.
LIMITS = QueueLimits(
    deliveries=12, bytes=400, deliveries_per_hook=6, settled_seconds=100.0, settled_count=4, answer_bytes=60
)  # fmt: skip

keys = st.integers(0, 15)
hooks = st.sampled_from(["a", "b", "c"])
rules = st.one_of(
    st.none(),
    st.builds(SuppressionRule, on_change=st.just(True), snooze=st.none()),
    st.builds(SuppressionRule, on_change=st.booleans(), snooze=st.sampled_from([10, 60])),
)
candidates = st.builds(
    Candidate,
    hook_id=hooks,
    source=st.sampled_from([SOURCE, "other"]),
    rule=rules,
    digest=st.sampled_from([b"", b"1", b"2", b"3"]),
    refused=st.sampled_from([None, None, None, None, "disabled", "filter", "filter_error"]),
)
offers = st.builds(
    lambda key, candidates, data: Offer(event(key, **data), tuple(candidates)),
    keys,
    st.lists(candidates, max_size=3, unique_by=lambda candidate: candidate.hook_id),
    st.dictionaries(st.sampled_from("xyz"), st.integers() | st.text(st.characters(codec="utf-8"), max_size=20)),
)
endings = st.tuples(st.sampled_from(["pending", "delivered", "dead"]), st.booleans(), st.sampled_from([-1, 0, 0, 0, 1]))
filters = st.builds(
    DeliveryFilter,
    hook_id=st.none() | hooks,
    state=st.sampled_from([None, "pending", "leased", "delivered", "dead"]),
    source=st.sampled_from([None, SOURCE]),
)


async def result_of(call: Awaitable[Any]) -> Any:
    """What a call answers, or the name of its error."""
    try:
        return await call
    except QueueError as error:
        return type(error).__name__


def ordered(deliveries: Iterable[Delivery]) -> list[Delivery]:
    """Return deliveries with those of one event by hook: their order is an engine's own."""
    by_event = groupby(deliveries, key=lambda one: one.event.id)
    return [one for _, group in by_event for one in sorted(group, key=lambda one: one.hook_id)]


class Twins(RuleBasedStateMachine):
    """Does the same to both, and compares what they answer and what can be seen of them."""

    make: ClassVar[Callable[[Path], Maker]]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.queues: list[Queue] = [
            MemoryQueue(LIMITS, self.clock),
            type(self).make(Path(self.folder.name))(LIMITS, self.clock),
        ]
        self.woken: list[set[str]] = [set(), set()]
        self.shelves = [Shelf(), Shelf()]
        for queue, woken in zip(self.queues, self.woken, strict=True):
            self.runner.run(queue.open())
            queue.on_work(woken.add)
        for queue, shelf in zip(self.queues, self.shelves, strict=True):
            queue.lease_to(shelf)

    def teardown(self) -> None:
        for queue in self.queues:
            self.runner.run(queue.close())
        self.runner.close()
        self.folder.cleanup()

    def both(self, call: Callable[[Queue], Awaitable[Any]]) -> Any:
        model, engine = self.each(lambda queue, _: call(queue), [None, None])
        assert engine == model
        return model

    def page(self, where: DeliveryFilter) -> list[Delivery]:
        model, engine = self.each(lambda queue, _: queue.page(where, 1_000), [None, None])
        assert ordered(engine.deliveries) == ordered(model.deliveries)
        return ordered(model.deliveries)

    def each(self, call: Callable[[Queue, Any], Awaitable[Any]], given: list[Any]) -> list[Any]:
        async def run() -> list[Any]:
            return [await result_of(call(queue, one)) for queue, one in zip(self.queues, given, strict=True)]

        return self.runner.run(run())

    @rule(offers=st.lists(offers, min_size=1, max_size=4))
    def offer(self, offers: list[Offer]) -> None:
        async def take(queue: Queue) -> list[Any]:
            return await asyncio.gather(*(queue.offer(one) for one in offers))

        self.both(take)

    @rule(room=st.dictionaries(hooks, st.integers(-1, 3)))
    def have_room(self, room: dict[str, int]) -> None:
        for shelf in self.shelves:
            shelf.rooms = room

    @rule(hook_id=hooks, limit=st.integers(0, 4), seconds=st.sampled_from([5, 50]))
    def claim(self, hook_id: str, limit: int, seconds: float) -> None:
        self.both(lambda queue: queue.claim(hook_id, limit, seconds))

    @rule(hook_id=hooks, seconds=st.sampled_from([5, 50]))
    def claim_first(self, hook_id: str, seconds: float) -> None:
        self.both(lambda queue: queue.claim_first(hook_id, seconds))

    @rule(ending=endings, which=st.lists(st.integers(0, 5), min_size=1, max_size=3), later=st.sampled_from([0, 30]))
    def settle(self, ending: tuple[Any, bool, int], which: list[int], later: float) -> None:
        leased = self.page(DeliveryFilter(state="leased"))
        self.end([leased[at % len(leased)] for at in which if leased], *ending, later)

    @rule(ending=endings, key=keys, hook_id=hooks)
    def settle_any(self, ending: tuple[Any, bool, int], key: int, hook_id: str) -> None:
        found = self.both(lambda queue: queue.get(id_of(key, hook_id)))
        if not isinstance(found, str):
            self.end([found], *ending, 0)

    def end(self, deliveries: list[Delivery], state: Any, tried: bool, off: int, later: float) -> None:
        settlements = [
            Settlement(
                delivery.id,
                state,
                attempt(delivery.attempts + 1 + off) if tried else None,
                # What was not tried keeps its time: the worker sends nothing without recording it.
                due_at=self.clock.now + (later if tried else 0),
                reason="why",
            )
            for delivery in deliveries
        ]
        self.both(lambda queue: queue.settle(settlements))

    @rule(key=keys, hook_id=hooks)
    def replay(self, key: int, hook_id: str) -> None:
        self.both(lambda queue: queue.replay(id_of(key, hook_id)))

    @rule(hook_id=hooks)
    def fail(self, hook_id: str) -> None:
        self.both(lambda queue: queue.fail_pending(hook_id, "gone"))

    @rule(seconds=st.sampled_from([0.5, 5, 10, 60, 100]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.both(lambda queue: queue.sweep())

    @rule(holder=st.sampled_from(["me", "you"]), resigns=st.booleans())
    def lead(self, holder: str, resigns: bool) -> None:
        self.both(lambda queue: queue.resign(holder) if resigns else queue.lead(holder, 10))

    @rule(names=st.lists(st.sampled_from("xyz"), max_size=2), gone=st.lists(st.sampled_from("xyz"), max_size=2))
    def define(self, names: list[str], gone: list[str]) -> None:
        removed = [hook(name).id for name in gone]
        self.both(lambda queue: queue.store_definitions([hook(name) for name in names], removed))

    @rule(where=filters, size=st.integers(1, 5))
    def look(self, where: DeliveryFilter, size: int) -> None:
        # An offset is its engine's own, as are the numbers in it: pages are compared without, and followed by each.
        offsets: list[str | None] = [None, None]
        found: list[list[Delivery]] = [[], []]
        while True:
            pages = self.each(lambda queue, at: queue.page(where, size, at), offsets)
            for deliveries, page in zip(found, pages, strict=True):
                deliveries += page.deliveries
            assert len(found[1]) == len(found[0])
            offsets = [page.next_offset for page in pages]
            assert (offsets[0] is None) == (offsets[1] is None)
            if offsets[0] is None:
                assert ordered(found[1]) == ordered(found[0])
                return

    @invariant()
    def nothing_tells_them_apart(self) -> None:
        for delivery in self.page(DeliveryFilter()):
            self.both(lambda queue, name=delivery.id: queue.get(name))
            self.both(lambda queue, name=delivery.id: queue.attempts(name))
        self.both(lambda queue: queue.stats())
        self.both(lambda queue: queue.work())
        self.both(held_back)
        self.both(lambda queue: queue.definitions())
        assert self.woken[0] == self.woken[1]
        assert self.shelves[0].by_hook() == self.shelves[1].by_hook()
        for shelf in self.shelves:
            shelf.given.clear()
        for woken in self.woken:
            woken.clear()


SLOWER = {"postgresql": 6}
"""Every call is a conversation with the server, and each step makes some dozens of them."""


@pytest.mark.hypothesis
@pytest.mark.parametrize("engine", DURABLE)
def test_an_engine_does_what_the_model_does(
    engine: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FORGET_SECONDS", 0.0)

    def make(folder: Path) -> Maker:
        if engine == "postgresql":
            request.getfixturevalue("postgres_database").empty()
        return ENGINES[engine](request, folder)

    machine = type("Twins", (Twins,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=settings().max_examples // SLOWER.get(engine, 2),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
