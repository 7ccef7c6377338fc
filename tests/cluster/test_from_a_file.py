"""A sidecar of its own joins the nodes over one PostgreSQL, as docs/cluster.md says: nothing is lost, nothing twice."""

import asyncio
import json
import sys
from pathlib import Path

import msgspec
import pytest

from tests.cluster.arrived import Arrived
from tests.cluster.nodes import Node, declarations
from tests.support.http_receiver import HttpReceiver, answer
from tests.support.processes import Processes

pytestmark = pytest.mark.long


async def test_from_its_file_to_the_shared_store(tmp_path: Path, postgres_store: str, receiver: HttpReceiver) -> None:
    arrived = Arrived(receiver)
    kong_yml = tmp_path / "kong.yml"
    kong_yml.write_bytes(msgspec.json.encode(declarations(receiver.url)))
    with Processes() as processes:
        node = Node("alone", tmp_path, None, kong_yml, processes)
        await node.start()
        made = {"name": "made", "source": "auth", "handler": "webhook", "config": {"url": receiver.url}}
        assert (await node.client.post("/event-hooks", json=made)).status_code == 201
        await node.publish_in_order(range(1, 21))
        await arrived.all_of(range(1, 21))
        receiver.answers = [answer(503)]
        await node.publish_in_order(range(21, 31))
        await arrived.all_of(range(21, 22))  # those after it wait for the endpoint
        await node.stop()

        before = tmp_path / "before"
        before.mkdir(mode=0o700)
        for file in (tmp_path / "alone" / "data").glob("events.db*"):
            file.rename(before / file.name)
        receiver.answers = [answer()]
        node.store = postgres_store
        await node.start()
        await node.publish(range(31, 41))
        command = (sys.executable, "-m", "kong_eventhooks_plugin", "store", "migrate")
        migrate = await asyncio.create_subprocess_exec(*command, "--from", str(before), "--to", postgres_store)
        assert await migrate.wait() == 0
        await node.publish(range(41, 51))

        await arrived.all_of(range(1, 51))
        await node.settled()
        listed = (await node.client.get("/events?size=1000&source=custom")).json()["data"]
        assert sorted(event["data"]["number"] for event in listed) == list(range(1, 51))
        names = {hook["name"] for hook in (await node.client.get("/event-hooks")).json()["data"]}
        assert names == {"made", "numbers", "limits"}
        taken = [number for number, _ in arrived.events()]
        assert sorted(set(taken)) == list(range(1, 51))
        assert arrived.under_one_id() == list(range(1, 51)), "whatever came again had the same id"
        refused = range(21, 31)
        assert all(taken.count(number) == 1 for number in set(taken).difference(refused)), (
            "which the endpoint had refused"
        )
        assert (await node.readyz())["status"] == "ready", json.dumps(await node.readyz())
        await node.close()
