"""A payload as a text that is JSON, and what ``check`` says of one that is an object."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.hooks.declarations import kong_yml
from kong_eventhooks_plugin.hooks.lint import payload_objects
from kong_eventhooks_plugin.hooks.validation import own_rules
from kong_eventhooks_plugin.hooks.validation.json_values import MAX_DEPTH
from tests.support.hooks import VALIDATION, log_hook, plugin_config, webhook
from tests.unit.hooks.test_validation import refusal

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=3)


def custom(payload: Any) -> dict[str, Any]:
    return webhook(method="POST", payload=payload) | {"handler": "webhook-custom"}


@given(objects)
def test_a_text_is_parsed(payload: dict[str, Any]) -> None:
    assert VALIDATION.hook(custom(json.dumps(payload)))["config"]["payload"] == payload


def test_what_kong_does_not_keep_in_an_object_is_kept_in_a_text() -> None:
    payload = VALIDATION.hook(custom('{"none": [], "n": 9007199254740993, "mixed": [true, null, 1.5]}'))["config"][
        "payload"
    ]
    assert payload == {"none": [], "n": 9007199254740993, "mixed": [True, None, 1.5]}


def test_the_text_in_a_plugins_configuration() -> None:
    checked = VALIDATION.config(plugin_config(custom('{"a": []}')))
    assert checked.error is None
    assert checked.hooks[0]["config"]["payload"] == {"a": []}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[1]", "a payload that is a text has to be a JSON object"),
        ('{"a": ', "has to be JSON: line 1, column 7: Expecting value"),
        ('{"a": {{ n }}}', "has to be JSON: line 1, column 8"),
        ('{"a": 1, "a": 2}', "has to be JSON: the key 'a' is repeated in one object"),
        ('{"a": NaN}', "has to be JSON: NaN is not JSON"),
        ('{"a": 1e999}', "a: is not a finite number"),
        ('{"a": 9223372036854775808}', "a: is not a number of 64 bits"),
        ('{"a": "\\u0000"}', "a: may not contain a NUL character"),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
        ('{"a":' * 100_000, "has to be JSON: is nested too deep"),
        ('{"a": "' + "x" * own_rules.MAX_PAYLOAD + '"}', "length must be at most 1048576"),
    ],
    ids=range(11),
)  # fmt: skip
def test_a_text_that_is_refused(text: str, error: str) -> None:
    assert error in refusal(custom(text)).fields["config"]["payload"]


def test_its_place_in_a_file() -> None:
    document = {"_format_version": "3.0", "plugins": [{"name": "event-hooks", "config": plugin_config(custom("[1]"))}]}
    [error] = kong_yml.read(document, "kong.yml", VALIDATION).errors
    assert error.path == "plugins[0].config.hooks[0].handler_config.payload"


@pytest.mark.parametrize(
    ("payload", "warned"),
    [
        ({"a": [], "b": {"c": [[]]}}, {"a": "empty list", "b.c[0]": "empty list"}),
        ({"a": [1, True]}, {"a": "panic"}),
        ({"a": [{"b": [None, "x"]}]}, {"a[0].b": "panic"}),
        ({"n": 9007199254740993, "m": -9007199254740993}, {"n": "another", "m": "another"}),
        ({"a": [True], "b": [1, 2], "c": {}, "n": 9007199254740992, "t": True, "z": None}, {}),
        ('{"a": [], "b": [1, true], "n": 9007199254740993}', {}),
        (None, {}),
    ],
)
def test_warnings(payload: Any, warned: dict[str, str]) -> None:
    hook = plugin_config(custom(payload))["hooks"][0]
    found = {
        error.path.removeprefix("here.handler_config.payload."): error.message
        for error in payload_objects.warnings(hook, "f", "here")
    }
    assert found.keys() == warned.keys()
    assert all(word in found[path] for path, word in warned.items())


def test_a_file_with_a_warning_declares_its_hooks() -> None:
    document = {
        "_format_version": "3.0",
        "plugins": [{"name": "event-hooks", "config": plugin_config(custom({"a": []}))}],
    }
    declared = kong_yml.examine(document, "kong.yml", VALIDATION)
    assert [hook.name for hook in declared.hooks] == ["to-web"]
    assert [error.path for error in declared.warnings] == ["plugins[0].config.hooks[0].handler_config.payload.a"]


def test_the_other_place_s_name_is_refused_with_the_right_one() -> None:
    assert VALIDATION.config({"hooks": [webhook()]}).error.fields == {  # type: ignore[union-attr]
        "hooks": [{"config": "unknown field; in a declared hook its name is handler_config"}]
    }
    assert refusal(log_hook(handler_config={})).fields == {
        "handler_config": "unknown field; in the API its name is config"
    }
