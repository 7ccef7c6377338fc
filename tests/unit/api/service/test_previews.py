"""Previews: what a hook would do with an event, without doing it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import hooks_pb2 as pb
from kong_eventhooks_plugin.api.grpc.hooks_calls import HookCalls
from kong_eventhooks_plugin.api.grpc.structs import to_struct
from kong_eventhooks_plugin.api.service.previews import ChosenEvent
from kong_eventhooks_plugin.errors import UnknownHook, ValidationError
from kong_eventhooks_plugin.handlers.contract import DeliveryJob
from kong_eventhooks_plugin.handlers.http_client import HttpClient
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.handlers.webhook import WebhookHandler
from kong_eventhooks_plugin.handlers.webhook_custom import WebhookCustomHandler
from kong_eventhooks_plugin.queue.contract import EventFilter
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.api import Api, running


class NoLines:
    async def write(self, key: str, lines: Any) -> str | None:
        raise AssertionError(f"{key} wrote {lines}")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """An API with the real handlers; a client that sends nothing, and no lines may be written."""
    async with running(tmp_path) as opened:
        client = HttpClient(Metrics())
        await client.close()  # whoever sends raises
        handlers = (
            WebhookHandler(client),
            WebhookCustomHandler(client, opened.pool),
            LambdaHandler(opened.pool, NoLines(), 7),
            LogHandler(NoLines(), 7),
        )
        opened.handlers = {handler.name: handler for handler in handlers}
        opened.serve_handlers()
        yield opened


CUSTOM = {
    "name": "chat",
    "source": "rate-limiting",
    "handler": "webhook-custom",
    "filter": 'data.limit > 4 && data.consumer.username == "Joe"',
    "on_change": True,
    "config": {
        "method": "POST",
        "url": "http://chat.example/hooks/T0123456789ABCDEF?to={{ consumer.username }}&key=s3cr3t-key",
        "url_format": True,
        "headers": {"content-type": "application/json", "authorization": "Bearer abc", "x-priority": "high",
                    "x-from": "{vault://env/nobody}"},
        "payload": {"text": "{{ consumer.username }} has {{ limit }} per {{ window }}"},
        "secret": "s",
        "signature": {"header": "X-Hub-Signature"},
    },
}  # fmt: skip


async def test_the_whole_way_of_an_event(api: Api) -> None:
    await api.service.hooks.create(CUSTOM)
    seen = api.service.presenter.preview(await api.service.previews.of_hook("chat"))
    assert (seen.fires, seen.mismatch, seen.held_back, seen.error) == (False, None, "filter", None)
    assert seen.event.data["limit"] == 2
    assert seen.filter is not None
    assert [(part.depth, part.text, part.value) for part in seen.filter.parts] == [
        (0, 'data.limit > 4 && data.consumer.username == "Joe"', "false"),
        (1, "data.limit > 4", "false"),
        (2, "data.limit", "2"),
        (1, 'data.consumer.username == "Joe"', "true"),
        (2, "data.consumer.username", '"Joe"'),
    ]
    assert seen.suppression is not None
    assert (seen.suppression.verdict, seen.suppression.fired_at, seen.suppression.held) == ("fires", None, 0)
    request = seen.request
    assert request is not None
    assert (request.method, request.body) == ("POST", b'{"text":"Joe has 2 per minute"}')
    assert request.url == "http://chat.example/hooks/***?to=Joe&key=***"
    assert {name: request.headers[name] for name in CUSTOM["config"]["headers"]} == {
        "content-type": "application/json",
        "authorization": "Bearer ***",
        "x-priority": "high",
        "x-from": "{vault://env/nobody}",
    }
    assert {request.headers[name] for name in ("webhook-signature", "x-kong-signature", "x-hub-signature")} == {"***"}
    assert {limit.name for limit in seen.limits} == {
        "filter: sandbox_wall_seconds", "filter: sandbox_cpu_seconds",
        "sandbox_wall_seconds", "sandbox_cpu_seconds", "sandbox_output_bytes",
    }  # fmt: skip
    assert all(0 <= limit.used < limit.limit for limit in seen.limits)


async def test_what_holds_no_secret_is_shown(api: Api) -> None:
    custom = {"method": "POST", "url": "http://x/", "payload": {"a": "b"}}
    form = await api.service.previews.of_definition(
        {"source": "balancer", "handler": "webhook-custom", "config": custom}
    )
    sent = api.service.presenter.preview(form).request
    assert sent is not None
    boundary = sent.headers["content-type"].removeprefix("multipart/form-data; boundary=")
    assert f"--{boundary}--".encode() in sent.body
    binary = await api.service.previews.of_definition(
        {"source": "balancer", "handler": "webhook", "config": {"url": "http://x/", "preset": "cloudevents-binary"}}
    )
    sent = api.service.presenter.preview(binary).request
    assert sent is not None
    assert [name for name, value in sent.headers.items() if "*" in value and name != "accept"] == []
    assert {"ce-id", "ce-time", "ce-source"} <= sent.headers.keys()


async def test_of_a_lambda_its_lines_and_result(api: Api) -> None:
    lines = "kong.log.warn('limit ', data.limit) return { name = data.consumer.username }"
    function = f"return function(data, event, source, pid) {lines} end"
    definition = {"source": "rate-limiting", "handler": "lambda", "config": {"functions": [function]}}
    seen = api.service.presenter.preview(await api.service.previews.of_definition(definition))
    assert (seen.fires, seen.result, seen.error, seen.request) == (True, '{"name":"Joe"}', None, None)
    assert [(line.level, "limit 2" in line.text) for line in seen.lines] == [("warn", True)]
    broken = {**definition, "config": {"functions": ["return function() error('gone wrong') end"]}}
    seen = api.service.presenter.preview(await api.service.previews.of_definition(broken))
    assert (seen.result, "gone wrong" in (seen.error or "")) == (None, True)
    assert [line.level for line in seen.lines] == ["err"]


async def test_a_lambda_keeps_what_its_deliveries_know(api: Api) -> None:
    count = "local count = 0 return function() count = count + 1 return { count = count } end"
    hook = await api.service.hooks.create(
        {"name": "count", "source": "rate-limiting", "handler": "lambda", "config": {"functions": [count]}}
    )
    for _ in range(2):
        assert (await api.service.previews.of_hook("count")).handled.result
    preview = await api.service.previews.of_hook("count")
    assert preview.handled.result == b'{"count":3}', "dry runs share their own upvalues"
    outcome = await api.handlers["lambda"].deliver(
        DeliveryJob("d", preview.event, hook.source, hook, hook.config, 1, 0.0)
    )
    assert outcome.answer.body == b'{"count":1}'


async def test_a_log_line(api: Api) -> None:
    seen = await api.service.previews.of_definition({"source": "balancer", "handler": "log", "config": {}})
    assert [line.level for line in seen.handled.lines][:1] == ["notice"]
    assert any("unhealthy" in line.text for line in seen.handled.lines)


async def test_a_recorded_event_and_what_suppression_remembers(api: Api) -> None:
    hook = await api.service.hooks.create(
        {"name": "own", "source": "custom", "handler": "log", "snooze": 60, "config": {}}
    )
    receipt = await api.service.events.publish("deployed", {"version": 7})
    seen = await api.service.previews.of_hook("own", ChosenEvent(event_id=receipt.event_id))
    assert (seen.event.event, seen.event.data) == ("deployed", {"version": 7})
    assert (seen.held_back, seen.suppression is not None and seen.suppression.verdict) == ("snoozed", "snoozed")
    other = await api.service.previews.of_hook("own", ChosenEvent(event="removed", data={"version": 7}))
    assert (other.held_back, other.event.event) == (None, "removed")
    assert (await api.service.previews.of_hook("own", ChosenEvent(event_id=receipt.event_id))).held_back == "snoozed"
    page = await api.queue.events(EventFilter(hook_id=hook.id), 10)
    assert len(page.events) == 1, "a preview stores nothing"
    with pytest.raises(ValidationError, match="there is no event nobody"):
        await api.service.previews.of_hook("own", ChosenEvent(event_id="nobody"))
    with pytest.raises(UnknownHook):
        await api.service.previews.of_hook("nobody")


async def test_changes_are_previewed_and_not_stored(api: Api) -> None:
    await api.service.hooks.create(CUSTOM)
    seen = await api.service.previews.of_hook("chat", changes={"filter": "data.limit == 2"})
    assert (seen.held_back, seen.filter is not None and seen.filter.holds) == (None, True)
    assert api.service.hooks.get("chat").filter == CUSTOM["filter"]
    with pytest.raises(ValidationError, match=r"config\.url"):
        await api.service.previews.of_hook("chat", changes={"config": {"url": "nowhere"}})


REPEATED = "a hook on the source 'crud' that names no event does not receive this event"


@pytest.mark.parametrize(
    ("hook", "chosen", "mismatch"),
    [
        ({"source": "crud", "event": "admins"}, ChosenEvent("consumers"), "the hook is on the event 'admins'"),
        ({"source": "crud"}, ChosenEvent("consumers:create"), REPEATED),
        ({"source": "crud"}, ChosenEvent(), None),
    ],
)  # fmt: skip
async def test_an_event_that_does_not_reach_the_hook(api: Api, hook: Any, chosen: Any, mismatch: str | None) -> None:
    seen = await api.service.previews.of_definition({**hook, "handler": "log", "config": {}}, chosen)
    assert seen.mismatch == mismatch


async def test_over_rest(api: Api) -> None:
    await api.service.hooks.create(CUSTOM)
    async with api.served() as client:
        seen = await client.post("/event-hooks/chat/preview", json={"data": {"limit": 9, "consumer": {}}})
        assert seen.status_code == 200
        body = seen.json()
        assert (body["event"]["data"], body["held_back"]) == ({"limit": 9, "consumer": {}}, "filter_error")
        assert body["filter"]["parts"][4]["error"] == 'NOT_FOUND: Key not found in map : "username"'
        refused = await client.post("/event-hooks/preview", json={"event": 3})
        assert (refused.status_code, refused.json()["fields"]) == (400, {"event": "expected a string"})
        definition = {"source": "balancer", "handler": "webhook", "config": {"url": "{vault://env/nobody}"}}
        seen = await client.post("/event-hooks/preview", json={"hook": definition})
        assert seen.json()["request"]["url"] == "{vault://env/nobody}"
        assert '"health":"unhealthy"' in seen.json()["request"]["body"]


async def test_over_grpc(api: Api) -> None:
    await api.service.hooks.create({**CUSTOM, "snooze": 60})
    calls = HookCalls(api.service)
    request = pb.PreviewHookRequest(hook="chat", data=to_struct({"limit": 9, "consumer": {}, "window": "hour"}))
    seen: Any = await calls.preview(request, True)
    assert (seen.hook.name, seen.fires, seen.held_back, seen.filter.HasField("verdict")) == (
        "chat", False, "filter_error", False,
    )  # fmt: skip
    assert (seen.suppression.verdict, seen.suppression.HasField("fired_at")) == (pb.SUPPRESSION_OUTCOME_FIRES, False)
    assert (seen.request.body, seen.event.data["limit"]) == (b'{"text":" has 9 per hour"}', 9)
    assert seen.filter.parts[1].value == "true"
    definition = pb.Hook(source="balancer", handler="log")
    seen = await calls.preview(pb.PreviewHookRequest(definition=definition), True)
    assert (seen.fires, seen.lines[0].level, seen.event.event) == (True, "notice", "health")
    with pytest.raises(ValidationError, match="definition: required field missing"):
        await calls.preview(pb.PreviewHookRequest(), True)
