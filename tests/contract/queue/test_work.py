"""Who has work, and who is results of it."""

import asyncio

from kong_eventhooks_plugin.queue.contract import Candidate, Queue, Settlement, Work
from tests.support.clock import START, FakeClock
from tests.support.queue import SOURCE, deliver, delivered, id_of, offer, postponed


class Woken:
    """Which hooks were results of since last asked."""

    def __init__(self, queue: Queue) -> None:
        self._hooks: set[str] = set()
        queue.on_work(self._hooks.add)

    def __call__(self) -> set[str]:
        hooks = set(self._hooks)
        self._hooks.clear()
        return hooks


async def test_every_hook_with_its_first_due(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1, "a", "b"))
    clock.advance(1)
    await queue.offer(offer(2, "b", "c"))
    assert await queue.work() == [Work("a", START), Work("b", START), Work("c", START + 1)]
    (claimed,) = await queue.claim("b", 1, 60)
    assert await queue.work() == [Work("a", START), Work("b", START + 1), Work("c", START + 1)]
    await queue.settle([postponed(claimed.id, START + 100)])
    (claimed,) = await queue.claim("b", 1, 60)
    assert await queue.work() == [Work("a", START), Work("c", START + 1), Work("b", START + 100)]


async def test_leases_that_ran_out_are_work(queue: Queue, clock: FakeClock) -> None:
    await queue.offer(offer(1))
    await queue.claim("h", 1, 60)
    assert await queue.work() == []
    clock.advance(60)
    assert await queue.work() == [Work("h", START)]


async def test_the_settled_are_no_work(queue: Queue) -> None:
    await deliver(queue, 1)
    assert await queue.work() == []


async def test_who_is_woken(queue: Queue) -> None:
    woken = Woken(queue)
    await queue.offer(offer(1, "a", "b", Candidate("c", SOURCE, refused="disabled")))
    assert woken() == {"a", "b"}
    await queue.offer(offer(1, "a", "b"))
    assert woken() == set()
    await queue.claim("a", 1, 60)
    assert woken() == set()
    await queue.settle([postponed(id_of(1, "a"), START)])
    assert woken() == {"a"}
    await queue.claim("a", 1, 60)
    await queue.settle([Settlement(id_of(1, "a"), "pending", None)])
    assert woken() == {"a"}
    await queue.claim("a", 1, 60)
    await queue.settle([delivered(id_of(1, "a"), 2)])
    assert woken() == set()
    await queue.replay(id_of(1, "a"))
    assert woken() == {"a"}
    await queue.fail_pending("a", "gone")
    assert woken() == set()


async def test_everybody_who_asked_is_told(queue: Queue) -> None:
    first, second = Woken(queue), Woken(queue)
    await queue.offer(offer(1))
    assert (first(), second()) == ({"h"}, {"h"})


async def test_work_is_there_when_its_hook_is_woken(queue: Queue) -> None:
    claims: list[asyncio.Task[object]] = []
    queue.on_work(lambda hook: claims.append(asyncio.ensure_future(queue.claim(hook, 10, 60))))
    await queue.offer(offer(1, "a", "b"))
    found = await asyncio.gather(*claims)
    assert sorted(len(claimed) for claimed in found) == [1, 1]
