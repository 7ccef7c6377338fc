"""A hook as it is shown."""

import json
from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.api.service.entity import hook_view
from kong_eventhooks_plugin.hooks.schema import HANDLERS_OF, OWN_RULES, handler_config
from kong_eventhooks_plugin.model.hook import Hook
from tests.support.api import Api


def entity(hook: Hook, *, trusted: bool) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(hook_view(hook, None, trusted=trusted))
    return shown


SECRETS = (
    "s3cret",
    "older-s3cret",
    "Bearer abc",
    "user:pa55",
    "T0KEN",
    "path-pa55",
    "payload-pa55",
    "body-pa55",
)
CONFIG = {
    "url": "https://user:pa55@hooks.example:8443/services/path-pa55?key=T0KEN",
    "secret": "s3cret",
    "previous_secret": "older-s3cret",
    "headers": {"authorization": "Bearer abc", "x-ref": "{vault://env/token}"},
    "payload": {"blocks": [{"key": "payload-pa55", "n": 5}]},
    "body": "body-pa55",
    "method": "PUT",
}


async def test_enterprises_fields_and_ours(api: Api) -> None:
    hook = await api.service.hooks.create(
        {"source": "crud", "event": "consumers", "handler": "webhook", "config": {"url": "https://x.test/"}}
    )
    assert entity(hook, trusted=True) == {
        "id": hook.id, "source": "crud", "event": "consumers", "handler": "webhook", "on_change": None, "snooze": None,
        "config": {"url": "https://x.test/", "headers": {}, "secret": None, "ssl_verify": True,
                   "previous_secret": None, "secret_file": None},
        "created_at": hook.created_at, "updated_at": hook.updated_at,
        "name": None, "filter": None, "enabled": True, "tags": None, "declared_in": None, "scope": None,
        "state": "on", "held": None, "delivered_by": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("handler", "config"),
    [
        ("log", {"level"}),
        ("lambda", {"functions"}),
        ("webhook-custom", {"url", "method", "payload", "payload_format", "body", "body_format", "headers",
                            "headers_format", "secret", "ssl_verify"}),
    ],
)  # fmt: skip
async def test_a_handlers_config_has_the_fields_that_it_reads(api: Api, handler: str, config: set[str]) -> None:
    given = {"url": "http://x/", "method": "POST", "functions": ["return print"]}
    own = {name: value for name, value in given.items() if handler in HANDLERS_OF[name]}
    hook = await api.service.hooks.create({"source": "crud", "handler": handler, "config": own})
    shown = entity(hook, trusted=True)["config"].keys()
    assert shown >= config
    assert shown == {name for name, handlers in HANDLERS_OF.items() if handler in handlers} - OWN_RULES


async def test_a_hook_s_own_rules_are_shown_where_they_are_set(api: Api) -> None:
    rules = {"timeout": 30, "retry": {"attempts": 3}, "success": "body == 'a secret word'", "ordered": False}
    hook = await api.service.hooks.create(
        {"source": "crud", "handler": "webhook", "config": {"url": "https://x.test/", **rules}}
    )
    assert {name: each for name, each in entity(hook, trusted=True)["config"].items() if name in OWN_RULES} == rules
    assert entity(hook, trusted=False)["config"] | {"success": "***"} == entity(hook, trusted=False)["config"]


async def test_functions_are_a_secret(api: Api) -> None:
    hook = await api.service.hooks.create(
        {"source": "custom", "handler": "lambda", "config": {"functions": ["lua-pa55"]}}
    )
    assert entity(hook, trusted=False)["config"] == {"functions": ["***"]}


async def test_a_declared_hook_has_its_place(api: Api) -> None:
    api.declare({"name": "d", "source": "custom", "handler": "log"})
    shown = entity(api.service.hooks.get("d"), trusted=True)
    assert (shown["name"], shown["declared_in"]) == ("d", "/etc/kong/kong.yml: plugins[0].config.hooks[0]")


async def test_a_trusted_caller_sees_what_was_set(api: Api) -> None:
    hook = await api.service.hooks.create({"source": "custom", "handler": "webhook-custom", "config": CONFIG})
    shown = json.dumps(entity(hook, trusted=True))
    assert all(secret in shown for secret in SECRETS)


async def test_another_caller_sees_no_secret(api: Api) -> None:
    hook = await api.service.hooks.create({"source": "custom", "handler": "webhook-custom", "config": CONFIG})
    shown = entity(hook, trusted=False)
    assert not [secret for secret in SECRETS if secret in json.dumps(shown)]
    assert shown["config"]["url"] == "https://hooks.example:8443/***"
    assert shown["config"]["headers"] == {"authorization": "***", "x-ref": "{vault://env/token}"}
    assert shown["config"]["payload"] == "***"
    assert shown["config"]["method"] == "PUT"
    assert shown.keys() == entity(hook, trusted=True).keys()


async def test_references_are_no_secret(api: Api) -> None:
    config = {"url": "{vault://env/url}", "secret": "{vault://env/secret}"}
    hook = await api.service.hooks.create({"source": "custom", "handler": "webhook", "config": config})
    shown = entity(hook, trusted=False)["config"]
    assert (shown["url"], shown["secret"]) == ("{vault://env/url}", "{vault://env/secret}")


async def test_a_url_without_a_path_is_shown(api: Api) -> None:
    config = {"url": "https://x.test/"}
    hook = await api.service.hooks.create({"source": "custom", "handler": "webhook", "config": config})
    assert entity(hook, trusted=False)["config"]["url"] == "https://x.test/"


def test_every_field_that_has_a_handler_here_is_one() -> None:
    known = {name for entry in handler_config()["fields"] for name in entry}
    assert HANDLERS_OF.keys() == known
