"""Nodes over one PostgreSQL that is stopped, and nodes that are killed: what was accepted arrives, and once."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.arrived import Arrived
from tests.cluster.nodes import Nodes
from tests.kong_node.node import request_log
from tests.support import postgres
from tests.support.http_receiver import HttpReceiver
from tests.support.postgres import Cluster

pytestmark = pytest.mark.long

TAKEOVER = 15.0
"""Seconds within which another node delivers in a killed one's place."""
SEEN = 2.0
"""Seconds within which a hook that the API made is on every node."""


@pytest.fixture
def store(postgres_programs: Path) -> Iterator[Cluster]:
    """A PostgreSQL that the test may stop."""
    with postgres.cluster(postgres_programs, postgres.DURABLE) as made:
        yield made


@pytest.fixture
def arrived(receiver: HttpReceiver) -> Arrived:
    return Arrived(receiver)


async def test_events_of_two_nodes_arrive_once_each(nodes: Nodes, arrived: Arrived) -> None:
    first, second = await asyncio.gather(nodes.start("first"), nodes.start("second"))
    await asyncio.gather(first.publish(range(1, 21)), second.publish(range(21, 41)))
    await arrived.all_of(range(1, 41))
    await asyncio.gather(first.settled(), second.settled())
    assert sorted(what for what, _ in arrived.events()) == list(range(1, 41))
    states = await asyncio.gather(first.readyz(), second.readyz())
    assert [state["delivering"] for state in states] == [True, True]
    assert [state["status"] for state in states] == ["ready", "ready"]


async def test_requests_of_two_kongs_arrive_once_each(nodes: Nodes, arrived: Arrived) -> None:
    first, second = await asyncio.gather(nodes.start("first"), nodes.start("second"))
    async with first.kong() as one, second.kong() as other:
        logs = {name: request_log(request_id=name) for name in ("first", "second", "both")}
        for kong, name in ((one, "first"), (other, "second"), (one, "both"), (other, "both")):
            assert await kong.log(log=logs[name])
        assert (one.played.lost, other.played.lost) == ([], [])
    await arrived.all_of(["first", "second", "both"])
    await asyncio.gather(first.settled(), second.settled())
    assert sorted(what for what, _ in arrived.events()) == ["both", "first", "second"]


async def test_another_node_delivers_for_a_killed_one(nodes: Nodes, arrived: Arrived) -> None:
    first = await nodes.start("first")
    await first.logged("delivery_lease_acquired")
    second = await nodes.start("second")
    await second.logged("shared_store_open")
    await asyncio.gather(first.publish(range(1, 101)), second.publish(range(101, 201)))
    await first.kill()
    killed_at = time.monotonic()
    await second.publish(range(201, 211))
    await arrived.all_of(range(101, 211), TAKEOVER)
    assert time.monotonic() - killed_at < TAKEOVER
    assert (await second.readyz())["delivering"]
    await first.start()  # what it had accepted and not moved is on its disk
    await first.publish(range(211, 221))
    await arrived.all_of(range(1, 221))
    await asyncio.gather(first.settled(), second.settled())
    assert arrived.under_one_id() == list(range(1, 221))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
async def test_a_store_that_is_stopped_and_comes_back(
    how: signal.Signals, store: Cluster, nodes: Nodes, arrived: Arrived
) -> None:
    first, second = await asyncio.gather(nodes.start("first"), nodes.start("second"))
    await asyncio.gather(first.logged("shared_store_open"), second.logged("shared_store_open"))
    stopping = asyncio.to_thread(store.stop, how)
    await asyncio.gather(first.publish(range(1, 101)), second.publish(range(101, 201)), stopping)
    before = (await first.readyz())["spool"]["events"]
    await asyncio.gather(first.publish(range(201, 251)), second.publish(range(251, 301)))
    away = await first.reaches(status="degraded", spool=lambda spool: spool["events"] == before + 50)
    assert away["store"] == "ok"
    assert any("the shared store" in error for error in away["errors"])
    metrics = (await first.client.get("/metrics")).text
    assert f"kong_event_hooks_spooled_events {float(before + 50)}" in metrics
    await asyncio.to_thread(store.start)
    await arrived.all_of(range(1, 301))
    await asyncio.gather(first.settled(), second.settled())
    assert arrived.under_one_id() == list(range(1, 301))
    ended = await asyncio.gather(first.reaches(status="ready"), second.reaches(status="ready"))
    assert [state["events_lost"] for state in ended] == [{}, {}]


async def test_a_node_that_starts_while_the_store_is_away(store: Cluster, nodes: Nodes, arrived: Arrived) -> None:
    await asyncio.to_thread(store.stop)
    node = await nodes.start("only")
    await node.logged("shared_store_open_failed")
    await node.reaches(hooks=2)
    before = (await node.readyz())["spool"]["events"]  # the hooks' pings
    await node.publish(range(1, 11))
    state = await node.reaches(spool=lambda spool: spool["events"] >= before + 10)  # a page is kept for a moment
    assert (state["status"], state["store"], state["events_lost"]) == ("degraded", "ok", {})
    assert [line for line in node.running.output if "is not open" in line] == [], "what needs the store waits for it"
    assert node.running.lines("delivery_lease_renewal_failed") == []
    await asyncio.to_thread(store.start)
    await arrived.all_of(range(1, 11))
    await node.settled()
    assert sorted(what for what, _ in arrived.events()) == list(range(1, 11))
    await node.reaches(status="ready")


async def test_a_hook_that_the_api_makes_on_one_node_fires_on_the_other(nodes: Nodes) -> None:
    first, second = await asyncio.gather(nodes.start("first"), nodes.start("second"))
    await asyncio.gather(first.logged("shared_store_open"), second.logged("shared_store_open"))
    async with HttpReceiver() as other:
        hook = {"source": "custom", "event": "made", "handler": "webhook", "config": {"url": other.url}}
        made = await first.client.put("/event-hooks/made", json=hook)
        assert made.status_code in (200, 201), made.text
        await second.answers("/event-hooks/made", 200, SEEN)
        answer = await second.client.post("/events", json={"event": "made"})
        assert (answer.status_code, answer.json()["undecided"]) == (201, True)
        await other.received(1)
        assert (await second.client.delete("/event-hooks/made")).status_code == 204
        await first.answers("/event-hooks/made", 404, SEEN)
