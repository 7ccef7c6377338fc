"""The suite runs once for each engine of ``tests.support.queue_engines``; ``durable``: those that outlive a queue."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kong_eventhooks_plugin.queue.contract import Queue
from tests.support.clock import FakeClock
from tests.support.queue_engines import DURABLE, ENGINES, Store


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=list(ENGINES))
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = Store(ENGINES[request.param](request, tmp_path), clock)
    yield opened
    await opened.close()


@pytest.fixture(params=DURABLE)
async def durable(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = Store(ENGINES[request.param](request, tmp_path), clock)
    yield opened
    await opened.close()


@pytest.fixture
async def queue(store: Store) -> Queue:
    return await store.open()
