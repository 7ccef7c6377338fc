"""One transaction at a time; what comes while it commits is the next one."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from kong_eventhooks_plugin.queue import accepting, patience, store_status
from kong_eventhooks_plugin.queue.contract import Receipt
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue, group_commit
from kong_eventhooks_plugin.queue.sqlite.group_commit import GroupCommit
from tests.support.queue import delivered, id_of, offer, settled_soon
from tests.unit.queue.sqlite.test_lock import rounds


class SlowDisk:
    """Stands before the COMMIT: counts them, and holds them up while it is stalled."""

    def __init__(self, commit: Callable[[], None]) -> None:
        self._commit = commit
        self._runs = threading.Event()
        self._runs.set()
        self.commits = 0

    def __call__(self) -> None:
        assert self._runs.wait(30)
        self._commit()
        self.commits += 1

    def stall(self) -> None:
        self._runs.clear()

    def go_on(self) -> None:
        self._runs.set()


@pytest.fixture
def disk(queue: SqliteQueue) -> SlowDisk:
    assert isinstance(queue._group_commit, GroupCommit)
    slow = SlowDisk(queue._group_commit._commit)
    queue._group_commit._commit = slow  # type: ignore[method-assign]
    return slow


def small_batches(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for module in (group_commit, accepting):
        monkeypatch.setattr(module, "BATCH", size)


async def test_offers_of_one_round_share_a_commit(queue: SqliteQueue, disk: SlowDisk) -> None:
    await asyncio.gather(*(queue.offer(offer(key)) for key in range(100)))
    assert disk.commits == 1


async def test_offers_that_match_many_hooks_are_several_transactions(
    queue: SqliteQueue, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand hooks that all match would stop the loop for seconds."""
    monkeypatch.setattr(accepting, "BATCH_DELIVERIES", 3)
    await asyncio.gather(*(queue.offer(offer(key, "h", "i")) for key in range(5)))
    assert disk.commits == 3


