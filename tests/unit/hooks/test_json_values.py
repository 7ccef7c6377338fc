"""What a declaration's values may be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.hooks.validation import json_values as json_values_module

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=20,
)


@given(json_values)
def test_json_is_fine(value: Any) -> None:
    assert json_values_module.json_error(value) is None


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_depth_has_a_limit() -> None:
    assert json_values_module.json_error(nested(json_values_module.MAX_DEPTH)) is None
    found = json_values_module.json_error(nested(json_values_module.MAX_DEPTH + 1))
    assert found is not None
    assert found.text == "nested deeper than 32 levels"


def test_number_of_values_has_a_limit() -> None:
    assert json_values_module.json_error([1] * (json_values_module.MAX_VALUES - 1)) is None
    found = json_values_module.json_error([1] * json_values_module.MAX_VALUES, path="config")
    assert found == json_values_module.JsonError("config", "contains more than 10,000 values")


def test_walk_names_every_place() -> None:
    value = {"a": [{"b": 1}, 2]}
    assert [
        (path, each) for path, _, each in json_values_module.walk(value, "top") if not isinstance(each, dict | list)
    ] == [
        ("top", "a"),
        ("top.a[0]", "b"),
        ("top.a[0].b", 1),
        ("top.a[1]", 2),
    ]


@pytest.mark.parametrize("value", [b"x", {1, 2}, object(), json_values_module.Tagged("!!binary"), 1j])
def test_other_kinds_of_values_are_named(value: Any) -> None:
    found = json_values_module.json_error([value])
    assert found is not None
    assert found.path == "[0]"


@pytest.mark.parametrize("value", ["\0", "\ud800", float("nan"), 1 << 63, {"a\0": 1}, {1: 2}, {"é\0": 1}])
def test_what_is_no_json_is_found_inside(value: Any) -> None:
    assert json_values_module.json_error({"a": ["é", {"b": [value]}]}) is not None
