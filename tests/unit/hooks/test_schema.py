"""The schema as data: what Kong's meta-schema and our two readers of it need."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from lupa.luajit21 import LuaRuntime

from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.hooks.patterns import REFUSED_URLS
from kong_eventhooks_plugin.hooks.validation import entity_checks, field_checks, schema_interpreter
from kong_eventhooks_plugin.model.log_line import Level
from kong_eventhooks_plugin.sandbox.expressions import MAX_EXPRESSION
from kong_eventhooks_plugin.sandbox.tasks import Dialect
from tests.support.hooks import KNOWN

CONFIG = schema.plugin_config(KNOWN)


URL_PARTS = (
    "@", ":", "/", "?", ".", "-", "_", "a", "metadata", "1", "127.0.0.1", "256", "0x7f", "[", "]", "::", "fe80:",
    "fd00:", "ec2:", "a9fe", "169.254.169.254", "{", "\u00e9", "\u65e5", "\x80", "\U0010ffff", "\\", "%", "80", "99999",
    "a" * 63, "a" * 191,
)  # fmt: skip
LUA_FIND = LuaRuntime(encoding=None).eval(b"string.find")


def fields(definition: dict[str, Any], path: str = "config") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, definition
    for entry in definition.get("fields", ()):
        for name, field in entry.items():
            yield from fields(field, f"{path}.{name}")
    for part in ("elements", "keys", "values"):
        if part in definition:
            yield from fields(definition[part], f"{path}.{part}")


ALL = dict(fields(CONFIG))
PATTERNS = {
    (path, pattern)
    for path, field in ALL.items()
    for pattern in [
        *([field["match"]] if "match" in field else []),
        *[rule["pattern"] for name in ("match_none", "match_all") for rule in field.get(name, ())],
    ]
}


def test_it_is_plain_json() -> None:
    assert json.loads(json.dumps(CONFIG)) == CONFIG


def test_every_attribute_is_one_that_we_interpret() -> None:
    structure = {
        "type", "required", "default", "fields", "elements", "keys", "values", "entity_checks", "err", "description",
        "referenceable", "encrypted", "json_schema",
    }  # fmt: skip
    for path, field in ALL.items():
        assert field.keys() <= structure | {name for name, _ in field_checks.IN_KONGS_ORDER}, path
        assert field["type"] in schema_interpreter._CHECKERS, path
        for check in field.get("entity_checks", ()):
            assert check.keys() <= entity_checks._CHECKS.keys(), path


def test_descriptions_have_the_length_that_kong_wants() -> None:
    lengths = {path: len(field["description"]) for path, field in ALL.items() if "description" in field}
    assert {path: length for path, length in lengths.items() if not 10 <= length <= 500} == {}


def test_every_field_of_a_hook_is_described() -> None:
    undescribed = {path for path, field in ALL.items() if "description" not in field}
    assert {path.rpartition(".")[2] for path in undescribed} <= {"config", "elements", "keys", "values"}


def test_patterns_mean_the_same_in_lua_and_python() -> None:
    """Outside sets: letters, digits, `:/@_=`, anchors at the ends, `*+?`. Inside: plain characters and ranges."""
    for path, pattern in sorted(PATTERNS):
        assert re.fullmatch(r"\^?(?:\[(?!\[)\^?[^\]\\%]+\][*+?]?|[A-Za-z0-9:/@_=][*+?]?)*\$?", pattern), path
        assert "\0" not in pattern, path
        for inside in re.findall(r"\[\^?([^\]]+)\]", pattern):
            dashes = [index for index, character in enumerate(inside) if character == "-"]
            ends = {0, len(inside) - 1}
            assert all(index in ends or (inside[index - 1] < inside[index + 1]) for index in dashes), path


@settings(max_examples=30)
@given(st.lists(st.sampled_from(URL_PARTS), min_size=1, max_size=6).map("".join).map("http://{}".format))
def test_kongs_lua_and_python_refuse_the_same_urls(url: str) -> None:
    for rule in REFUSED_URLS:
        assert bool(LUA_FIND(url.encode(), rule["pattern"].encode())) is bool(
            field_checks.pattern(rule["pattern"])(url)
        )


def test_texts_hold_no_lua_format() -> None:
    assert "%" not in json.dumps([field.get("err", "") for field in ALL.values()])
    assert "%" not in json.dumps([field.get("entity_checks", []) for field in ALL.values()])


def test_a_field_that_may_hold_a_credential_never_quotes_its_value() -> None:
    """Kong's own text for `match` and `starts_with` quotes what was given."""
    for path, field in ALL.items():
        if {"match", "starts_with"} & field.keys():
            assert "err" in field, path


def test_references_work_for_url_headers_and_secrets() -> None:
    referenceable = {
        path.removeprefix("config.hooks.elements.handler_config.") for path, f in ALL.items() if f.get("referenceable")
    }
    assert referenceable == {"url", "headers.values", "secret", "previous_secret", "preset_key"}


def test_levels_and_template_languages_are_the_code_s() -> None:
    """The schema imports nothing heavy, so it has them once more."""
    assert get_args(Level) == schema.LEVELS
    assert get_args(Dialect) == schema.TEMPLATE_LANGUAGES
    assert ALL["config.hooks.elements.filter"]["len_max"] == MAX_EXPRESSION
    assert ALL["config.hooks.elements.handler_config.success"]["len_max"] == MAX_EXPRESSION


def test_a_choice_lists_its_values() -> None:
    handler = ALL["config.hooks.elements.handler"]
    assert handler["err"] == "expected one of: webhook, webhook-custom, log, lambda"


def test_a_source_whose_events_are_not_closed_opens_the_field_event() -> None:
    known = schema.Known(sources={"rate-limiting": ("rate-limit-exceeded",), "crud": ()})
    event = dict(fields(schema.hook(known)))["config.event"]
    assert "one_of" not in event
    assert ALL["config.hooks.elements.event"]["one_of"] == ["rate-limit-exceeded"]
