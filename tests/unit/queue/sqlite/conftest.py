from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from tests.support.clock import FakeClock

Opener = Callable[..., Awaitable[SqliteQueue]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
async def opened(path: Path, clock: FakeClock) -> AsyncIterator[Opener]:
    """Opens queues over the file; closes them in the end."""
    queues: list[SqliteQueue] = []

    async def open_one(**options: Any) -> SqliteQueue:
        queue = SqliteQueue(options.pop("path", path), clock=clock, **options)
        await queue.open()
        queues.append(queue)
        return queue

    yield open_one
    for queue in queues:
        await queue.close()


@pytest.fixture
async def queue(opened: Opener) -> SqliteQueue:
    return await opened()
