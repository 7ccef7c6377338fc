"""Kong's published OpenAPI file for event hooks (3.15), used as a client that is generated from it uses it.

The schemas are those of the file in short, and null is allowed where its examples or Kong's guides have it. Where the
file contradicts the gateway, the gateway counts; docs/coming-from-enterprise.md lists each of these places.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from kong_eventhooks_plugin.api.service.access import Access
from kong_eventhooks_plugin.kong.plugin_server.plugin_info import known
from tests.support.api import Api, running

TOKEN = "0123456789abcdef"
ID = "937df175-3db2-4e6d-8aa1-d95c94a76089"

TEXT = {"type": "string"}
NULLABLE = {"type": ["string", "null"]}
BOOLEAN = {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def record(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


COMMON = {"url": TEXT, "headers": TEXTS, "secret": NULLABLE, "ssl_verify": BOOLEAN}
CONFIG = {
    "webhook": record(**COMMON),
    "webhook-custom": record(
        **COMMON, method=TEXT, payload={"type": ["object", "null"]}, payload_format=BOOLEAN, body=NULLABLE,
        body_format=BOOLEAN, headers_format=BOOLEAN,
    ),
    "log": {"type": "object"},
    "lambda": record(functions={"type": "array", "items": TEXT}),
}  # fmt: skip
HOOK = record(
    id=TEXT, source=TEXT, event=NULLABLE, handler=TEXT, on_change={"type": ["boolean", "null"]},
    snooze={"type": ["integer", "null"]}, created_at={"type": "integer"}, updated_at={"type": "integer"},
)  # fmt: skip
HOOK["allOf"] = [
    {"if": {"properties": {"handler": {"const": name}}}, "then": record(config=config)}
    for name, config in CONFIG.items()
]  # fmt: skip
HOOKS = record(data={"type": "array", "items": HOOK}, next=NULLABLE)
FIELDS = record(fields={"type": "array", "items": TEXT})
UNAUTHORIZED = record(message=TEXT, status={"const": 401})

WEBHOOK = {
    "source": "crud", "event": "consumers", "handler": "webhook", "on_change": True, "snooze": 0,
    "config": {"url": "https://webhook.site/a1b2c3", "headers": {"x-custom": "v"}, "secret": "s", "ssl_verify": False},
}  # fmt: skip
"""Every documented field of a request, with the documented default of ``snooze``."""


def check(schema: dict[str, Any], value: Any) -> None:
    jsonschema_rs.validate(schema, value)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running(tmp_path, known=known()) as opened:
        yield opened


async def test_every_documented_field_is_accepted(client: httpx.AsyncClient) -> None:
    made = await client.post("/event-hooks", json=WEBHOOK)
    assert made.status_code == 201
    check(HOOK, made.json())
    hook = made.json()
    assert {name: hook[name] for name in WEBHOOK} == {**WEBHOOK, "snooze": None, "config": hook["config"]}
    assert {name: hook["config"][name] for name in CONFIG["webhook"]["required"]} == WEBHOOK["config"]
    listed = (await client.get("/event-hooks")).json()
    check(HOOKS, listed)
    assert listed == {"data": [hook], "next": None}


@pytest.mark.parametrize(
    ("handler", "config"),
    [
        ("webhook", {"url": "https://x.test/"}),
        ("webhook-custom", {"url": "https://x.test/", "method": "POST"}),
        ("lambda", {"functions": ["return function() end"]}),
        ("log", {}),
    ],
)
async def test_a_hook_with_the_required_fields_alone_has_every_field(
    client: httpx.AsyncClient, handler: str, config: dict[str, Any]
) -> None:
    made = await client.post("/event-hooks", json={"source": "crud", "handler": handler, "config": config})
    assert made.status_code == 201
    check(HOOK, made.json())
    if "url" in config:
        assert made.json()["config"]["headers"] == {}
    changed = await client.patch(f"/event-hooks/{made.json()['id']}", json={"snooze": 5})
    assert changed.json()["config"] == made.json()["config"]


@pytest.mark.parametrize("handler", ["webhook", "webhook-custom"])
async def test_what_the_api_shows_can_be_created_again(client: httpx.AsyncClient, handler: str) -> None:
    config = {"url": "https://x.test/"} | ({"method": "PUT"} if handler == "webhook-custom" else {})
    made = (await client.post("/event-hooks", json={"source": "crud", "handler": handler, "config": config})).json()
    assert (await client.delete(f"/event-hooks/{made['id']}")).status_code == 204
    again = await client.post("/event-hooks", json=made)
    assert again.status_code == 201
    assert again.json() == {**made, "updated_at": again.json()["updated_at"]}


async def test_dotted_names_are_for_forms_alone(client: httpx.AsyncClient) -> None:
    """The file has ``config.url`` and others as properties of a JSON body; the gateway, and we, refuse these."""
    flat = {"source": "crud", "handler": "webhook", "config.url": "https://webhook.site/a1b2c3"}
    refused = await client.post("/event-hooks", json=flat)
    assert (refused.status_code, refused.json()["fields"]) == (
        400, {"config.url": "unknown field", "config": {"url": "required field missing"}},
    )  # fmt: skip
    made = await client.post("/event-hooks", data=flat)
    assert (made.status_code, made.json()["config"]["url"]) == (201, "https://webhook.site/a1b2c3")


async def test_a_hook_is_deleted(client: httpx.AsyncClient) -> None:
    made = (await client.post("/event-hooks", json=WEBHOOK)).json()
    assert (await client.delete(f"/event-hooks/{made['id']}")).status_code == 204
    assert (await client.delete(f"/event-hooks/{made['id']}")).status_code == 404


async def test_ping_and_test(client: httpx.AsyncClient) -> None:
    made = (await client.post("/event-hooks", json=WEBHOOK)).json()
    assert (await client.get(f"/event-hooks/{made['id']}/ping")).status_code == 200
    # The file describes no body: a generated client sends none.
    tested = await client.post(f"/event-hooks/{made['id']}/test")
    assert (tested.status_code, tested.json()["data"]["schema"]) == (200, "consumers"), "the event's example"


async def test_sources(client: httpx.AsyncClient) -> None:
    sources = (await client.get("/event-hooks/sources")).json()["data"]
    check(record(balancer=record(health=FIELDS, resolved=FIELDS), crud=record(acls=FIELDS, sessions=FIELDS)), sources)
    for source, events in sources.items():
        assert (await client.get(f"/event-hooks/sources/{source}")).json() == {"data": events}
        for event, described in events.items():
            check(FIELDS, described)
            if event == "consumers":
                assert (await client.get(f"/event-hooks/sources/{source}/{event}")).json() == {"data": described}
    check(record(create=FIELDS, update=FIELDS, delete=FIELDS), sources["dao:crud"])
    exceeded = sources["rate-limiting-advanced"]["rate-limit-exceeded"]
    assert exceeded["description"] == "Run an event when a rate limit has been exceeded"


@pytest.mark.parametrize("event", ["sessions", "my_entities", "my_entities:create"])
async def test_an_event_that_a_hook_may_name_is_described(client: httpx.AsyncClient, event: str) -> None:
    hook = {"source": "crud", "event": event, "handler": "log"}
    assert (await client.post("/event-hooks", json=hook)).status_code == 201
    described = await client.get(f"/event-hooks/sources/crud/{event}")
    assert described.status_code == 200
    assert described.json()["data"]["fields"][:4] == ["operation", "entity", "old_entity", "schema"]


async def test_an_event_that_no_hook_may_name(client: httpx.AsyncClient) -> None:
    assert (await client.get("/event-hooks/sources/crud/My-Entities")).status_code == 404
    assert (await client.get("/event-hooks/sources/balancer/healthy")).status_code == 404


@pytest.mark.parametrize("path", ["/event-hooks", f"/event-hooks/{ID}/ping"])
async def test_without_the_token(api: Api, path: str) -> None:
    async with api.served(access=Access(TOKEN)) as client:
        refused = await (client.get(path) if path.endswith("ping") else client.post(path, json=WEBHOOK))
    assert refused.status_code == 401
    check(UNAUTHORIZED, refused.json())
