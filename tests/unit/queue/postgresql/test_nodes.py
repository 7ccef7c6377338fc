"""The table of nodes: heartbeats, who is gone, and what those had leased."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from msgspec.structs import replace

from kong_eventhooks_plugin.errors import StoreUnavailable
from kong_eventhooks_plugin.queue.nodes import RELEASING, REMEMBERED, Beat, Node
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.queue.postgresql.nodes import LONGEST_ID
from kong_eventhooks_plugin.queue.postgresql.status import read_status
from tests.support.clock import FakeClock
from tests.support.postgres_proxy import Proxy
from tests.support.queue import delivered, hook, id_of, offer
from tests.support.store_backup import StoreBackup
from tests.support.waiting import SECONDS

Nodes = Callable[..., Awaitable[PostgresQueue]]


def node(process: str, *hooks: str, **fields: Any) -> Node:
    return Node(
        process, **({"id": f"id of {process}", "name": "host", "version": "1"} | fields), hooks=frozenset(hooks)
    )


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
def start(stack: AsyncExitStack, postgres_store: str, clock: FakeClock) -> Nodes:
    """Opens the store as a process of that name."""

    async def start(process: str, url: str = postgres_store) -> PostgresQueue:
        queue = PostgresQueue(url, None, clock, database_time=False, process=process)
        await queue.open()
        stack.push_async_callback(queue.close)
        return queue

    return start


def states(beat: Beat) -> dict[str, str]:
    return {one.process: one.state for one in beat.nodes}


async def test_every_process_finds_what_each_says_of_itself(
    start: Nodes, clock: FakeClock, postgres_store: str
) -> None:
    one, other = await start("one"), await start("other")
    began = clock()
    await one.nodes.beat(node("one", "a", "b", kong="k"))
    clock.advance(1)
    found = await other.nodes.beat(node("other"))
    assert not found.lost
    assert sorted(found.nodes, key=lambda each: each.process) == [
        replace(node("one", "a", "b", kong="k"), started_at=began, seen_at=began),
        replace(node("other"), started_at=began + 1, seen_at=began + 1),
    ]
    clock.advance(1)
    await one.nodes.beat(node("one", "c"))
    (seen,) = [each for each in (await other.nodes.beat(node("other"))).nodes if each.process == "one"]
    assert (seen.hooks, seen.seen_at, seen.started_at) == (frozenset({"c"}), began + 2, began)
    assert [each.process for each in (await read_status(postgres_store)).nodes] == ["one", "other"]


async def test_other_processes_hear_of_changed_definitions(start: Nodes) -> None:
    one, other = await start("one"), await start("other")
    heard = asyncio.Event()
    other.nodes.on_definitions(heard.set)
    await other.nodes.beat(node("other"))
    await other.nodes.beat(node("other"))
    assert other.nodes.listens  # it has heard itself
    await one.store_definitions([hook("made")], [])
    async with asyncio.timeout(SECONDS):
        await heard.wait()
    heard.clear()
    await other.nodes.close()  # what changes from now on is not heard
    assert (heard.is_set(), other.nodes.listens) == (True, False)


async def test_a_process_is_gone_only_where_it_was_not_seen_since(start: Nodes, clock: FakeClock) -> None:
    one, other = await start("one"), await start("other")
    await one.nodes.beat(node("one"))
    (seen, _) = (await other.nodes.beat(node("other"))).nodes
    clock.advance(1)
    await one.nodes.beat(node("one"))
    assert not await other.nodes.set_gone(seen)
    (seen, _) = (await other.nodes.beat(node("other"))).nodes
    assert await other.nodes.set_gone(seen)
    assert not await other.nodes.set_gone(seen)
    assert states(await other.nodes.beat(node("other"))) == {"one": "gone", "other": "live"}
    back = await one.nodes.beat(node("one"))
    assert back.lost
    assert states(back) == {"one": "live", "other": "live"}
    assert not (await one.nodes.beat(node("one"))).lost


async def test_what_a_process_leased_that_is_gone_is_due_and_it_settles_nothing(start: Nodes, clock: FakeClock) -> None:
    gone, stays = await start("gone"), await start("stays")
    await gone.nodes.beat(node("gone"))
    found = await stays.nodes.beat(node("stays"))
    for key in range(4):
        await stays.offer(offer(key))
    assert len(await gone.claim("h", 2, 600)) == 2
    assert len(await stays.claim("h", 1, 600)) == 1
    assert await stays.nodes.release_leases() == []
    (theirs,) = [each for each in found.nodes if each.process == "gone"]
    await stays.nodes.set_gone(theirs)
    assert await stays.nodes.release_leases() == ["h"]
    assert await stays.nodes.release_leases() == []
    assert [each.id for each in await stays.claim("h", 9, 600)] == [id_of(0), id_of(1), id_of(3)]
    await gone.settle([delivered(id_of(0))])
    assert (await stays.get(id_of(0))).state == "leased"
    await stays.settle([delivered(id_of(0))])
    assert (await stays.get(id_of(0))).state == "delivered"
    assert await stays.attempts(id_of(0)) != []


async def test_who_is_gone_is_forgotten_after_an_hour(start: Nodes, clock: FakeClock) -> None:
    gone, stays = await start("gone"), await start("stays")
    await gone.nodes.beat(node("gone", "a"))
    await gone.nodes.beat(replace(node("gone", "a"), state="gone"))
    clock.advance(REMEMBERED - 1)
    assert states(await stays.nodes.beat(node("stays"))) == {"gone": "gone", "stays": "live"}
    clock.advance(1)
    await stays.nodes.beat(node("stays"))
    assert states(await stays.nodes.beat(node("stays"))) == {"stays": "live"}
    assert (await gone.nodes.beat(node("gone"))).lost


async def test_a_process_in_whose_place_is_another_is_forgotten_sooner(start: Nodes, clock: FakeClock) -> None:
    old, new = await start("old"), await start("new")
    await old.nodes.beat(replace(node("old", id="same"), state="gone"))
    clock.advance(RELEASING)
    await new.nodes.beat(node("new", id="same"))
    assert states(await new.nodes.beat(node("new", id="same"))) == {"new": "live"}


async def test_heartbeats_go_on_where_a_connection_was_cut(start: Nodes, proxy: Proxy) -> None:
    queue = await start("one", proxy.url)
    await queue.nodes.beat(node("one"))
    proxy.close_all()
    with pytest.raises(StoreUnavailable):
        await queue.nodes.beat(node("one"))
    assert states(await queue.nodes.beat(node("one"))) == {"one": "live"}
    await queue.close()
    with pytest.raises(StoreUnavailable):
        await queue.nodes.beat(node("one"))


class News:
    def __init__(self) -> None:
        self.work: list[str] = []
        self.changes = 0
        self._came = asyncio.Event()

    def has_work(self, hook_id: str) -> None:
        self.work.append(hook_id)
        self._came.set()

    def changed(self) -> None:
        self.changes += 1
        self._came.set()

    async def come(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self._came.wait()
        self._came.clear()


async def test_processes_tell_each_other_what_has_work_and_that_they_have_changed(start: Nodes) -> None:
    one, other = await start("one"), await start("other")
    news, own = News(), News()
    other.nodes.on_news(news.has_work, news.changed)
    one.nodes.on_news(own.has_work, own.changed)
    await other.nodes.beat(node("other"))
    await one.nodes.beat(node("one"))
    await news.come()
    assert (news.work, news.changes) == ([], 1)
    await one.nodes.beat(node("one"))
    for hook_id in ("b", "a", "a"):
        one.nodes.wake(hook_id, None)
    await news.come()
    assert (news.work, news.changes) == (["a", "b"], 1), "in one notification; a heartbeat alone is no news"
    assert (own.work, own.changes) == ([], 0)
    one.nodes.wake("x" * (LONGEST_ID + 1), None)
    one.nodes.wake("c", None)
    await news.come()
    assert news.work == ["a", "b", "c"]


async def test_who_delivers_a_hook_alone_is_told_of_its_work(start: Nodes) -> None:
    rows = [node("one"), node("owner"), node("third"), node("before", version="0")]
    queues = {row.process: await start(row.process) for row in rows}
    news = {process: News() for process in queues}
    for row in rows:
        queues[row.process].nodes.on_news(news[row.process].has_work, news[row.process].changed)
        await queues[row.process].nodes.beat(row)
    wake = queues["one"].nodes.wake
    for hook_id, owner in (("a", rows[1]), ("b", rows[1]), ("c", rows[3])):
        wake(hook_id, owner)
    for process, count in (("owner", 3), ("third", 1), ("before", 1)):
        while len(news[process].work) < count:
            await news[process].come()
    # One that may be of before its own channel is told with all others.
    heard = {process: each.work for process, each in news.items()}
    assert heard == {"one": [], "owner": ["a", "b", "c"], "third": ["c"], "before": ["c"]}


async def test_a_store_that_went_back_learns_anew_what_a_process_declares(
    start: Nodes, proxy: Proxy, postgres_store: str
) -> None:
    one, other = await start("one", proxy.url), await start("other")
    await one.nodes.beat(node("one", "a"))
    with StoreBackup(postgres_store) as backup:
        await one.nodes.beat(node("one", "a", "b"))
        backup.restore()
    proxy.close_all()
    with contextlib.suppress(StoreUnavailable):  # it may have to notice first that its connection is closed
        await one.nodes.beat(node("one", "a", "b"))
    await one.nodes.beat(node("one", "a", "b"))
    found = await other.nodes.beat(node("other"))
    assert next(each.hooks for each in found.nodes if each.process == "one") == {"a", "b"}
