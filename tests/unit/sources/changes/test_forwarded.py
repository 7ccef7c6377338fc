"""What the Admin API's route shows to a node without an Admin API is named by one that has it, and is one event."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from kong_eventhooks_plugin.errors import AdminApiError
from kong_eventhooks_plugin.model.observation import ChangeObservation
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.sources.changes import forwarded as forwarded_module
from kong_eventhooks_plugin.sources.changes import forwarder as forwarder_module
from kong_eventhooks_plugin.sources.changes.forwarded import ForwardedChanges
from kong_eventhooks_plugin.sources.changes.forwarder import ChangeForwarder
from kong_eventhooks_plugin.sources.changes.mirror import mirror as mirror_module
from kong_eventhooks_plugin.sources.pollers.lease_holders import LeaseHolders
from kong_eventhooks_plugin.telemetry.metrics import Counts
from tests.support.admin_node import AdminNode
from tests.support.crud_world import CrudWorld, shown
from tests.support.http import http_client
from tests.support.store_backup import StoreBackup
from tests.support.waiting import SECONDS

WHO = {"consumer": {"id": "c", "username": "ada", "custom_id": None}, "credential": "k", "ip": "10.0.0.1"}
SECRET = "s3cret-key-of-hers"


class Sender:
    """A node without an Admin API, with the route; the Admin API stands for Kong's, which the route leads to."""

    def __init__(self, kong: AdminNode, queue: PostgresQueue) -> None:
        self.counts = Counts()
        self.holders = LeaseHolders(queue.polling)
        self.subscribed = True
        self.forwarder = ChangeForwarder(queue.polling, self.holders, lambda: self.subscribed, self.counts, pause=0.005)
        self._kong = kong
        self._number = 0

    async def route(self, method: str, path: str, at: float | None = None, **fields: Any) -> ChangeObservation | None:
        """Send a request through the route; return what the response phase hands over."""
        at = at or time.time()
        async with http_client(self._kong.url) as http:
            answer = await http.request(method, path, json=fields or None)
        assert answer.status_code // 100 == 2, answer.text
        target = self.forwarder.change_target(method, path)
        if not self.forwarder.has_change_subscribers or target is None:
            return None
        self._number += 1
        body = answer.content if target.wants_answer else None
        seen = ChangeObservation(
            method, path, answer.status_code, body, at, time.time(), request_id=f"r{self._number}", target=target, **WHO
        )
        self.forwarder.observe_change(seen)
        return seen

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Sender"]:
        await self.holders.follow()
        task = asyncio.create_task(self.forwarder.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def sent(self) -> None:
        async with asyncio.timeout(SECONDS):
            await self.forwarder._observations.empty()


class Taker:
    """A node with an Admin API, which has the lease while ``lease`` says so."""

    def __init__(self, queue: PostgresQueue, world: CrudWorld) -> None:
        self.polling, self.world = queue.polling, world
        self.term = 0
        self.forwarded = ForwardedChanges(
            queue.polling, lambda: self.term, world.client, world.schema_cache, world.observer
        )

    async def lead(self) -> None:
        self.term = (await self.polling.acquire(["crud"], "taker", "node-b"))["crud"]
        await self.forwarded.take()

    async def take(self) -> list[str]:
        """Take what waits; return all events so far, with who made each."""
        await self.forwarded.take()
        found = await self.world.stored()
        return [f"{shown(event)} by {_actor(event)}" for event in found if event.source == "dao:crud"]


def _actor(event: Any) -> str | None:
    actor = event.data["actor"]
    return None if actor is None else actor["consumer"]["username"]


class Ahead:
    """Kong's clock, so many seconds ahead."""

    seconds = 0

    def __call__(self) -> float:
        return time.time() + self.seconds


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture
async def kong(clock: Ahead) -> AsyncIterator[AdminNode]:
    async with AdminNode(clock=clock) as node:
        yield node


@pytest.fixture
async def queues(postgres_store: str) -> AsyncIterator[list[PostgresQueue]]:
    async with AsyncExitStack() as stack:
        made = [PostgresQueue(postgres_store, process=name) for name in ("sender", "taker", "other")]
        for queue in made:
            await queue.open()
            stack.push_async_callback(queue.close)
        yield made


@pytest.fixture
async def world(kong: AdminNode, tmp_path: Path) -> AsyncIterator[CrudWorld]:
    async with CrudWorld(tmp_path, kong) as world:
        await world.reconcile()
        yield world


@pytest.fixture
async def taker(queues: list[PostgresQueue], world: CrudWorld) -> Taker:
    taker = Taker(queues[1], world)
    await taker.lead()
    return taker


@pytest.fixture
async def sender(kong: AdminNode, queues: list[PostgresQueue], taker: Taker) -> AsyncIterator[Sender]:
    async with Sender(kong, queues[0]).running() as sender:
        yield sender


async def test_changes_through_the_other_route_have_their_actor(sender: Sender, taker: Taker) -> None:
    await sender.route("POST", "/consumers", username="grace")
    await sender.sent()
    assert await taker.take() == ["consumers:create grace by ada"]
    await sender.route("PATCH", "/consumers/grace", custom_id="g1")
    await sender.route("POST", "/upstreams", name="up")
    await sender.sent()
    await taker.take()
    await sender.route("POST", "/upstreams/up/targets", target="127.0.0.1:80")
    await sender.route("DELETE", "/consumers/grace")
    await sender.sent()
    assert await taker.take() == [
        "consumers:create grace by ada",
        "consumers:update grace (custom_id) by ada",
        "upstreams:create up by ada",
        "targets:create 127.0.0.1:80 by ada",
        "consumers:delete grace by ada",
    ]
    await taker.world.reconcile()
    assert len(await taker.take()) == 5, "a reconciliation finds nothing new"
    (event,) = [event for event in await taker.world.stored() if event.event == "create" and "grace" in repr(event)]
    assert event.data["seen_by"] == "route"
    assert event.data["actor"] | {"request_id": None} == {
        "method": "POST", "path": "/consumers", "user_agent": None, "request_id": None, **WHO,
    }  # fmt: skip
    assert await taker.polling.waiting(1) == []


async def test_what_a_reconciliation_has_reported_is_no_second_event(sender: Sender, taker: Taker) -> None:
    await sender.route("POST", "/consumers", username="grace")
    await sender.sent()
    await taker.world.reconcile()
    await taker.world.published(3)
    assert await taker.take() == ["consumers:create grace by None"]


async def test_a_change_that_comes_back_with_a_backup_is_one_event(
    sender: Sender, taker: Taker, postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though reconciliations have gone by since."""
    monkeypatch.setattr(mirror_module, "RETENTION_SECONDS", 0.0)
    await sender.route("POST", "/consumers", username="grace")
    await sender.sent()
    with StoreBackup(postgres_store) as backup:
        await taker.take()
        for _ in range(3):
            await taker.world.reconcile()
        backup.restore()
    assert len(await taker.polling.waiting(10)) == 1
    await taker.take()
    assert len(await taker.world.stored()) == 3


async def test_a_change_taken_twice_is_one_event(sender: Sender, taker: Taker, tmp_path: Path, kong: AdminNode) -> None:
    await sender.route("POST", "/consumers", username="grace")
    await sender.sent()
    waiting = await taker.polling.waiting(10)
    assert await taker.take() == ["consumers:create grace by ada"]
    await taker.polling.send([(each.seen_at, each.change) for each in waiting])  # it was killed before it was deleted
    assert await taker.take() == ["consumers:create grace by ada"]
    ids = {event.id for event in await taker.world.stored()}
    (tmp_path / "other").mkdir()
    async with CrudWorld(tmp_path / "other", kong) as other:  # or another node takes it then
        await other.schema_cache.refresh()
        second = Taker.__new__(Taker)
        second.polling, second.world, second.term = taker.polling, other, taker.term
        second.forwarded = ForwardedChanges(
            taker.polling, lambda: taker.term, other.client, other.schema_cache, other.observer
        )
        await taker.polling.send([(each.seen_at, each.change) for each in waiting])
        assert await second.take() == ["consumers:create grace by ada"]
        assert {event.id for event in await other.stored()} == ids


async def test_no_secret_is_in_the_shared_store(sender: Sender, taker: Taker) -> None:
    await sender.route("POST", "/consumers", username="grace")
    await sender.route("POST", "/consumers/grace/key-auth", key=SECRET)
    await sender.route("PATCH", f"/consumers/grace/key-auth/{SECRET}", tags=["a"])
    await sender.route("POST", "/plugins", name="session", config={"secret": SECRET})
    await sender.sent()
    waiting = await taker.polling.waiting(10)
    assert len(waiting) == 4
    assert SECRET not in repr(waiting)
    told = await taker.take()
    assert [each.split()[0] for each in told] == [
        "consumers:create", "keyauth_credentials:create", told[2].split()[0], "plugins:create"
    ]  # fmt: skip
    assert all(each.endswith("by ada") for each in told)
    assert SECRET not in repr(await taker.world.stored())


async def test_a_delete_by_a_secret_key_is_left_to_a_reconciliation(sender: Sender, taker: Taker) -> None:
    await sender.route("POST", "/consumers", username="grace")
    await sender.route("POST", "/consumers/grace/key-auth", key=SECRET)
    await sender.sent()
    assert len(await taker.take()) == 2
    await sender.route("DELETE", f"/consumers/grace/key-auth/{SECRET}")
    await sender.sent()
    assert SECRET not in repr(await taker.polling.waiting(10))
    await taker.take()
    assert taker.world.metrics.counts.events_lost["change_unreadable",] == 1
    await taker.world.published(7)
    assert (await taker.take())[2].endswith("by None"), "which it starts"


async def test_a_change_that_another_follows_at_once_is_no_event_of_its_own(
    sender: Sender, taker: Taker, clock: Ahead
) -> None:
    await sender.route("POST", "/consumers", username="grace")
    clock.seconds = 5  # its updated_at is another
    await sender.route("PATCH", "/consumers/grace", custom_id="g1")
    await sender.route("POST", "/consumers", username="newbie")
    await sender.route("DELETE", "/consumers/newbie")
    await sender.sent()
    told = ["consumers:create grace by ada", "consumers:update grace () by ada"]
    assert await taker.take() == told, "the create has the state of now"
    await sender.route("PATCH", "/consumers/grace", custom_id="g2")
    clock.seconds = 10
    await sender.route("PATCH", "/consumers/grace", tags=["a"])
    await sender.sent()
    with capture_logs() as logs:
        assert await taker.take() == [*told, "consumers:update grace (custom_id, tags) by ada"]
    assert [line["event"] for line in logs if line["log_level"] == "debug"] == ["forwarded_change_superseded"]


async def test_while_kong_does_not_answer_changes_wait(sender: Sender, taker: Taker, kong: AdminNode) -> None:
    await sender.route("POST", "/consumers", username="grace")
    await sender.sent()
    await kong.stop()
    with pytest.raises(AdminApiError):
        await taker.take()
    assert len(await taker.polling.waiting(10)) == 1
    await kong.start()
    assert await taker.take() == ["consumers:create grace by ada"]


async def test_what_came_too_late_is_counted(sender: Sender, taker: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    await sender.route("POST", "/consumers", username="grace")
    await sender.sent()
    monkeypatch.setattr(forwarded_module, "AGE", -1)
    await taker.take()
    assert taker.world.metrics.counts.events_lost["changes_overflow",] == 1
    assert await taker.polling.waiting(1) == []


@pytest.mark.parametrize("content", [b"nonsense", b"{}"])
async def test_what_cannot_be_read_holds_up_nothing(sender: Sender, taker: Taker, content: bytes) -> None:
    await taker.polling.send([(time.time(), content)])
    await sender.route("POST", "/consumers", username="grace")
    await sender.sent()
    assert await taker.take() == ["consumers:create grace by ada"]
    assert taker.world.metrics.counts.events_lost["change_failed",] == 1


async def test_an_answer_that_cannot_be_read_is_found_by_a_reconciliation(
    sender: Sender, taker: Taker, kong: AdminNode
) -> None:
    kong.behind.create("consumers", username="grace")
    sender.forwarder.observe_change(ChangeObservation("POST", "/consumers", 201, b"{cut", time.time(), time.time()))
    await sender.sent()
    await taker.take()
    await taker.world.published(3)
    assert await taker.take() == ["consumers:create grace by None"]
    assert taker.world.metrics.counts.events_lost["change_unreadable",] == 1


async def test_the_taker_hears_of_changes_at_once(
    sender: Sender, taker: Taker, queues: list[PostgresQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarded_module, "POLL_SECONDS", 3_600.0)
    task = asyncio.create_task(taker.forwarded.run())
    await asyncio.sleep(0)
    await sender.route("POST", "/consumers", username="grace")
    await sender.sent()
    taker.forwarded.wake()
    await taker.world.published(3)
    task.cancel()
    await asyncio.wait([task])


class TestSender:
    async def test_takes_nothing_while_nobody_takes_it(self, kong: AdminNode, queues: list[PostgresQueue]) -> None:
        async with Sender(kong, queues[0]).running() as sender:
            assert sender.forwarder.state() == {"forwarded_to": None, "pending_observations": 0, "error": None}
            assert not sender.forwarder.has_change_subscribers
            assert await sender.route("POST", "/consumers", username="grace") is None

    async def test_takes_what_its_own_hooks_want_until_it_knows(
        self, kong: AdminNode, queues: list[PostgresQueue], world: CrudWorld
    ) -> None:
        sender = Sender(kong, queues[0])
        await sender.route("POST", "/consumers", username="grace")
        sender.subscribed = False
        assert await sender.route("POST", "/consumers", username="ada") is None
        taker = Taker(queues[1], world)
        await taker.lead()
        async with sender.running():
            await sender.sent()
        assert await taker.take() == ["consumers:create grace by ada"]

    async def test_forgets_what_nobody_takes(self, kong: AdminNode, queues: list[PostgresQueue]) -> None:
        sender = Sender(kong, queues[0])
        await sender.route("POST", "/consumers", username="grace")
        async with sender.running():
            await sender.sent()
        assert await queues[1].polling.waiting(1) == []

    async def test_goes_on_while_who_takes_them_starts_again(
        self, sender: Sender, taker: Taker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await sender.route("POST", "/consumers", username="grace")
        await sender.sent()
        await taker.take()
        await taker.polling.release(["crud"], "taker")
        await sender.holders.follow()
        assert sender.forwarder.state()["forwarded_to"] is None
        assert await sender.route("DELETE", "/consumers/grace") is not None
        await sender.sent()
        await taker.lead()
        assert len(await taker.take()) == 2
        await taker.polling.release(["crud"], "taker")
        await sender.holders.follow()
        monkeypatch.setattr(forwarder_module, "LINGER_SECONDS", 0)
        assert not sender.forwarder.has_change_subscribers

    async def test_says_where_changes_go(self, sender: Sender) -> None:
        assert sender.forwarder.state() == {"forwarded_to": "node-b", "pending_observations": 0, "error": None}

    async def test_leaves_out_what_is_no_entity(self, sender: Sender, taker: Taker) -> None:
        await sender.route("POST", "/consumers", username="grace")
        await sender.sent()  # it knows the paths from now on
        for method, path in (("POST", "/config"), ("POST", "/nothing"), ("GET", "/consumers"), ("DELETE", "/cache/x")):
            assert sender.forwarder.change_target(method, path) is None
        target = sender.forwarder.change_target("DELETE", "/consumers/grace")
        assert target is not None
        assert target.place is not None
        assert not target.wants_answer

    async def test_keeps_changes_while_the_store_is_away(
        self, sender: Sender, taker: Taker, queues: list[PostgresQueue]
    ) -> None:
        await queues[0].close()
        await sender.route("POST", "/consumers", username="grace")
        async with asyncio.timeout(SECONDS):
            while sender.forwarder.state()["error"] is None:  # noqa: ASYNC110  nothing signals it
                await asyncio.sleep(0.005)
        await queues[0].open()
        await sender.sent()
        assert sender.forwarder.state()["error"] is None
        assert await taker.take() == ["consumers:create grace by ada"]

    async def test_counts_what_finds_no_room(
        self, sender: Sender, taker: Taker, queues: list[PostgresQueue], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queues[0].polling, "_rows", 1)
        for name in ("a", "b", "c"):
            await sender.route("POST", "/consumers", username=name)
        await sender.sent()
        assert sender.counts.events_lost["changes_overflow",] == 2
        assert await taker.take() == ["consumers:create a by ada"]

    async def test_leaves_out_what_is_too_large(self, sender: Sender, taker: Taker) -> None:
        seen = ChangeObservation(
            "DELETE", "/consumers/a", 204, None, time.time(), time.time(), user_agent="x" * (1 << 16)
        )
        sender.forwarder.observe_change(seen)
        await sender.sent()
        assert sender.counts.events_lost["changes_overflow",] == 1
        assert await taker.polling.waiting(1) == []
