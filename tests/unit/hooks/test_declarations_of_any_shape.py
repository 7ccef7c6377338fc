"""Whatever stands in a file, an instance's configuration or the Admin API's list: hooks and errors, no exception."""

import json
import math
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kong_eventhooks_plugin.handlers.request_templates import templates
from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.declarations import instance_config, kong_yml, listed_plugins
from kong_eventhooks_plugin.hooks.declarations.declared import Declared
from kong_eventhooks_plugin.hooks.schema import handler_config
from tests.support.hooks import VALIDATION, log_hook, webhook

WORDS = (
    "name",
    "source",
    "event",
    "handler",
    "on_change",
    "snooze",
    "enabled",
    "tags",
    "config",
    "url",
    "headers",
    "secret",
    "payload",
    "functions",
    "hooks",
    "plugins",
    "services",
    "routes",
    "consumers",
    "consumer_groups",
    "service",
    "route",
    "consumer",
    "consumer_group",
    "id",
    "username",
    "event-hooks",
    "event-hooks-crud",
    "rate-limiting",
    "webhook",
    "log",
    "_format_version",
    "3.0",
    "_config",
    "_plugin_configs",
    "$refs",
    "{vault://env/x}",
    "https://a.b",
    "${{",
    "",
    "__plugin_id",
    "__seq__",
    "service_id",
    "é",
)
words = st.sampled_from(WORDS)
scalars = words | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=2)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(words | st.integers(0, 3) | st.none(), inner, max_size=5)
    ),
    max_leaves=25,
)
as_json = st.recursive(
    words | st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5),
    max_leaves=25,
)
hooks = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("name", "source", "handler", "config", "snooze", "tags"), anything)
)
nearly = st.sampled_from([log_hook(), webhook(), webhook(secret="{vault://env/x}")]).flatmap(
    lambda hook: st.dictionaries(words, anything, max_size=2).map(lambda changes: {**hook, **changes})
)
plugins = st.fixed_dictionaries(
    {"name": st.sampled_from(["event-hooks", "event-hooks", "event-hooks-crud"])},
    optional={
        "config": anything | st.fixed_dictionaries({"hooks": st.lists(hooks | nearly | anything, max_size=3)}),
        "enabled": anything,
        "service": anything,
        "route": anything,
        "consumer": anything,
        "_config": anything,
    },
)
documents = st.fixed_dictionaries(
    {"_format_version": st.just("3.0")},
    optional={
        "plugins": anything | st.lists(plugins, max_size=2),
        "services": anything
        | st.lists(st.fixed_dictionaries({"name": anything, "plugins": st.lists(plugins, max_size=1)}), max_size=2),
        "_plugin_configs": anything,
    },
)


def is_sound(declared: Declared) -> None:
    assert all(isinstance(error, DeclarationError) and error.message for error in declared.errors)
    for hook in declared.hooks:
        # What is taken can be stored.
        json.dumps([hook.name, hook.config, hook.origin.path, hook.tags], allow_nan=False).encode()
        assert len(hook.id) == 36


@settings(max_examples=3 * settings().max_examples)
@given(documents | anything)
def test_a_document(document: Any) -> None:
    declared = kong_yml.read(document, "kong.yml", VALIDATION)
    is_sound(declared)
    assert not (declared.hooks and declared.errors)


@given(st.lists(nearly, max_size=3))
def test_a_document_as_text(hooks: list[Any]) -> None:
    document = {"_format_version": "3.0", "plugins": [{"name": "event-hooks", "config": {"hooks": hooks}}]}
    is_sound(kong_yml.parse(yaml.safe_dump(document).encode("utf-8", "surrogatepass"), "kong.yml", VALIDATION))


@given(st.binary(max_size=100), st.sampled_from(["kong.yml", "kong.json"]))
def test_any_bytes(data: bytes, where: str) -> None:
    is_sound(kong_yml.parse(data, where, VALIDATION))


@settings(max_examples=3 * settings().max_examples)
@given(
    st.fixed_dictionaries(
        {"__plugin_id": st.just("p")},
        optional={
            "hooks": as_json | st.lists(st.dictionaries(words, as_json, max_size=6), max_size=2),
            "__seq__": as_json,
            "route_id": as_json,
        },
    )
    | as_json
)
def test_an_instance(config: Any) -> None:
    is_sound(instance_config.read(json.dumps(config).encode(), VALIDATION).declared)


@given(st.binary(max_size=60))
def test_an_instance_of_any_bytes(config: bytes) -> None:
    assert instance_config.read(config, VALIDATION).declared.hooks == ()


@given(st.lists(anything | plugins.flatmap(lambda p: st.just({"id": "p", "route": {"id": 5}, **p})), max_size=3))
def test_the_admin_apis_list(listed: Any) -> None:
    for declared in listed_plugins.read(listed, VALIDATION).declared.values():
        is_sound(declared)


FIELDS = [name for entry in handler_config()["fields"] for name in entry]
mistaken = st.sampled_from(FIELDS).map(lambda name: f"{name}x") | st.sampled_from([*FIELDS, "snooze", "filter"])
values = st.sampled_from(
    [
        None,
        True,
        5,
        "x",
        "\0",
        "post",
        "http://x/{{ a }}",
        "whsec_",
        [],
        {},
        {"Host": 5},
        {"a": math.nan},
        ["return 1", 5],
    ]
)


@given(
    st.sampled_from(["webhook", "webhok", "webhook-custom", "lamda", "log", "?"]),
    st.dictionaries(mistaken, values, max_size=6),
    st.sampled_from(["handler_config", "handler_confg", "config"]),
)
@example("webhook-custom", {"method": "\0"}, "handler_config")
@example("webhok", {"headers": "x", "payload": {}}, "handler_config")
@example("lamda", {"secret": {}, "url": 5}, "config")
def test_a_handlers_record_with_several_mistakes(handler: str, config: dict[str, Any], name: str) -> None:
    hook = {"name": "a", "source": "crud", "event": "consumer", "handler": handler, name: config}
    examined = kong_yml.examine(
        {"_format_version": "3.0", "plugins": [{"name": "event-hooks", "config": {"hooks": [hook]}}]}, "f", VALIDATION
    )
    assert len(examined.hooks) + len(examined.parts) == 1
    for each in (*examined.hooks, *examined.parts):
        templates(each.config)
    of_the_api = VALIDATION.examined({"config" if key == name else key: each for key, each in hook.items()})
    assert of_the_api.definition is not None
