"""Ping and test with the real handlers: a real endpoint, real templates, real Lua."""

import json
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from kong_eventhooks_plugin.handlers.compile_check import compile_errors
from kong_eventhooks_plugin.handlers.http_client import HttpClient
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.handlers.webhook_custom import WebhookCustomHandler
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.api import Api, running
from tests.support.custom_webhooks import UNHURRIED
from tests.support.http_receiver import HttpReceiver, answer
from tests.support.log_lines import KeptLines

EXCEEDED = {"consumer": {"username": "Joe"}, "service": {"name": "demo"}, "limit": 2, "rate": 3, "window": "minute"}


class World:
    """An API whose handlers are the real ones, an endpoint, and the lines for Kong's error log."""

    def __init__(self, client: httpx.AsyncClient, endpoint: HttpReceiver, lines: list[LogLine], api: Api) -> None:
        self.client, self.endpoint, self.lines, self.api = client, endpoint, lines, api

    async def put(self, handler: str, **config: Any) -> httpx.Response:
        source = {"source": "rate-limiting-advanced", "event": "rate-limit-exceeded", "handler": handler}
        return await self.client.put("/event-hooks/a", json={**source, "config": config})

    async def test(self, data: Mapping[str, Any] = EXCEEDED) -> httpx.Response:
        return await self.client.post("/event-hooks/a/test", json=data)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    pool, lines, metrics = Pool(UNHURRIED), KeptLines(), Metrics()
    handlers = [
        WebhookHandler(HttpClient(metrics)),
        WebhookCustomHandler(HttpClient(metrics), pool),
        LambdaHandler(pool, lines),
        LogHandler(lines),
    ]
    async with (
        running(tmp_path, handlers={one.name: one for one in handlers}, check=partial(compile_errors, pool)) as api,
        HttpReceiver(answer(200, b"ok", {"x-request-id": "r1"})) as endpoint,
        api.served() as client,
    ):
        yield World(client, endpoint, lines, api)
    for handler in handlers:
        await handler.close()
    await pool.close()


async def test_webhook(world: World) -> None:
    assert (await world.put("webhook", url=world.endpoint.url, secret="s3cret")).status_code == 200
    received = await world.client.get("/event-hooks/a/ping")
    assert received.status_code == 200
    (ping,) = await world.endpoint.received(1)
    assert json.loads(ping.body) == received.json()
    assert ping.headers["x-kong-signature"].startswith("sha256=")
    assert b"s3cret" not in ping.body
    tested = (await world.test()).json()
    assert tested["data"] == EXCEEDED
    assert tested["result"] == {"body": "ok", "status": 200, "headers": {"x-request-id": "r1", "content-length": "2"}}
    sent = json.loads((await world.endpoint.received(2))[1].body)
    assert sent == {"source": "rate-limiting-advanced", "event": "rate-limit-exceeded", **EXCEEDED}


async def test_the_ping_of_an_unnamed_hook_says_what_the_api_says(world: World) -> None:
    definition = {"source": "crud", "event": "consumers", "handler": "webhook", "config": {"url": world.endpoint.url}}
    made = (await world.client.post("/event-hooks", json=definition)).json()
    ping = (await world.client.get(f"/event-hooks/{made['id']}/ping")).json()
    config = {"url": world.endpoint.url, "headers": {}, "secret": None, "ssl_verify": True}
    assert ping["event_hooks"] == {
        name: made[name]
        for name in ("id", "name", "source", "event", "handler", "on_change", "snooze", "created_at", "updated_at")
    } | {"config": config}
    assert made["name"] is None
    assert made["on_change"] is None


async def test_who_was_limited_on_which_service(world: World) -> None:
    """The headline of Kong's documentation, as far as the message: the message names the consumer and the service."""
    text = "Rate limit exceeded by '{{ consumer.username }}' on service '{{ service.name }}'"
    made = await world.put(
        "webhook-custom", url=world.endpoint.url, method="POST", headers={"content-type": "application/json"},
        payload={"text": text},
    )  # fmt: skip
    assert made.status_code == 200
    assert (await world.test()).json()["result"]["status"] == 200
    (request,) = await world.endpoint.received(1)
    assert json.loads(request.body) == {"text": "Rate limit exceeded by 'Joe' on service 'demo'"}


async def test_what_does_not_compile_is_refused_when_it_is_made(world: World) -> None:
    broken = await world.put("webhook-custom", url=world.endpoint.url, method="POST", body="{% if %}")
    assert broken.status_code == 400
    assert "body" in broken.json()["fields"]["config"]
    filtered = {"source": "custom", "handler": "log", "filter": "data.a =="}
    broken = await world.client.put("/event-hooks/a", json=filtered)
    assert (broken.status_code, list(broken.json()["fields"])) == (400, ["filter"])
    broken = await world.put("lambda", functions=["return function( end"])
    assert broken.status_code == 400
    assert "functions" in broken.json()["fields"]["config"]
    assert world.api.registry.hooks() == {}


async def test_lambda_logs_with_error(world: World) -> None:
    code = 'return function (data)\n  error("Event hook on consumer " .. data.consumer.username .. "")\nend\n'
    assert (await world.put("lambda", functions=[code])).status_code == 200
    tested = await world.test()
    assert (tested.status_code, tested.json()["result"]["status"]) == (200, None)
    assert [line.level for line in world.lines] == ["err"]
    assert ":2: Event hook on consumer Joe" in world.lines[0].text


async def test_log(world: World) -> None:
    assert (await world.put("log")).status_code == 200
    assert (await world.test()).status_code == 200
    assert any("log callback" in line.text for line in world.lines)


@pytest.mark.parametrize("status", [301, 404, 500])
async def test_where_it_failed(world: World, status: int) -> None:
    world.endpoint.answers = [answer(status, b"why")]
    await world.put("webhook", url=world.endpoint.url)
    failed = await world.test()
    assert failed.status_code == 500
    assert failed.json()["result"] == {"body": "why", "status": status, "headers": {"content-length": "3"}}
    assert str(status) in failed.json()["message"]


async def test_no_server(world: World) -> None:
    await world.put("webhook", url="http://127.0.0.1:9/")
    failed = await world.test()
    assert (failed.status_code, failed.json()["error"], failed.json()["result"]) == (500, "connect", None)
