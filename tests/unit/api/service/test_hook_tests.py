"""Ping and test: a handler called at once."""

import asyncio
from typing import Any

import pytest

from kong_eventhooks_plugin.api.service import hook_tests as hook_tests_module
from kong_eventhooks_plugin.errors import HookTestFailed, NoPing, TooBusy, UnknownHook, ValidationError
from kong_eventhooks_plugin.handlers.contract import DeliveryJob
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Discard, Retry
from kong_eventhooks_plugin.sources.examples import example_event
from tests.support.api import Api

WEBHOOK = {
    "name": "web",
    "source": "rate-limiting",
    "handler": "webhook",
    "config": {"url": "http://x/", "secret": "s"},
}


async def test_a_ping_is_sent_and_shown_without_secrets(api: Api) -> None:
    hook = await api.service.hooks.create(WEBHOOK)
    body = await api.service.test_delivery.ping("web")
    assert api.recorders["webhook"].pinged == [("web", None)], "no operation: nothing was created, changed or deleted"
    assert (body["source"], body["event"], body["event_hooks"]["id"]) == (
        "kong:event_hooks",
        "ping",
        hook.id,
    )
    assert "operation" not in body
    assert body["event_hooks"]["config"]["secret"] == "***"


async def test_one_that_arrives_switches_the_hook_on(api: Api) -> None:
    hook = await api.service.hooks.create({**WEBHOOK, "enabled": True})
    assert api.enabled == []
    await api.service.test_delivery.ping("web")
    await api.service.test_delivery.test("web", {})
    assert api.enabled == [hook.id, hook.id]
    api.recorders["webhook"].outcome = Retry("status", "answered 500", Answer(500))
    with pytest.raises(HookTestFailed):
        await api.service.test_delivery.test("web", {})
    assert api.enabled == [hook.id, hook.id]


@pytest.mark.parametrize(("source", "sent"), [("rate-limiting", {"limit": 5}), ("custom", {"limit": 5, "rate": None})])
async def test_it_is_sent_as_an_event_of_the_source(api: Api, source: str, sent: dict[str, Any]) -> None:
    await api.service.hooks.create({**WEBHOOK, "source": source})
    await api.service.test_delivery.test("web", {"limit": 5, "rate": None})
    assert api.recorders["webhook"].jobs[0].event.data == sent


async def test_a_handler_without_ping(api: Api) -> None:
    await api.service.hooks.create({**WEBHOOK, "handler": "log", "config": {}})
    with pytest.raises(NoPing, match=r"^handler 'log' does not support 'ping'$"):
        await api.service.test_delivery.ping("web")


async def test_a_test_calls_the_handler_with_what_was_posted(api: Api) -> None:
    hook = await api.service.hooks.create({**WEBHOOK, "enabled": False, "on_change": True})
    tested = await api.service.test_delivery.test("web", {"consumer": {"username": "Jane"}})
    (job,) = api.recorders["webhook"].jobs
    assert (job.event.data, job.hook, job.source) == ({"consumer": {"username": "Jane"}}, hook, "rate-limiting")
    assert (job.event.event, job.attempt) == ("rate-limit-exceeded", 1)
    assert tested == (job.event.data, api.recorders["webhook"].outcome.answer, None, None, None)
    assert (await api.queue.stats()).depth == {"pending": 0, "leased": 0, "delivered": 0, "dead": 0}


@pytest.mark.parametrize(
    ("hook", "data", "expected"),
    [
        ({"source": "crud", "event": "admins"}, {"event": "x"}, "admins"),
        ({"source": "crud"}, {"event": "consumers"}, "consumers"),
        ({"source": "crud"}, {"event": 5}, "consumers"),
        ({"source": "rate-limiting"}, {}, "rate-limit-exceeded"),
        ({"source": "custom"}, {}, "example"),
        ({"source": "crud", "event": "admins"}, {}, "admins"),
    ],
)
async def test_the_event_of_a_test(api: Api, hook: Any, data: dict[str, Any], expected: str) -> None:
    await api.service.hooks.create({**WEBHOOK, **hook})
    await api.service.test_delivery.test("web", data)
    assert api.recorders["webhook"].jobs[0].event.event == expected


