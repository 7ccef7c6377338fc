"""A null field is absent from what handlers send, as Kong removes them; a published event keeps its own."""

import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from kong_eventhooks_plugin.delivery.attempts import Attempts
from kong_eventhooks_plugin.delivery.hook_readiness import Ready
from kong_eventhooks_plugin.delivery.hook_rules import rules_of
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.handlers.contract import Handler
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.log import LogHandler
from kong_eventhooks_plugin.handlers.webhook_custom import WebhookCustomHandler
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Delivery
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sources.changes.events import events_of_change
from tests.support.crud import make_change
from tests.support.custom_webhooks import pool_and_custom_handler
from tests.support.delivery_jobs import webhook_handler
from tests.support.events import StandInQueue, make_event, make_hook
from tests.support.http_receiver import HttpReceiver, answer
from tests.support.log_lines import KeptLines

pytestmark = pytest.mark.asyncio(loop_scope="module")

# As Kong's Admin API answers: what is unset is null.
CREATED = events_of_change(make_change(entity={"id": "84cc", "username": "grace", "custom_id": None, "tags": None}))[0]
PLUGIN = {"id": "5d1e", "name": "cors", "consumer": None, "config": {"origins": ["*", None], "max_age": None}}
JSON = {"content-type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both() -> AsyncIterator[tuple[Pool, WebhookCustomHandler]]:
    async with pool_and_custom_handler() as made:
        yield made


async def attempted(handler: Handler, event: Event, **config: Any) -> Answer:
    """Make one attempt of a delivery, as the worker does."""
    attempts = Attempts(StandInQueue(), time.time, time.monotonic, random.random)
    hook = make_hook("h", source=event.source, handler=handler.name, config=config)
    stored = msgspec.json.encode(event.data)
    delivery = Delivery("d", event, hook.id, event.source, "pending", 0, 1.0, 1.0, data=stored)
    outcome = (
        await attempts.make(delivery, Ready(hook, handler, config, None, rules_of(config, DeliveryLimits())))
    ).outcome
    assert isinstance(outcome, Delivered), outcome
    return outcome.answer


async def posted(handler: Handler, event: Event, **config: Any) -> Any:
    async with HttpReceiver(answer(200)) as receiver:
        await attempted(handler, event, **config, url=f"{receiver.url}/hook")
        (request,) = await receiver.received(1)
        return json.loads(request.body)


async def test_webhook() -> None:
    handler = webhook_handler()
    body = await posted(handler, CREATED)
    assert body["entity"] == {"id": "84cc", "username": "grace"}
    assert body.keys().isdisjoint({"old_entity", "actor", "workspace", "deleted_with", "old_at"})
    entity = (await posted(handler, make_event(source="crud", data={"entity": PLUGIN})))["entity"]
    assert entity == {"id": "5d1e", "name": "cors", "config": {"origins": ["*", None]}}
    await handler.close()


@pytest.mark.parametrize("source", ["balancer", "certificate", "gateway", "rate-limiting"])
async def test_every_source_of_ours(source: str) -> None:
    handler = webhook_handler()
    body = await posted(handler, make_event(source=source, event="e", data={"ip": None, "port": 8080}))
    assert body == {"source": source, "event": "e", "port": 8080}
    await handler.close()


async def test_what_somebody_publishes_stays() -> None:
    handler = webhook_handler()
    assert (await posted(handler, make_event(source="custom", event="e", data={"a": None})))["a"] is None
    await handler.close()


async def test_log() -> None:
    lines = KeptLines()
    await attempted(LogHandler(lines, pid=1), CREATED)
    text = "\n".join(line.text for line in lines)
    assert "userdata" not in text
    assert "custom_id" not in text
    assert 'username = "grace"' in text


async def test_log_of_what_somebody_publishes() -> None:
    lines = KeptLines()
    published = make_event(source="custom", event="e", data={"owner": None, "list": [None]})
    await attempted(LogHandler(lines, pid=1), published)
    text = "\n".join(line.text for line in lines)
    assert "owner = null" in text
    assert "list = { null }" in text


async def test_lambda(both: tuple[Pool, WebhookCustomHandler]) -> None:
    code = """return function (data)
      return {data, data.old_entity == nil, data.entity.custom_id == nil, data.actor == nil}
    end"""
    got = await attempted(LambdaHandler(both[0], KeptLines()), CREATED, functions=[code])
    data, *absent = json.loads(got.body)
    assert absent == [True, True, True]
    assert data["entity"] == {"id": "84cc", "username": "grace"}
    assert "old_entity" not in data


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        ("resty", "{% for name in pairs(entity) do %}{{ name }}.{% end %}"),
        ("jinja2", "{% for name in entity %}{{ name }}.{% endfor %}"),
    ],
)
async def test_templates(both: tuple[Pool, WebhookCustomHandler], dialect: str, names: str) -> None:
    body = f'["{{{{ entity.username }}}}", "{{{{ entity.custom_id }}}}", "{names}"]'
    username, custom_id, found = await posted(both[1], CREATED, body=body, template=dialect, headers=JSON)
    assert (username, custom_id, sorted(found.split("."))) == ("grace", "", ["", "id", "username"])


async def test_jinja2_writes_null_where_a_field_is_absent(both: tuple[Pool, WebhookCustomHandler]) -> None:
    body = "[{{ old_entity | tojson }}, {{ entity.tags | tojson }}]"
    assert await posted(both[1], CREATED, body=body, template="jinja2", headers=JSON) == [None, None]


async def test_what_is_too_deep_is_sent_as_it_is() -> None:
    deep: dict[str, Any] = {"nothing": None}
    for _ in range(600):
        deep = {"in": deep}
    handler = webhook_handler()
    assert "in" in await posted(handler, make_event(source="crud", data=deep))
    await handler.close()
