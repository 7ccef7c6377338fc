"""A payload as a text that is JSON, and what ``check`` says of one that is an object."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.hooks.declarations import kong_yml, yaml_values
from kong_eventhooks_plugin.hooks.declarations.kong_payloads import hook_as_kong_holds
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
        ('{"a": 9223372036854775808}', "a: does not fit into a signed 64-bit integer"),
        ('{"a": "\\u0000"}', "a: may not contain a NUL character"),
        ('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
        ('{"a":' * 10_000, "has to be JSON: is nested too deep"),
        ('{"a": "' + "x" * own_rules.MAX_PAYLOAD + '"}', "length must be at most 1048576"),
        ('{"a": [' + "[]," * 300_000 + "[]]}", "contains more than 10,000 values"),
    ],
    ids=range(12),
)  # fmt: skip
def test_a_text_that_is_refused(text: str, error: str) -> None:
    assert error in refusal(custom(text)).fields["config"]["payload"]


def test_its_place_in_a_file() -> None:
    document = {"_format_version": "3.0", "plugins": [{"name": "event-hooks", "config": plugin_config(custom("[1]"))}]}
    [error] = kong_yml.read(document, "kong.yml", VALIDATION).errors
    assert error.path == "plugins[0].config.hooks[0].handler_config.payload"


NUMBER = "{} is {} for Kong, which keeps 16 digits of a number; write the payload as JSON text"
EMPTY = "Kong turns this empty list into an empty object; write the payload as JSON text"
PANIC = "decK panics on a list like this one, with true, false or null among others; write the payload as JSON text"
PLACES = "Kong reads these numbers as places in a list, decK as texts; put them in quotes, or write a list"


# Each as a real Kong 3.9.1 hands it to StartInstance.
@pytest.mark.parametrize(
    ("text", "held", "warned"),
    [
        ("{a: [], b: {c: [[]]}}", {"a": {}, "b": {"c": [{}]}}, {"a": EMPTY, "b.c[0]": EMPTY}),
        ("{a: [1, true]}", {"a": [1, True]}, {"a": PANIC}),
        ("{a: [{b: [null, x]}]}", {"a": [{"b": [None, "x"]}]}, {"a[0].b": PANIC}),
        (
            "{a: 9007199254740993, b: 18446744073709551615, c: 0.30000000000000004}",
            {"a": 9007199254740992, "b": 1.844674407370955e19, "c": 0.3},
            {
                "a": NUMBER.format("9007199254740993", "9007199254740992"),
                "b": NUMBER.format("18446744073709551615", "1.844674407370955e+19"),
                "c": NUMBER.format("0.30000000000000004", "0.3"),
            },
        ),
        (
            "{a: 4503599627370496.5, b: 9999999999999998, c: -0, d: 1e20, e: 0.1, f: 1e3}",
            {"a": 4503599627370496, "b": 9999999999999998, "c": 0, "d": 1e20, "e": 0.1, "f": 1000},
            {},
        ),
        ("{a: {1: x, 3: y}}", {"a": ["x", None, "y"]}, {"a": PLACES}),
        ("{a: {1.0: x}}", {"a": ["x"]}, {"a": PLACES}),
        ("{a: {1: x, y1: z}}", {"a": {"1": "x", "y1": "z"}}, {}),
        ("{a: {0: x}, b: {-1: x}, c: {1.5: x}}", {"a": {"0": "x"}, "b": {"-1": "x"}, "c": {"1.5": "x"}}, {}),
        ("{1.5: x, 1: y}", {"1.5": "x", "1": "y"}, {}),
        (
            "{a: {9007199254740993: x, 1e16: y}}",
            {"a": {"9007199254740992": "x", "1e+16": "y"}},
            {"a": NUMBER.format("the key 9007199254740993", "9007199254740992")},
        ),
        ("{a: [true], b: [1, 2], c: {}, n: 9007199254740992, t: true, z: null}", ..., {}),
        ('\'{"a": [], "b": [1, true], "n": 9007199254740993}\'', ..., {}),
        ("~", ..., {}),
    ],
    ids=range(14),
)
def test_an_object_in_a_file_is_what_kong_holds(text: str, held: Any, warned: dict[str, str]) -> None:
    payload = yaml_values.load(text.encode())
    hook, found = plugin_config(custom(payload))["hooks"][0], {}
    read = hook_as_kong_holds(hook, "here", lambda path, message: found.update({path: message}))
    expected = payload if held is ... else held
    assert json.dumps(read["handler_config"]["payload"]) == json.dumps(expected)
    assert {path.removeprefix("here.handler_config.payload."): message for path, message in found.items()} == warned


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{1: a}", "the key '1' is not a string; put it in quotes"),
        ("{0: a}", "the key '0' is not a string; put it in quotes"),
        ("{a: {on: b}}", "the key 'on' is not a string; put it in quotes"),
        ("{a: {~: b}}", "the key '~' is not a string; put it in quotes"),
        ("{a: {.inf: b}}", "the key 'inf' is not a string; put it in quotes"),
        ('{a: {1: b, c: d, "1": e}}', "the key '1' is not a string; put it in quotes"),
        ("{a: {40000: b}}", "the key '40000' is not a string; put it in quotes"),
        ("{a: 1e400}", "is not a finite number"),
        ("&a {b: *a}", "nested deeper than 32 levels"),
    ],
)
def test_an_object_that_kong_does_not_hold_is_refused(text: str, error: str) -> None:
    config = plugin_config(custom(yaml_values.load(text.encode())))
    document = {"_format_version": "3.0", "plugins": [{"name": "event-hooks", "config": config}]}
    [found] = kong_yml.read(document, "kong.yml", VALIDATION).errors
    assert found.message == error


def test_through_the_api_an_object_is_as_it_was_sent() -> None:
    payload = {"none": [], "n": 9007199254740993}
    assert VALIDATION.hook(custom(payload))["config"]["payload"] == payload


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
