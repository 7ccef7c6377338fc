"""Reconciliations and observations against the Admin API's stand-in, with the real client and Kong's own schemas."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kong_eventhooks_plugin.kong.admin_api.client import AdminClient, AdminSettings
from kong_eventhooks_plugin.kong.admin_api.schema_cache import SchemaCache
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.model import Actor, EntityChange, RouteChange
from kong_eventhooks_plugin.sources.changes.reconciler import Reconciler, ReconcilerSettings
from kong_eventhooks_plugin.storage.notes import NoteStore
from tests.support.admin_node import AdminNode, Faults
from tests.support.clock import FakeClock
from tests.support.kong_shape import KEY
from tests.support.mirror_world import BEGAN, brief


class Side:
    """Everything on our side of one node."""

    def __init__(self, node: AdminNode, folder: Path) -> None:
        self.node = node
        self.clock = node.clock
        self.client = AdminClient(AdminSettings(url=node.url))
        self.notes = NoteStore(folder / "gateway.db")
        self.schema_cache = SchemaCache(self.client, self.notes, lambda: KEY)
        self.mirror = Mirror(folder / "gateway.db", self.schema_cache.entities, self.clock)
        self.reconciler = Reconciler(
            self.mirror,
            self.client,
            self.schema_cache,
            ReconcilerSettings(node.url, page_size=3, grace=0.0),
            clock=self.clock,
        )

    async def open(self) -> None:
        await self.notes.open()
        await self.schema_cache.open()
        await self.mirror.open()

    async def close(self) -> None:
        await self.client.close()
        await self.mirror.close()
        await self.notes.close()

    async def publish(self) -> list[EntityChange]:
        changes = await self.mirror.pending(1_000)
        await self.mirror.mark_published([change.identity for change in changes])
        return changes

    async def reconcile(self) -> list[EntityChange]:
        assert isinstance(self.clock, FakeClock)
        self.clock.advance(10)
        assert await self.reconciler.run_once() == "done", self.reconciler.state()
        return await self.publish()

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> list[EntityChange]:
        """Make a request as the route would, and have it seen."""
        assert isinstance(self.clock, FakeClock)
        started = self.clock.advance()
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.node.url + path, json=body) as answer,
        ):
            assert answer.status < 300, await answer.text()
            entity = await answer.json() if answer.status != 204 else None
        place = self.schema_cache.endpoints().resolve(path)
        assert place is not None
        return await self.mirror.apply(
            RouteChange(place, method, entity, Actor(method, place.masked), started, self.clock.advance())
        )


ANY = pytest.mark.parametrize("side", ["database", "dbless", "enterprise"], indirect=True)
WRITABLE = pytest.mark.parametrize("side", ["database", "enterprise"], indirect=True)
ENTERPRISE = pytest.mark.parametrize("side", ["enterprise"], indirect=True)


@pytest.fixture
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    kind = request.param
    async with AdminNode(clock=FakeClock(BEGAN), dbless=kind == "dbless", enterprise=kind == "enterprise") as node:
        side = Side(node, tmp_path)
        await side.open()
        yield side
        await side.close()


@ANY
async def test_every_list_is_listed(side: Side) -> None:
    behind = side.node.behind
    grace = behind.create("consumers", username="grace")
    behind.create("keyauth_credentials", key="k1", consumer={"id": grace["id"]})
    up = behind.create("upstreams", name="up")
    target = behind.create("targets", target="127.0.0.1:80", upstream={"id": up["id"]})
    behind.create("vaults", name="env", prefix="my-env", config={"prefix": "X"})
    behind.fill_consumers(10)
    assert await side.reconcile() == []
    skipped = {path for path in side.reconciler.state().skipped_lists if path != "/filter-chains"}
    assert skipped <= {"/targets"}, skipped
    assert side.reconciler.state().entities["consumers"] == 11
    behind.change("vaults", "my-env", description="x")
    behind.change("targets", target["id"], weight=5)
    assert {brief(change)[:2] for change in await side.reconcile()} == {("vaults", "update"), ("targets", "update")}
    assert await side.reconcile() == []


@ENTERPRISE
async def test_workspaces(side: Side) -> None:
    behind = side.node.behind
    await side.reconcile()
    async with aiohttp.ClientSession() as session:
        for path, body in (("/workspaces", {"name": "team-a"}), ("/team-a/consumers", {"username": "there"})):
            async with session.post(side.node.url + path, json=body) as answer:
                assert answer.status == 201, await answer.text()
    behind.create("consumers", username="here")
    behind.create("admins", username="root")
    reported = {(*brief(change), change.workspace) for change in await side.reconcile()}
    assert {("consumers", "create", "there", "team-a"), ("consumers", "create", "here", "default")} < reported
    assert sum(schema == "admins" for schema, *_ in reported) == 1, "every workspace lists it"
    assert await side.reconcile() == []
    (seen,) = await side.request("DELETE", "/team-a/consumers/there")
    assert (seen.operation, seen.workspace) == ("delete", "team-a")
    assert await side.request("DELETE", "/default/consumers/there") == []


@WRITABLE
async def test_the_route_and_a_reconciliation_after_it(side: Side) -> None:
    """What a real answer says and what the list says later are one state."""
    await side.reconcile()
    steps: list[tuple[str, str, dict[str, Any] | None]] = [
        ("POST", "/consumers", {"username": "grace", "tags": ["navy"]}),
        ("POST", "/consumers/grace/key-auth", {"key": "k1", "ttl": 3_600}),
        ("PATCH", "/consumers/grace/key-auth/k1", {"tags": ["t"]}),
        ("POST", "/consumers/grace/basic-auth", {"username": "u", "password": "p"}),
        ("POST", "/consumers/grace/acls", {"group": "admins"}),
        ("POST", "/services", {"name": "svc", "url": "http://127.0.0.1:9190"}),
        ("POST", "/services/svc/routes", {"name": "rt", "paths": ["/svc"]}),
        ("POST", "/routes/rt/plugins", {"name": "rate-limiting", "config": {"minute": 5}}),
        ("PUT", "/consumers/newbie", {"custom_id": "n1"}),
        ("POST", "/upstreams", {"name": "up"}),
        ("POST", "/upstreams/up/targets", {"target": "127.0.0.1:9190"}),
        ("PATCH", "/upstreams/up/targets/127.0.0.1:9190", {"weight": 5}),
        ("DELETE", "/consumers/grace/acls/admins", None),
    ]
    for method, path, body in steps:
        changes = await side.request(method, path, body)
        assert len(changes) == 1, (method, path)
    assert len(await side.publish()) == len(steps)
    assert await side.reconcile() == []
    assert [change.schema for change in await side.request("DELETE", "/upstreams/up")] == ["upstreams", "targets"]
    gone = await side.request("DELETE", "/consumers/grace")
    assert sorted(change.schema for change in gone) == ["basicauth_credentials", "consumers", "keyauth_credentials"]
    await side.publish()
    assert await side.reconcile() == []


@ANY
async def test_a_cut_page_says_nothing(side: Side) -> None:
    side.node.behind.fill_consumers(7)
    await side.reconcile()
    side.node.behind.delete("consumers", "consumer-3")
    side.node.faults = Faults(cut_bytes=100, only="/consumers")
    assert await side.reconcile() == []
    assert "/consumers" in side.reconciler.state().skipped_lists
    side.node.faults = Faults()
    assert [brief(change) for change in await side.reconcile()] == [("consumers", "delete", "consumer-3")]
