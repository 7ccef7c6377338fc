"""All pollers together: their errors, how they restart after a crash, how they end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import structlog

from kong_eventhooks_plugin import background
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.observation import ChangeObservation
from kong_eventhooks_plugin.queue.postgresql import PostgresQueue
from kong_eventhooks_plugin.sources.changes import forwarded
from kong_eventhooks_plugin.sources.changes.forwarded_change import forwarded_change
from kong_eventhooks_plugin.sources.changes.reconciler import ReconcilerSettings
from kong_eventhooks_plugin.sources.poller_group import PollerGroup, PollerGroupSettings, PollingCluster
from kong_eventhooks_plugin.telemetry.metrics import Counts
from tests.support.admin_node import AdminNode
from tests.support.crud import Publisher
from tests.support.events import make_hook
from tests.support.http import http_client
from tests.support.waiting import SECONDS

HOOK = make_hook("h", source="crud", event="consumer:create")


def make(
    folder: Path,
    url: str,
    *hooks: Hook,
    publisher: Publisher | None = None,
    cluster: PollingCluster | None = None,
) -> PollerGroup:
    rounds = ReconcilerSettings(admin_url=url, interval=3_600, grace=0.0, pause_factor=0.0)
    client = AdminClient(AdminSettings(url=url))
    settings = PollerGroupSettings(folder, rounds)
    publish = publisher or Publisher()
    return PollerGroup(client, settings, publish, lambda: hooks, Counts(), lambda: True, cluster=cluster)


@asynccontextmanager
async def running(observers: PollerGroup) -> AsyncIterator[None]:
    task = asyncio.create_task(observers.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await observers.close()
    assert task.cancelled()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RETRY_SECONDS", 0.01)


async def test_a_hook_on_no_entity_is_an_error_as_soon_as_kong_is_known(tmp_path: Path) -> None:
    async with AdminNode() as node:
        observers = make(tmp_path, node.url, HOOK)
        async with running(observers):
            await until(lambda: bool(observers.errors()))
            assert observers.errors() == [
                "h: this Kong has no entity consumer (did you mean consumers?); the hook never fires"
            ]


@pytest.mark.parametrize("seen_by", ["route", "reconciliation"])
async def test_a_kong_that_starts_the_plugin_server_is_read_without_an_error(tmp_path: Path, seen_by: str) -> None:
    published = Publisher()
    async with AdminNode(starts_plugin_server=True) as node:
        observers = make(tmp_path, node.url, make_hook("h", source="dao:crud"), publisher=published)
        async with running(observers), http_client(node.url) as client:
            assert (await client.get("/")).status_code == 500
            await until(lambda: observers.state()["crud"]["reconciler"]["ended_at"] is not None)
            at = time.time()
            plugin = {"name": "session", "config": {"secret": "s3cret"}}
            answer = await client.post("/plugins", json=plugin)
            assert answer.status_code == 201
            if seen_by == "route":
                observers.crud.observe_change(
                    ChangeObservation("POST", "/plugins", 201, answer.content, at, time.time())
                )
            else:
                observers.crud.observe_change(ChangeObservation("POST", "/plugins", 201, b"", at, time.time()))
            await until(lambda: bool(published.events))
            (event,) = (event for event in published.events if event.source == "dao:crud")
            assert (event.event, event.data["schema"], event.data["seen_by"]) == ("create", "plugins", seen_by)
            config = event.data["entity"]["config"]
            assert config == json.loads(answer.content)["config"] | {"secret": "***"}, "and no more of it is hidden"
            assert observers.errors() == []
            assert observers.state()["crud"]["reconciler"]["error"] is None


async def test_an_unreachable_kong_is_an_error_of_crud(tmp_path: Path, unused_tcp_port: int) -> None:
    observers = make(tmp_path, f"http://127.0.0.1:{unused_tcp_port}", HOOK)
    async with running(observers):
        await until(lambda: bool(observers.errors()))
        (fault,) = observers.errors()
        assert fault.startswith(
            f"crud: reconciliation failed: http://127.0.0.1:{unused_tcp_port}/status: no connection"
        )


async def test_a_file_that_cannot_be_opened_is_an_error_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "not-there-yet"
    async with AdminNode() as node:
        observers = make(folder, node.url, HOOK)
        async with running(observers):
            await until(lambda: bool(observers.errors()))
            (fault,) = observers.errors()
            assert fault.startswith("gateway.db cannot be opened: ")
            folder.mkdir()
            await until(lambda: observers.state()["crud"]["reconciler"]["ended_at"] is not None)
            assert [fault for fault in observers.errors() if "cannot be read" in fault] == []


async def test_a_loop_that_crashes_is_restarted_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AdminNode() as node:
        observers = make(tmp_path, node.url, make_hook("h", source="crud"))
        run, runs = observers.crud.run, 0

        async def trips() -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                raise KeyError("secret")
            await run()

        monkeypatch.setattr(observers.crud, "run", trips)
        async with running(observers):
            await until(lambda: observers.state()["crud"]["reconciler"]["ended_at"] is not None)
            (fault,) = observers.errors()
            assert fault.startswith("the crud poller crashed (KeyError raised in test_poller_group.py:")
            assert "secret" not in fault


async def test_cancelled_while_a_loop_trips_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AdminNode() as node:
        observers = make(tmp_path, node.url)
        began = asyncio.Event()

        async def trips() -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                raise KeyError("a bug while it is cancelled")

        monkeypatch.setattr(observers.crud, "run", trips)
        task = asyncio.create_task(observers.run())
        await asyncio.wait_for(began.wait(), SECONDS)
        task.cancel()
        await asyncio.wait([task], timeout=SECONDS)
        assert task.cancelled()
        await observers.close()


async def test_what_cannot_be_closed_holds_up_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AdminNode() as node:
        observers = make(tmp_path, node.url, HOOK)

        async def fails() -> None:
            raise RuntimeError("a bug")

        async with running(observers):
            await until(lambda: observers.state()["crud"]["reconciler"]["ended_at"] is not None)
            close = observers._mirror.close
            monkeypatch.setattr(observers._mirror, "close", fails)
        assert observers._client._session is not None
        assert observers._client._session.closed
        await close()


async def test_where_nodes_share_a_store_what_others_forward_is_reported(
    tmp_path: Path, postgres_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarded, "POLL_SECONDS", 0.05)
    queue, is_open = PostgresQueue(postgres_store, process="us"), asyncio.Event()
    published = Publisher()
    async with AdminNode() as node:
        hooks = (make_hook("h", source="crud"), make_hook("b", source="balancer"), make_hook("g", source="gateway"))
        cluster = PollingCluster(queue.polling, "us", "node-b", queue.nodes.on_forwarded, is_open)
        observers = make(tmp_path, node.url, *hooks, publisher=published, cluster=cluster)
        async with running(observers):
            with structlog.testing.capture_logs() as logs:
                await until(lambda: observers.state()["crud"]["reconciler"]["ended_at"] is not None)
                await queue.open()
                is_open.set()
                await until(lambda: observers.state()["balancer"]["idle_reason"] is None)
            assert "poll_lease_renewal_failed" not in {line["event"] for line in logs}, "it waits for the store"
            assert (await queue.polling.holders()).keys() == {"crud", "balancer"}, "of the gateway each has its own"
            body = json.dumps(node.behind.create("consumers", username="ada")).encode()
            seen = ChangeObservation("POST", "/consumers", 201, body, time.time(), time.time(), user_agent="deck")
            place = observers._schema_cache.endpoints().resolve("/consumers")
            assert place is not None
            await queue.polling.send([(time.time(), msgspec.json.encode(forwarded_change(seen, place)))])
            await until(lambda: bool(published.events))
            assert published.events[0].data["actor"]["user_agent"] == "deck"
            assert observers.errors() == []
        assert await queue.polling.holders() == {}, "it leaves them to others"
    await queue.close()
