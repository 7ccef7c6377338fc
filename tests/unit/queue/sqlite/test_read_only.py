"""Looking into the store of a running process, as the command line does."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.contract import DeliveryFilter, EndpointHealth, Offer
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from tests.support.queue import event, hook, id_of, offer


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


async def test_it_sees_what_the_running_process_writes(
    queue: SqliteQueue, opened: Callable[..., Awaitable[SqliteQueue]]
) -> None:
    await queue.offer(offer(1))
    looking = await opened(read_only=True)
    assert (await looking.get(id_of(1))).event == event(1)
    await queue.store_definitions([hook("one")], [])
    assert await looking.definitions() == [hook("one")]
    await queue.claim("h", 1, 60)
    assert (await looking.page(DeliveryFilter(), 10)).deliveries[0].state == "leased"
    assert (await looking.stats()).depth["leased"] == 1
    await queue.offer(offer(2))
    assert (await queue.stats()).depth["pending"] == 1


async def test_it_reads_a_store_that_nobody_has_open(path: Path) -> None:
    queue = SqliteQueue(path)
    await queue.open()
    await queue.offer(offer(1))
    await queue.close()
    looking = SqliteQueue(path, read_only=True)
    await looking.open()
    assert (await looking.get(id_of(1))).state == "pending"
    await looking.close()


WRITES: list[Callable[[SqliteQueue], Awaitable[object]]] = [
    lambda queue: queue.claim("h", 1, 60),
    lambda queue: queue.settle([]),
    lambda queue: queue.replay(id_of(1)),
    lambda queue: queue.fail_pending("h", "no"),
    lambda queue: queue.sweep(),
    lambda queue: queue.lead("me", 10),
    lambda queue: queue.resign("me"),
    lambda queue: queue.store_definitions([], []),
    lambda queue: queue.save_endpoint(EndpointHealth("h")),
]


@pytest.mark.parametrize("write", WRITES)
async def test_it_writes_nothing(
    queue: SqliteQueue,
    opened: Callable[..., Awaitable[SqliteQueue]],
    write: Callable[[SqliteQueue], Awaitable[object]],
) -> None:
    looking = await opened(read_only=True)
    with pytest.raises(StoreUnavailable, match="is open read-only"):
        await write(looking)


async def test_it_takes_no_offer(queue: SqliteQueue, opened: Callable[..., Awaitable[SqliteQueue]]) -> None:
    looking = await opened(read_only=True)
    with pytest.raises(StoreUnavailable, match="is open read-only"):
        looking.offer(Offer(event(1), ()))


async def test_a_file_that_is_not_there_is_not_made(path: Path) -> None:
    looking = SqliteQueue(path, read_only=True)
    with pytest.raises(StoreUnavailable, match="there is no such file"):
        await looking.open()
    with pytest.raises(StoreUnavailable, match="is not open"):
        await looking.stats()
    await looking.close()
    assert names(path.parent) == []
