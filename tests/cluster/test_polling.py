"""What one node polls for all is reported once, though that node is killed and another one goes on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.nodes import Node, Nodes, kong_yml_of
from tests.support.admin_health import HEALTHY, UNHEALTHY
from tests.support.admin_node import AdminNode
from tests.support.certificates import key_pem, pem
from tests.support.http_receiver import HttpReceiver
from tests.support.store_backup import StoreBackup
from tests.support.waiting import SECONDS
from tests.unit.sources.balancer.test_poller import CHECKED

pytestmark = pytest.mark.long

OPEN: Final = [("expiring", "open"), ("health", "open")]


@pytest.fixture
async def kong() -> AsyncIterator[AdminNode]:
    """It has an unhealthy target and a certificate that expires soon."""
    async with AdminNode() as kong:
        upstream = kong.behind.create("upstreams", name="up.local", healthchecks=CHECKED)
        kong.behind.create("targets", target="10.0.0.1:80", upstream={"id": upstream["id"]})
        kong.health.set("up.local", "10.0.0.1", 80, UNHEALTHY)
        cert = pem("a", time.time() + 20 * 86_400, 1)
        kong.behind.create("certificates", cert=cert, key=key_pem(), snis=["a.example"])
        yield kong


async def test_a_killed_nodes_successor_reports_nothing_again(
    tmp_path: Path, postgres_store: str, receiver: HttpReceiver, kong: AdminNode
) -> None:
    async with Nodes(tmp_path, postgres_store, receiver) as nodes:
        first = await nodes.start("first", declared(receiver), *flags(kong))
        await arrive(receiver, OPEN)
        second = await nodes.start("second", declared(receiver), *flags(kong))
        assert await polls(second) == []
        await first.kill()
        await both_are_polled_by(second)
        kong.health.set("up.local", "10.0.0.1", 80, HEALTHY)
        await arrive(receiver, [*OPEN, ("health", "resolved")])


async def test_a_node_reports_nothing_again_over_a_store_from_a_backup(
    tmp_path: Path, postgres_store: str, receiver: HttpReceiver, kong: AdminNode
) -> None:
    async with Nodes(tmp_path, postgres_store, receiver) as nodes:
        node = await nodes.start("only", declared(receiver), *flags(kong))
        await arrive(receiver, OPEN)
        await node.settled()
        with StoreBackup(postgres_store) as backup:
            kong.health.set("up.local", "10.0.0.1", 80, HEALTHY)
            await arrive(receiver, [*OPEN, ("health", "resolved")])
            await node.settled()
            await node.kill()
            backup.restore()
        await node.start()
        await both_are_polled_by(node)
        kong.health.set("up.local", "10.0.0.1", 80, UNHEALTHY)
        await arrive(receiver, [*OPEN, ("health", "resolved"), ("health", "open")])


def declared(receiver: HttpReceiver) -> dict[str, Any]:
    sources = ("certificate", "balancer")
    to = {"handler": "webhook", "handler_config": {"url": receiver.url}}
    return kong_yml_of([{"name": source, "source": source, **to} for source in sources])


def flags(kong: AdminNode) -> tuple[str, ...]:
    return (f"--admin-url={kong.url}", "--balancer-poll-seconds=1", "--balancer-unhealthy-poll-seconds=1")


async def arrive(receiver: HttpReceiver, wanted: list[tuple[str, str]]) -> None:
    """Wait for so many events, each of which may come twice; they are these."""

    def reported() -> list[tuple[str, str]]:
        found = {request.headers["webhook-id"]: json.loads(request.body) for request in receiver.requests}
        return sorted((each["event"], each["state"]) for each in found.values() if each["event"] != "ping")

    async with asyncio.timeout(SECONDS):
        while len(reported()) < len(wanted):
            await receiver.received(len(receiver.requests) + 1)
    assert reported() == sorted(wanted)


async def both_are_polled_by(node: Node) -> None:
    async with asyncio.timeout(SECONDS):
        while await polls(node) != ["balancer", "certificate"]:  # noqa: ASYNC110  nothing signals it
            await asyncio.sleep(0.05)


async def polls(node: Node) -> list[str]:
    pollers: dict[str, Any] = (await node.readyz())["pollers"]
    return sorted(name for name in ("balancer", "certificate") if pollers[name]["idle_reason"] is None)
