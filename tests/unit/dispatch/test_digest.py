"""What changes a digest and what does not."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kong_eventhooks_plugin.dispatch.digest import SIZE, digest
from tests.support.events import make_event

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.text(max_size=3), values, max_size=5)


def of(data: dict[str, Any], unique: tuple[str, ...] = ()) -> bytes:
    return digest(make_event(data=data, unique=unique))


def turned(value: Any) -> Any:
    """The same data with every object's keys the other way round."""
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(value)}
    return [turned(each) for each in value] if isinstance(value, list) else value


@given(objects)
def test_the_order_of_keys_does_not_matter_at_any_depth(data: dict[str, Any]) -> None:
    assert of(data) == of(turned(data))
    assert len(of(data)) == SIZE


@given(objects, objects)
def test_other_data_has_another_digest(one: dict[str, Any], other: dict[str, Any]) -> None:
    # ASCII escapes and sorted keys: the standard library's own canonical form.
    assume(json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
    assert of(one) != of(other)


@pytest.mark.parametrize(
    ("before", "after"), [(1, 2), (True, False), (1, True), (0, False), (1, "1"), (None, False), (1.5, 1.25), ([], {})]
)
def test_a_change_of_only_a_number_or_a_boolean_is_one(before: Any, after: Any) -> None:
    assert of({"a": {"b": before}}) != of({"a": {"b": after}})


@given(objects, objects)
def test_only_unique_fields_count_where_some_are_named(one: dict[str, Any], other: dict[str, Any]) -> None:
    unique = ("consumer", "ip")
    told = {"consumer": {"id": "c-1"}, "ip": "192.0.2.7"}
    assert of(one | told, unique) == of(other | told, unique)
    assert of(one | told, unique) != of(one | told | {"ip": "192.0.2.8"}, unique)


def test_a_missing_unique_field_is_not_one_that_is_null() -> None:
    assert of({"ip": 1}, ("ip", "service")) != of({"ip": 1, "service": None}, ("ip", "service"))


def test_nothing_but_data_counts() -> None:
    assert digest(make_event()) == digest(make_event(id="e-2", time=5.0, source="x", event="y"))