async def test_a_settlement_that_can_wait_shares_the_next_commit(
    queue: SqliteQueue, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SETTLED_WITHIN", 60.0)
    await queue.offer(offer("before"))
    await queue.claim("h", 1, 60)
    disk.commits = 0
    waiting = []
    settling = settled_soon(queue, lambda: waiting)
    await rounds()
    assert disk.commits == 0
    waiting.append(delivered(id_of("before")))
    await queue.offer(offer("next"))
    assert (await settling, disk.commits) == (1, 1)
    settling = settled_soon(queue, list)
    await rounds()
    await queue.close()
    assert await settling == 0, "closing waits for it, and it for nothing"


async def test_counters_that_end_as_they_were_are_not_written(
    queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SETTLED_WITHIN", 60.0)
    assert queue._group_commit is not None
    statements: list[str] = []
    await queue.offer(offer("a"))
    await queue.claim("h", 1, 60)
    queue._group_commit._connection.set_trace_callback(statements.append)
    settling = settled_soon(queue, lambda: [delivered(id_of("a"))])
    await rounds()
    await queue.offer(offer("b"))
    assert await settling == 1
    assert not [one for one in statements if one.startswith("UPDATE hooks")], "one came, one of its size ended"
    await queue.offer(offer("c"))
    assert [one for one in statements if one.startswith("UPDATE hooks")]
    stats = await queue.stats()
    assert (stats.per_hook, stats.depth["delivered"]) == ({"h": 2}, 1)


async def test_what_comes_meanwhile_shares_the_next(queue: SqliteQueue, disk: SlowDisk) -> None:
    await queue.offer(offer("before"))
    disk.stall()
    first = queue.offer(offer("first"))
    await rounds()
    later = []
    for key in range(100):
        later.append(queue.offer(offer(key)))
        await rounds(1)
    claim = asyncio.ensure_future(queue.claim("h", 1, 60))
    await rounds()
    assert not first.done()
    assert not any(future.done() for future in later)
    disk.go_on()
    await asyncio.gather(first, *later)
    assert [one.id for one in await claim] == [id_of("before")]
    assert disk.commits == 3


async def test_a_disk_that_does_not_answer_is_told(
    queue: SqliteQueue, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_status, "STALLED_SECONDS", 1e9)
    disk.stall()
    waiting = queue.offer(offer(1))
    await rounds()
    assert queue.error() is None, "not at once"
    monkeypatch.setattr(store_status, "STALLED_SECONDS", 0.0)
    assert "has been writing" in (queue.error() or "")
    disk.go_on()
    await waiting
    await rounds(2)
    assert queue.error() is None


async def test_nobody_is_told_before_the_commit(queue: SqliteQueue, disk: SlowDisk) -> None:
    woken: list[str] = []
    queue.on_work(woken.append)
    disk.stall()
    waiting = queue.offer(offer(1))
    await rounds()
    assert not waiting.done()
    assert woken == []
    assert await queue.work() == []
    disk.go_on()
    await waiting
    assert woken == ["h"]


async def test_a_sweep_does_not_hold_up_offers(queue: SqliteQueue, disk: SlowDisk) -> None:
    for key in range(3):
        await asyncio.gather(*(queue.offer(offer(f"{key} {number}")) for number in range(500)))
    await queue.settle([delivered(one.id) for one in await queue.claim("h", 2_000, 60)])
    queue._clock.advance(1e7)  # type: ignore[attr-defined]
    sweep = asyncio.ensure_future(queue.sweep())
    turns = 0
    while not sweep.done():
        await queue.offer(offer(f"during {turns}"))
        turns += 1
    assert await sweep == 3_000
    assert turns >= 6  # three chunks of deliveries and three of events: an offer came between any two


async def test_very_many_waiting_are_taken_in_turns(queue: SqliteQueue, disk: SlowDisk) -> None:
    await asyncio.gather(*(queue.offer(offer(key)) for key in range(600)))
    assert disk.commits == 3


async def waiting_offers(queue: SqliteQueue, disk: SlowDisk, count: int) -> list[asyncio.Future[Receipt]]:
    """Offer so many while one is being committed; the disk is stalled then."""
    disk.stall()
    queue.offer(offer("being committed"))
    await rounds()
    return [queue.offer(offer(key)) for key in range(count)]


async def test_accepting_comes_before_delivering(
    queue: SqliteQueue, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_batches(monkeypatch, 2)
    monkeypatch.setattr(group_commit, "YIELDS", 3)
    await queue.offer(offer("old"))
    (old,) = await queue.claim("h", 1, 60)
    offers = await waiting_offers(queue, disk, 20)
    settled = asyncio.ensure_future(queue.settle([delivered(old.id)]))
    claimed = asyncio.ensure_future(queue.claim("h", 100, 60))
    lead = asyncio.ensure_future(queue.lead("me", 10))
    await rounds()
    disk.go_on()
    await lead
    assert sum(future.done() for future in offers) == 2, "a lease is renewed whatever waits"
    assert not settled.done()
    ended: list[int] = []
    for waiting in (settled, claimed):
        waiting.add_done_callback(lambda _: ended.append(sum(future.done() for future in offers)))
    await asyncio.gather(*offers, settled, claimed)
    assert ended == [8, 8], "three transactions of offers alone, then one that delivery shares"
    assert len(await queue.claim("h", 100, 60)) > 0, "it catches up"


async def test_a_heavy_operation_waits_for_as_long(
    queue: SqliteQueue, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_batches(monkeypatch, 2)
    monkeypatch.setattr(group_commit, "YIELDS", 3)
    offers = await waiting_offers(queue, disk, 20)
    heavy = queue._writer().submit(lambda _: None, heavy=True)
    disk.go_on()
    await heavy
    assert sum(future.done() for future in offers) == 6
    await asyncio.gather(*offers)


async def test_delivering_goes_on_while_one_transaction_takes_what_waits(
    queue: SqliteQueue, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_batches(monkeypatch, 4)
    await queue.offer(offer("old"))
    offers = await waiting_offers(queue, disk, 4)
    claimed = asyncio.ensure_future(queue.claim("h", 1, 60))
    await rounds()
    commits = disk.commits
    disk.go_on()
    assert [one.id for one in await claimed] == [id_of("old")]
    assert disk.commits == commits + 2  # the one that was under way, and the one with both
    assert all(future.done() for future in offers)
