"""What a caller without the token sees: a decision for every field of every answer, and nothing else in the answers.

A value that must not be seen is planted in every place that has no such decision, and looked for in what is sent.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from grpc import StatusCode
from msgspec import Struct

from kong_eventhooks_plugin.api.grpc.deliveries_calls import DeliveryCalls
from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import hooks_pb2, sources_pb2
from kong_eventhooks_plugin.api.grpc.events_calls import EventCalls as GrpcEventCalls
from kong_eventhooks_plugin.api.grpc.hooks_calls import HookCalls as GrpcHookCalls
from kong_eventhooks_plugin.api.grpc.hooks_calls import SourceCalls
from kong_eventhooks_plugin.api.rest.app import hook_form
from kong_eventhooks_plugin.api.rest.events_calls import EventCalls
from kong_eventhooks_plugin.api.rest.health import health_routes
from kong_eventhooks_plugin.api.rest.hooks_calls import HookCalls
from kong_eventhooks_plugin.api.rest.routes import Endpoint
from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.api.service.hook_states import HookStates
from kong_eventhooks_plugin.api.service.readiness import PollerStatus, Readiness, ReadinessCheck
from kong_eventhooks_plugin.api.service.visibility import CONFIG, DECISIONS, masked, shown, without_token
from kong_eventhooks_plugin.hooks.schema import handler_config
from kong_eventhooks_plugin.telemetry import metrics as metrics_module
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.api import Api, running
from tests.support.grpc_server import open_server, refused

TOKEN = "correct-horse-battery-staple"
SECRET = "canary"
NUMBER = 918_273_645
"""Planted as a number."""


def endpoints(api: Api) -> list[Endpoint]:
    hooks = HookCalls(api.service, Access(TOKEN), hook_form(api.known))
    return [*hooks.calls(), *EventCalls(api.service, 1.0).calls()]


def structs_in(hint: Any) -> Iterator[type[Struct]]:
    """Yield the structs that a type is made of, however deep."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield hint
        for each in get_type_hints(hint, include_extras=True).values():
            yield from structs_in(each)
    else:
        for part in (*get_args(hint), *get_args(getattr(hint, "__value__", None))):
            yield from structs_in(part)
    for base in getattr(hint, "__orig_bases__", ()):
        for part in get_args(base):
            yield from structs_in(part)


async def test_every_field_of_every_open_answer_has_a_decision(api: Api) -> None:
    answers = [call.answer[1] for call in endpoints(api) if call.kind == "open"]
    reached = {struct for answer in (*answers, Readiness) for struct in structs_in(answer)}
    assert reached == DECISIONS.keys()
    for struct, decisions in DECISIONS.items():
        assert tuple(sorted(decisions)) == tuple(sorted(struct.__struct_fields__)), struct
    assert CONFIG.keys() == {name for entry in handler_config()["fields"] for name in entry}
    assert {field.name for field in hooks_pb2.Hook.DESCRIPTOR.fields} <= DECISIONS[views.HookView].keys()


def test_a_field_without_a_decision_fails_the_test_and_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(views.HookScopeView, frozen=True):
        new: str = SECRET

    monkeypatch.setitem(DECISIONS, Longer, DECISIONS[views.HookScopeView])  # type: ignore[misc]
    assert without_token(Longer(None, None, None)).new == ""


def test_the_page_has_every_field_of_a_hook() -> None:
    page = (Path(__file__).parents[4] / "docs" / "security.md").read_text()
    section = page.partition("### What a caller without the token sees\n")[2].partition("\n## ")[0]
    shown_fields = [name for name, decision in DECISIONS[views.HookView].items() if decision is shown]
    times = {"created_at", "updated_at"}
    assert [name for name in shown_fields if f"`{name}`" not in section and name not in times] == []
    formats = {name for name in CONFIG if name.endswith("_format")}
    shown_config = {name for name, decision in CONFIG.items() if decision is shown} - formats
    assert [name for name in shown_config if f"`{name}`" not in section] == []


def test_every_label_of_the_metrics_is_a_name_or_a_kind() -> None:
    """So /metrics, whose labels are all shown, tells a caller without the token no more than that."""
    labels = {label for _, _, labels, _ in metrics_module.rows() for label in labels}
    assert labels == {
        "call", "ended", "error", "event", "function", "hook", "kind", "operation", "origin", "outcome", "poller",
        "reason", "source", "state", "status", "task",
    }  # fmt: skip


HOOK: Mapping[str, Any] = {
    "name": "a",
    "source": "custom",
    "event": "b",
    "handler": "webhook-custom",
    "filter": f"event.data.x == '{SECRET}'",
    "tags": ["t"],
    "config": {
        "url": f"https://u:{SECRET}@hooks.example/{SECRET}?{SECRET}#{SECRET}",
        "method": "POST",
        "secret": SECRET,
        "previous_secret": SECRET,
        "headers": {"x-a": SECRET},
        "payload": {SECRET: [SECRET, NUMBER, {"deep": NUMBER}, True]},
        "body": SECRET,
    },
}
FILE: Mapping[str, Any] = {
    "name": "f", "source": "custom", "handler": "webhook",
    "config": {"url": "https://hooks.example/", "secret_file": f"/run/secrets/{SECRET}"},
}  # fmt: skip
LAMBDA: Mapping[str, Any] = {
    "name": "l", "source": "custom", "handler": "lambda", "config": {"functions": [f"return '{SECRET}'"]}
}  # fmt: skip


