import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import structlog

from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.delivery.settler import Settler
from kong_eventhooks_plugin.errors import QueueError, StoreUnavailable
from kong_eventhooks_plugin.queue.contract import EndpointHealth, Settlement, SettlementSource
from tests.support.delivery_time import FakeTime
from tests.support.queue import settle_from


class Store:
    """Takes settlements; ``poison`` trips it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.health: list[EndpointHealth] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.poison: dict[str, Exception] = {}
        self.closed = False

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        await self.gate.wait()
        for settlement in settlements:
            if settlement.delivery_id in self.poison:
                raise self.poison[settlement.delivery_id]
        self.batches.append([settlement.delivery_id for settlement in settlements])

    def settle_soon(self, source: SettlementSource, *, prompt: bool) -> None:
        if self.closed:
            raise StoreUnavailable("closed")
        self._settling = asyncio.ensure_future(settle_from(source, self.settle))

    async def save_endpoint(self, health: EndpointHealth) -> None:
        self.health.append(health)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def settler(store: Store, time: FakeTime) -> AsyncIterator[Settler]:
    limits = DeliveryLimits(settle_batch=3, unsettled=5)
    one = Settler(store, limits, time, time.wait, on_flush=lambda: None)
    writing = asyncio.create_task(one.write())
    yield one
    writing.cancel()
    await asyncio.wait([writing])


def settlement(name: str) -> Settlement:
    return Settlement(name, "delivered", None)


async def test_what_gathers_is_written_in_batches(settler: Settler, store: Store, time: FakeTime) -> None:
    for name in "abcdefg":
        settler.settle(settlement(name))
    assert settler.full
    assert await settler.flush(time() + 1)
    assert store.batches == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    assert not settler.full
    assert not settler.busy


async def test_while_one_batch_is_committed_the_next_gathers(settler: Settler, store: Store, time: FakeTime) -> None:
    store.gate.clear()
    settler.settle(settlement("a"))
    await asyncio.sleep(0)
    settler.settle(settlement("b"))
    settler.settle(settlement("c"))
    store.gate.set()
    assert await settler.flush(time() + 1)
    assert store.batches == [["a"], ["b", "c"]]


@pytest.mark.parametrize("fault", [KeyError("b"), QueueError("the store cannot keep this")])
async def test_one_that_trips_the_engine_does_not_stop_the_others(
    settler: Settler, store: Store, time: FakeTime, fault: Exception
) -> None:
    store.poison["b"] = fault
    with structlog.testing.capture_logs() as logs:
        for name in "abc":
            settler.settle(settlement(name))
        assert await settler.flush(time() + 1)
    assert store.batches == [["a"], ["c"]]
    assert [each["delivery_id"] for each in logs if "dropped" in each["event"]] == ["b"]


async def test_a_store_that_is_away_is_asked_again(settler: Settler, store: Store, time: FakeTime) -> None:
    store.poison["a"] = StoreUnavailable("away")
    settler.settle(settlement("a"))
    settler.save_health(EndpointHealth("h", 1.0))
    settler.save_health(EndpointHealth("h", 2.0))
    for _ in range(5):
        await asyncio.sleep(0)
    assert (store.batches, settler.busy) == ([], True)
    store.poison.clear()
    time.advance(1)
    assert await settler.flush(time() + 5)
    assert (store.batches, store.health) == ([["a"]], [EndpointHealth("h", 2.0)])


async def test_a_store_that_takes_nothing_is_asked_again(settler: Settler, store: Store, time: FakeTime) -> None:
    store.closed = True
    settler.settle(settlement("a"))
    for _ in range(5):
        await asyncio.sleep(0)
    store.closed = False
    settler.settle(settlement("b"))
    time.advance(1)
    assert await settler.flush(time() + 5)
    assert store.batches == [["a", "b"]]


async def test_waiting_for_it_has_an_end(settler: Settler, store: Store, time: FakeTime) -> None:
    store.gate.clear()
    settler.settle(settlement("a"))
    waiting = asyncio.create_task(settler.flush(time() + 1))
    await asyncio.sleep(0)
    time.advance(1)
    assert not await waiting
