"""JSON into LuaJIT and out again: nothing is lost but what doubles cannot hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sandbox.lua import Lambdas
from kong_eventhooks_plugin.sandbox.lua_values import MAX_DEPTH, encode
from kong_eventhooks_plugin.sandbox.tasks import LuaRules, SandboxLimits
from tests.support.sandbox import call, value_of

LAMBDAS = Lambdas(LuaRules(), SandboxLimits())

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=40,
)  # fmt: skip


def through_lua(value: Any) -> Any:
    return value_of(LAMBDAS.call(call("return function(data) return data.value end", data={"value": value})))


@given(json_values)
def test_every_value_survives(value: Any) -> None:
    if value is not False:  # that is a refusal
        assert through_lua({"inside": value}) == {"inside": value}


@pytest.mark.parametrize("size", [0, 1, 0xBF, 0xC0, 0x1FBF, 0x1FC0, 70_000])
def test_strings_lists_and_objects_of_every_size_class_survive(size: int) -> None:
    for value in ("x" * size, [1] * size, {str(number): number for number in range(size)}):
        assert through_lua([value]) == [value]


def test_whole_numbers_stay_whole() -> None:
    value = through_lua([0, -1, 1732212345678, 2**53, -(2**53), 10**18, 1.5])
    assert value == [0, -1, 1732212345678, 2**53, -(2**53), 10**18, 1.5]
    assert [type(number) for number in value] == [int] * 6 + [float]


@pytest.mark.parametrize(
    ("value", "lua"),
    [
        ({"x": None}, "data.value.x == nil"),
        ([1, None, 3], "data.value[2] == ngx.null and #data.value == 3"),
        ({"x": {"y": None}, "z": 1}, "data.value.x.y == nil and data.value.z == 1"),
        ([], "#data.value == 0 and next(data.value) == nil"),
        ({"1": "a"}, "data.value['1'] == 'a' and data.value[1] == nil"),
    ],
)
def test_what_lua_sees(value: Any, lua: str) -> None:
    code = f"return function(data) return {{{lua}}} end"
    assert value_of(LAMBDAS.call(call(code, data={"value": value}))) == [True]


def test_a_null_is_overwritten_and_one_can_be_made() -> None:
    code = "return function(data) data.a = 1 data.c = ngx.null return data end"
    assert value_of(LAMBDAS.call(call(code, data={"a": None, "b": None}))) == {"a": 1, "b": None, "c": None}


@pytest.mark.parametrize(
    ("value", "error"),
    [(object(), TypeError), (b"x", TypeError), (10**400, OverflowError)],
)
def test_what_json_or_doubles_do_not_have_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        encode({"x": value})


def test_depth_is_bounded() -> None:
    value: Any = []
    for _ in range(MAX_DEPTH - 2):
        value = [value]
    assert through_lua(value) == value
    with pytest.raises(ValueError, match="too deep"):
        encode([[[value]]])