@pytest.fixture
async def planted(tmp_path: Path) -> Any:
    async with running(tmp_path) as api:
        for hook in (HOOK, FILE, LAMBDA):
            await api.service.hooks.create(dict(hook))
        declared = {"name": "d", "source": "custom", "handler": "log", "handler_config": {}}
        api.declare(declared)
        await api.service.events.publish("b", {"x": SECRET, "n": NUMBER})
        yield api


def leaks(sent: str | bytes) -> list[str]:
    text = sent if isinstance(sent, str) else sent.decode("latin-1")
    return [planted for planted in (SECRET, str(NUMBER)) if planted in text]


async def test_every_rest_call_without_the_token(planted: Api) -> None:
    async with planted.served(access=Access(TOKEN)) as client:
        for call in endpoints(planted):
            hooks = ("a", "d", "f", "l", "none") if call.kind == "open" else ("a", "none")
            paths = {
                call.path.format(workspace="w", hook=hook, source="custom", event="x", delivery="x") for hook in hooks
            }
            for path in (path for each in paths for path in (each, f"{each}?size=no&tags=,&offset=!")):
                answer = await client.request(call.method, path, json={"event": SECRET})
                assert leaks(answer.content) == [], (call, answer.text)
                assert call.kind == "open" or answer.status_code == 401, (call, answer.text)
        seen = await client.get("/event-hooks", headers={"kong-admin-token": TOKEN})
        assert leaks(seen.content) == [SECRET, str(NUMBER)], "else nothing was planted"


async def test_every_grpc_call_without_the_token(planted: Api) -> None:
    service = planted.service
    tables = (
        GrpcHookCalls(service).table(),
        SourceCalls().table(),
        DeliveryCalls(service).table(),
        GrpcEventCalls(service).table(),
    )
    open_calls = {"ListHooks", "GetHook", "ListSources"}
    assert {call.name for table in tables for call in table.calls if call.kind == "open"} == open_calls
    async with open_server(planted, TOKEN) as client:
        for table in tables:
            for call in (each for each in table.calls if each.kind != "open"):
                path = f"/{table.service.full_name}/{call.name}"
                made = client.channel.unary_unary(path)(b"")
                assert (await refused(made)).code is StatusCode.UNAUTHENTICATED, path
        answers = [
            await client.hooks.ListHooks(hooks_pb2.ListHooksRequest()),
            *[await client.hooks.GetHook(hooks_pb2.GetHookRequest(hook=name)) for name in "adfl"],
            await client.sources.ListSources(sources_pb2.ListSourcesRequest()),
        ]
        assert [leaks(answer.SerializeToString()) + leaks(str(answer)) for answer in answers] == [[]] * 6
        none = await refused(client.hooks.GetHook(hooks_pb2.GetHookRequest(hook="none")))
        assert leaks(none.text) == []


class Delivering:
    delivering = leading = True

    def held_reason(self, _: str) -> str:
        return f"unresolved: no value for {SECRET}"


async def test_the_health_pages_without_the_token(planted: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, access = Metrics(), Access(TOKEN)
    status = PollerStatus((f"a text with {SECRET}",) * 2, {"crud": {"error": SECRET}}, {"path": f"/run/{SECRET}"})
    states = HookStates(planted.registry, Delivering())
    check = ReadinessCheck(
        planted.queue, planted.registry, metrics, Delivering(), states, time.monotonic, time.time, lambda: status
    )
    monkeypatch.setattr(planted.queue, "error", lambda: f"/var/lib/{SECRET}: disk full")
    health = health_routes(check.check, metrics, check.refresh, access)
    async with planted.served(access=access, health=health) as client:
        told = (await client.get("/readyz", headers={"kong-admin-token": TOKEN})).text
        for answer in [await client.get(path) for path in ("/healthz", "/readyz", "/metrics")]:
            assert leaks(answer.content) == [], answer.text
            assert answer.status_code == (503 if answer.url.path == "/readyz" else 200)
        ready = msgspec.json.decode((await client.get("/readyz")).content)
    assert told.count(SECRET) == 9
    assert (ready["status"], ready["store"]) == ("unready", "unavailable")
    assert ready["errors"] == ["2 errors; send the admin token to read what"]
    assert ready["held"] == dict.fromkeys(("a", "d", "f", "l"), "unresolved")


def test_a_reference_and_nothing_are_no_secret() -> None:
    assert [masked(value) for value in (None, "{vault://env/x}", 0, False, "", [], {})] == [
        None, "{vault://env/x}", "***", "***", "***", "***", "***"
    ]  # fmt: skip
