from pathlib import Path

import pytest

from kong_eventhooks_plugin.queue.sqlite import SqliteQueue, counters
from tests.support.queue import delivered, id_of, offer


async def test_a_lease_that_is_not_in_memory_any_more_is_looked_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "LEASES", 1)
    queue = SqliteQueue(path)
    await queue.open()
    try:
        for key in range(3):
            await queue.offer(offer(key))
        assert len(await queue.claim("h", 3, 60)) == 3
        await queue.settle([delivered(id_of(key)) for key in range(3)])
        assert (await queue.stats()).depth["delivered"] == 3
    finally:
        await queue.close()
