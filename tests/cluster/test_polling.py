"""What one node polls for all is reported once, though that node is killed and another one goes on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.nodes import Node, Nodes, kong_yml_of
from tests.support.admin_health import HEALTHY, UNHEALTHY
from tests.support.admin_node import AdminNode
from tests.support.certificates import key_pem, pem
from tests.support.http_receiver import HttpReceiver
from tests.support.waiting import SECONDS
from tests.unit.sources.balancer.test_poller import CHECKED

pytestmark = pytest.mark.long


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
    hooks = [
        {"name": source, "source": source, "handler": "webhook", "handler_config": {"url": receiver.url}}
        for source in ("certificate", "balancer")
    ]
    flags = (f"--admin-url={kong.url}", "--balancer-poll-seconds=1", "--balancer-unhealthy-poll-seconds=1")

    def reported() -> list[tuple[str, str]]:
        found = (json.loads(request.body) for request in receiver.requests)
        return sorted((each["event"], each["state"]) for each in found if each["event"] != "ping")

    async def arrive(*wanted: tuple[str, str]) -> None:
        async with asyncio.timeout(SECONDS):
            while len(reported()) < len(wanted):
                await receiver.received(len(receiver.requests) + 1)
        assert reported() == sorted(wanted)

    async with Nodes(tmp_path, postgres_store, receiver) as nodes:
        first = await nodes.start("first", kong_yml_of(hooks), *flags)
        await arrive(("expiring", "open"), ("health", "open"))
        second = await nodes.start("second", kong_yml_of(hooks), *flags)
        assert await polls(second) == []
        await first.kill()
        async with asyncio.timeout(SECONDS):
            while await polls(second) != ["balancer", "certificate"]:  # noqa: ASYNC110  nothing signals it
                await asyncio.sleep(0.05)
        kong.health.set("up.local", "10.0.0.1", 80, HEALTHY)
        await arrive(("expiring", "open"), ("health", "open"), ("health", "resolved"))


async def polls(node: Node) -> list[str]:
    pollers: dict[str, Any] = (await node.readyz())["pollers"]
    return sorted(name for name in ("balancer", "certificate") if pollers[name]["idle_reason"] is None)
