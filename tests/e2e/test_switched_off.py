"""A hook that its endpoint switched off, as who is on call meets it, on a real sidecar."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kong_eventhooks_plugin.cli import cli
from tests.e2e.test_processes import Processes, World
from tests.support.http import http_client
from tests.support.http_receiver import HttpReceiver, answer
from tests.support.sampling import sample
from tests.support.waiting import SECONDS, until

pytestmark = pytest.mark.timeout(300)


def listed(place: list[str]) -> str:
    return CliRunner().invoke(cli, ["hooks", "list", *place]).stdout


@pytest.mark.parametrize("how", sample(["test", "ping", "PATCH"], 3))
async def test_it_is_seen_and_switched_on_again(tmp_path: Path, how: str) -> None:
    with Processes() as processes:
        data = tmp_path / "data"
        data.mkdir(mode=0o700)
        running = await asyncio.to_thread(World(tmp_path, data, processes).sidecar)
        base = f"http://127.0.0.1:{(await asyncio.to_thread(running.wait_for, 'api_listening'))['port']}"
        gone = HttpReceiver(answer(200), answer(410), answer(200))
        async with gone as receiver, http_client(base) as client:
            config = {"url": receiver.url}
            hook = {"name": "pager", "source": "custom", "handler": "webhook", "config": config}
            assert (await client.post("/event-hooks", json=hook)).status_code == 201
            await receiver.received(1)  # the ping of a new hook
            await client.post("/events", json={"event": "first", "data": {"n": 1}})
            await asyncio.to_thread(running.wait_for, "hook_disabled")
            assert (await client.get("/readyz")).json()["held"] == {"pager": "endpoint_gone"}
            for place in (["--data-dir", str(data)], ["--url", base]):
                await asyncio.to_thread(until, lambda place=place: "switches it on" in listed(place), "advised")
            await client.post("/events", json={"event": "second", "data": {"n": 2}})
            if how == "PATCH":
                assert (await client.patch("/event-hooks/pager", json={"enabled": True})).status_code == 200
            else:
                verb = "POST" if how == "test" else "GET"
                tried = await client.request(
                    verb, f"/event-hooks/pager/{how}", json={"n": 0} if how == "test" else None
                )
                assert tried.status_code == 200
            await asyncio.to_thread(running.wait_for, "hook_enabled")
            async with asyncio.timeout(SECONDS):
                while not any(json.loads(one.body).get("n") == 2 for one in receiver.requests):  # what waited
                    await receiver.received(len(receiver.requests) + 1)
            async with asyncio.timeout(SECONDS):
                while (await client.get("/readyz")).json()["held"]:  # noqa: ASYNC110 - the page is kept for a moment
                    await asyncio.sleep(0.05)
