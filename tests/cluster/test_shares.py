"""Hooks that nodes share out among them: who delivers, and what becomes of it where a node stops or comes back."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.nodes import Node, Nodes, kong_yml_of
from tests.support import postgres
from tests.support.http_receiver import HttpReceiver
from tests.support.postgres import Cluster
from tests.support.waiting import SECONDS

pytestmark = pytest.mark.long

NAMES = [f"hook-{number}" for number in range(12)]
NOTICED = 10.0
"""Seconds within which a node that is gone is noticed, and its hooks move."""
AT_ONCE = 3.0
"""Seconds within which a node that stops has handed over."""


@pytest.fixture
def store(postgres_programs: Path) -> Iterator[Cluster]:
    with postgres.cluster(postgres_programs) as made:
        yield made


def declared(receiver: HttpReceiver, names: list[str], **config: Any) -> dict[str, Any]:
    """Return a kong.yml with hooks of these names, each with a path of its own."""
    return kong_yml_of(
        [
            {"name": name, "source": "custom", "handler": "webhook",
             "handler_config": {"url": f"{receiver.url}/{name}"} | config}
            for name in names
        ]
    )  # fmt: skip


def received(receiver: HttpReceiver) -> list[tuple[str, int]]:
    """Return the hook and the number of each delivery, in the order of arrival."""
    found = []
    for request in receiver.requests:
        data = json.loads(request.body)
        if data["event"] != "ping":
            found.append((request.path.rpartition("/")[2], data["number"]))
    return found


async def all_received(receiver: HttpReceiver, wanted: set[tuple[str, int]], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not wanted <= set(received(receiver)):
            await receiver.received(len(receiver.requests) + 1)


def everything(numbers: range, names: list[str] = NAMES) -> set[tuple[str, int]]:
    return {(name, number) for number in numbers for name in names}


async def shares_of(node: Node) -> tuple[int, set[str]]:
    """Return how many nodes live and which hooks a node delivers, as it says itself."""
    found = (await node.readyz())["nodes"]
    live = sum(share["state"] == "live" for share in found)
    return live, {name for share in found if share["ours"] for name in share["hooks"]}


async def share_out(nodes: list[Node], names: list[str] = NAMES) -> list[set[str]]:
    """Wait until all know of each other, and each hook has one node; return what each delivers."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = [await shares_of(node) for node in nodes]
            shares = [share for _, share in found]
            together = all(live == len(nodes) for live, _ in found)
            if together and Counter(name for share in shares for name in share) == Counter(names):
                return shares
            await asyncio.sleep(0.05)


async def test_a_node_that_stops_hands_over_at_once(nodes: Nodes, receiver: HttpReceiver) -> None:
    files = declared(receiver, NAMES)
    started = [await nodes.start(name, files) for name in ("first", "second", "third")]
    shares = await share_out(started)
    assert all(shares), shares
    goes, *stay = started
    await goes.publish(range(1, 6))
    await all_received(receiver, everything(range(1, 6)))
    stopping = asyncio.create_task(goes.stop())
    stopped_at = time.monotonic()
    after = await share_out(stay)
    assert time.monotonic() - stopped_at < AT_ONCE
    await stopping
    assert [new >= old for new, old in zip(after, shares[1:], strict=True)] == [True, True], "no other hook has moved"
    await stay[0].publish(range(6, 9))
    await all_received(receiver, everything(range(6, 9)))
    assert max(Counter(received(receiver)).values()) == 1


async def test_a_node_that_stood_still_settles_and_begins_nothing_that_it_lost(
    nodes: Nodes, receiver: HttpReceiver
) -> None:
    files = declared(receiver, NAMES)
    first, second = [await nodes.start(name, files) for name in ("first", "second")]
    await share_out([first, second])
    paused_at = time.monotonic()
    first.pause()
    await second.publish(range(1, 21))
    await second.logged("node_gone")
    assert time.monotonic() - paused_at < NOTICED
    await all_received(receiver, everything(range(1, 21)))
    assert await share_out([second]) == [set(NAMES)]
    before = len(received(receiver))
    first.resume()
    await first.logged("node_taken_for_gone")
    await share_out([first, second])
    await second.publish(range(21, 31))
    await all_received(receiver, everything(range(21, 31)))
    await asyncio.gather(first.settled(), second.settled())
    came = received(receiver)
    assert len(came) == before + 10 * len(NAMES), "what it had lost is not sent again"
    state = (await second.readyz())["queue"]["deliveries"]
    assert (state["pending"], state["leased"], state["dead"]) == (0, 0, 0)


async def test_in_order_across_moves(nodes: Nodes, receiver: HttpReceiver) -> None:
    names = NAMES[:4]
    files = declared(receiver, names, ordered=True)
    started = [await nodes.start(name, files) for name in ("first", "second")]
    await share_out(started, names)
    publishing = asyncio.create_task(started[0].publish_in_order(range(1, 101)))
    await receiver.received(40)
    started.append(await nodes.start("third", files))
    await receiver.received(120)
    await started[1].stop()
    await publishing
    await all_received(receiver, everything(range(1, 101), names))
    for name in names:
        assert [number for hook, number in received(receiver) if hook == name] == list(range(1, 101))


async def test_declarations_belong_to_the_nodes_that_made_them(nodes: Nodes, receiver: HttpReceiver) -> None:
    first = await nodes.start("first", declared(receiver, ["both", "first"]))
    second = await nodes.start("second", declared(receiver, ["both", "second"]))
    await share_out([first, second], ["both", "first", "second"])
    await first.publish(range(1, 6))
    await second.publish(range(6, 11))
    await all_received(receiver, everything(range(1, 6), ["both", "first"]))
    await all_received(receiver, everything(range(6, 11), ["both", "second"]))
    await first.stop()
    await second.publish(range(11, 14))
    await all_received(receiver, everything(range(11, 14), ["both", "second"]))
    assert (await second.readyz())["hooks"] == 2
    hooks = (await second.client.get("/event-hooks")).json()["data"]
    assert {hook["name"]: hook["delivered_by"] is not None for hook in hooks} == {"both": True, "second": True}


async def test_a_killed_node_is_noticed_in_time(nodes: Nodes, receiver: HttpReceiver) -> None:
    files = declared(receiver, NAMES)
    first, second = [await nodes.start(name, files) for name in ("first", "second")]
    await share_out([first, second])
    await second.publish(range(1, 4))
    await first.kill()
    killed_at = time.monotonic()
    await second.publish(range(4, 11))
    await second.logged("node_gone")
    assert time.monotonic() - killed_at < NOTICED
    await all_received(receiver, everything(range(1, 11)))
    assert max(Counter(received(receiver)).values()) <= 2
