"""What every event of a finished request carries of its service and consumer, and what on_change compares of them."""

import json
from hashlib import blake2b
from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.dispatch.digest import SIZE, digest
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.requests.kong_log import LIST_LIMIT, TEXT_LIMIT
from kong_eventhooks_plugin.sources.requests.rate_limiting import RateLimiting
from tests.support.events import events, recorded, seen, serialized

SERVICE = {
    "id": "s-1",
    "name": "demo",
    "host": "demo.internal",
    "port": 443,
    "protocol": "https",
    "path": "/a",
    "retries": 5,
    "enabled": True,
    "connect_timeout": 60000,
    "read_timeout": 60000,
    "write_timeout": 60000,
    "tags": ["team-a", "prod"],
    "client_certificate": {"id": "cert-1"},
    "ca_certificates": ["ca-1"],
    "tls_verify": True,
    "tls_verify_depth": 2,
    "ws_id": "w-1",
    "created_at": 1_795_278_761,
    "updated_at": 1_795_278_762,
}
CONSUMER = {
    "id": "c-1",
    "username": "Joe",
    "custom_id": "42",
    "tags": ["vip"],
    "type": 0,
    "ws_id": "w-1",
    "created_at": 1_795_278_761,
    "updated_at": 1_795_278_762,
}


def made(**changes: Any) -> Event:
    (event,) = events(RateLimiting(), seen(serialized(**changes)))
    return event


def test_they_are_as_a_recorded_log_has_them() -> None:
    log = json.loads(recorded()[8].serialized)
    (event,) = events(RateLimiting(), recorded()[8])
    assert event.data["service"] == log["service"]
    assert event.data["service"].keys() >= {"ws_id", "retries", "enabled", "read_timeout", "created_at", "updated_at"}
    assert event.data["consumer"] == log["consumer"]


def test_they_are_whole() -> None:
    data = made(service=SERVICE, consumer=CONSUMER).data
    assert (data["service"], data["consumer"]) == (SERVICE, CONSUMER)
    assert json.loads(msgspec.json.encode(data))["service"] == SERVICE


def test_a_field_that_is_null_is_absent() -> None:
    data = made(service=SERVICE | {"tags": None, "path": None}, consumer=CONSUMER | {"custom_id": None}).data
    assert data["service"] == {name: value for name, value in SERVICE.items() if name not in {"tags", "path"}}
    assert "custom_id" not in data["consumer"]


@pytest.mark.parametrize(
    ("entity", "more"),
    [
        ("consumer", {"password": "hush", "credential": {"key": "hush"}, "username_lower": "hush"}),
        ("consumer", {"authenticated_entity": "hush", "tags": [{"key": "hush"}]}),
        ("service", {"client_certificate": {"id": "cert-1", "key": "hush", "cert": "hush"}}),
        ("service", {"url": "https://joe:hush@demo.internal", "headers": {"authorization": "hush"}, "token": "hush"}),
    ],
)
def test_what_a_plugin_adds_to_them_is_not_in_the_event(entity: str, more: dict[str, Any]) -> None:
    own = {"consumer": CONSUMER, "service": SERVICE}[entity]
    event = made(**{entity: own | more})
    assert b"hush" not in msgspec.json.encode(event)
    assert event.data[entity] == {name: own[name] for name in own if name in event.data[entity]}
    assert event.data[entity]["id"] == own["id"]


def test_texts_and_lists_are_bounded() -> None:
    service = SERVICE | {"path": "/" + "x" * 99_999, "tags": ["t" * 99_999] * 999, "ca_certificates": {}}
    data = made(service=service, consumer=CONSUMER | {"username": "u" * 99_999}).data
    assert len(data["service"]["path"]) == len(data["consumer"]["username"]) == TEXT_LIMIT
    assert [len(tag) for tag in data["service"]["tags"]] == [TEXT_LIMIT] * LIST_LIMIT
    assert data["service"]["ca_certificates"] == []


def test_what_has_another_type_costs_nothing_else() -> None:
    odd = {"tags": "a", "retries": "many", "client_certificate": "cert-1", "enabled": [], "created_at": "today"}
    service = made(service=SERVICE | odd).data["service"]
    assert service == {name: value for name, value in SERVICE.items() if name not in odd}


def test_on_change_compares_what_it_always_did() -> None:
    event = made(service=SERVICE, consumer=CONSUMER)
    compared = {
        "consumer": {name: CONSUMER[name] for name in ("id", "username", "custom_id")},
        "ip": "192.0.2.7",
        "service": {name: SERVICE[name] for name in ("id", "name", "host", "port", "protocol", "path")},
    }
    assert digest(event) == blake2b(json.dumps(compared, sort_keys=True, separators=(",", ":")).encode(),
                                    digest_size=SIZE).digest()  # fmt: skip


@pytest.mark.parametrize(
    "reloaded",
    [{"created_at": 1, "updated_at": 1_795_999_999}, {"updated_at": None}, {"tags": ["new"]}, {"ws_id": "w-2"}],
)
def test_on_change_does_not_fire_for_what_a_reload_renews(reloaded: dict[str, Any]) -> None:
    before = made(service=SERVICE, consumer=CONSUMER)
    after = made(service=SERVICE | reloaded, consumer=CONSUMER | reloaded)
    assert before.data != after.data
    assert digest(before) == digest(after)


@pytest.mark.parametrize(("entity", "other"), [("service", {"host": "x"}), ("consumer", {"custom_id": "43"})])
def test_on_change_fires_for_another_service_or_consumer(entity: str, other: dict[str, Any]) -> None:
    before = {"service": SERVICE, "consumer": CONSUMER}
    after = before | {entity: before[entity] | other}
    assert digest(made(**before)) != digest(made(**after))
