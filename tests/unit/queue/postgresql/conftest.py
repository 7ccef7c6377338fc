import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from tests.support.clock import FakeClock
from tests.support.postgres_proxy import Proxy

Opener = Callable[..., AbstractAsyncContextManager[PostgresQueue]]


@pytest.fixture
def opened(postgres_store: str, clock: FakeClock) -> Opener:
    """Opens queues over one store: ``async with opened() as queue``."""

    @asynccontextmanager
    async def opened(
        url: str = postgres_store, limits: QueueLimits | None = None, process: str | None = None
    ) -> AsyncIterator[PostgresQueue]:
        queue = PostgresQueue(url, limits, clock, database_time=False, process=process)
        await queue.open()
        try:
            yield queue
        finally:
            await queue.close()

    return opened


@pytest.fixture
async def proxy(postgres_store: str) -> AsyncIterator[Proxy]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="pgx-")))
        async with Proxy(postgres_store, folder) as made:
            yield made