async def test_without_data_it_is_the_example(api: Api) -> None:
    await api.service.hooks.create(WEBHOOK)
    tested = await api.service.test_delivery.test("web", {})
    assert tested.data == example_event("rate-limiting", "rate-limit-exceeded", 0).data
    assert api.recorders["webhook"].jobs[0].event.data.items() <= tested.data.items(), "all but what is null"


@pytest.mark.parametrize(
    "outcome", [Retry("status", "answered 503", Answer(503, b"why")), Discard("gone", "answered 410", Answer(410))]
)
async def test_what_does_not_arrive(api: Api, outcome: Any) -> None:
    await api.service.hooks.create(WEBHOOK)
    api.recorders["webhook"].outcome = outcome
    for trial in (api.service.test_delivery.ping("web"), api.service.test_delivery.test("web", {})):
        with pytest.raises(HookTestFailed, match=f"^{outcome.detail}$") as failed:
            await trial
        assert (failed.value.error, failed.value.answer) == (outcome.error, outcome.answer)


async def test_nothing_came_back(api: Api) -> None:
    await api.service.hooks.create(WEBHOOK)
    api.recorders["webhook"].outcome = Retry("connect", "connection refused")
    with pytest.raises(HookTestFailed) as failed:
        await api.service.test_delivery.test("web", {})
    assert failed.value.answer is None


async def test_a_handler_that_raises_reveals_no_more_than_its_class(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.service.hooks.create(WEBHOOK)

    async def fail(_: DeliveryJob) -> Any:
        raise ValueError("http://user:password@x/")

    monkeypatch.setattr(api.recorders["webhook"], "deliver", fail)
    with pytest.raises(HookTestFailed, match=r"^the handler raised ValueError$") as failed:
        await api.service.test_delivery.test("web", {})
    assert failed.value.__suppress_context__, "nor does a traceback"


async def test_a_reference_without_a_value(api: Api) -> None:
    await api.service.hooks.create({**WEBHOOK, "config": {"url": "http://x/", "secret": "{vault://env/nobody}"}})
    with pytest.raises(HookTestFailed, match="vault://env/nobody"):
        await api.service.test_delivery.ping("web")


@pytest.mark.parametrize("data", [{"a": "\0"}, {"a": 1 << 80}, {"a": {"b": float("inf")}}])
async def test_data_that_nothing_could_keep(api: Api, data: dict[str, Any]) -> None:
    await api.service.hooks.create(WEBHOOK)
    with pytest.raises(ValidationError):
        await api.service.test_delivery.test("web", data)


async def test_an_unknown_hook(api: Api) -> None:
    for trial in (api.service.test_delivery.ping("nobody"), api.service.test_delivery.test("nobody", {})):
        with pytest.raises(UnknownHook):
            await trial


async def test_only_so_many_at_once(api: Api) -> None:
    await api.service.hooks.create(WEBHOOK)
    recorder = api.recorders["webhook"]
    recorder.gate = asyncio.Event()
    running = [asyncio.create_task(api.service.test_delivery.test("web", {})) for _ in range(hook_tests_module.AT_ONCE)]
    await recorder.called(hook_tests_module.AT_ONCE)
    with pytest.raises(TooBusy):
        await api.service.test_delivery.test("web", {})
    recorder.gate.set()
    await asyncio.gather(*running)
    assert isinstance(recorder.outcome, Delivered)
    await api.service.test_delivery.test("web", {})


async def test_one_that_does_not_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.service.hooks.create(WEBHOOK)
    api.recorders["webhook"].gate = asyncio.Event()
    monkeypatch.setattr(hook_tests_module, "MAX_SECONDS", 0.01)
    with pytest.raises(HookTestFailed, match="in time") as failed:
        await api.service.test_delivery.test("web", {})
    assert failed.value.error == "timeout"
