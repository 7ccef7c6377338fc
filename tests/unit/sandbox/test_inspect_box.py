"""The expected texts were printed by inspect.lua 3.1.0 on LuaJIT, and the box by Kong 3.9.3's kong.log.inspect."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sandbox.inspect_box import CUT, DEPTH, LENGTH, WRAP, box, render

EVENT = {
    "consumer": {},
    "ip": "10.42.0.1",
    "limit": 3,
    "rate": 4,
    "service": {"enabled": True, "host": "httpbin.org", "tags": ["a", "b"], "path": None, "retry-after": 0.5},
    "window": "minute",
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", '"plain"'),
        ('say "hi"', "'say \"hi\"'"),
        ("""both ' and \"""", '"both \' and \\""'),
        ("a\\b\nc\td", '"a\\\\b\\nc\\td"'),
        ("\x01", '"\\1"'),
        ("\x017", '"\\0017"'),
        ("\x7f7", '"\\1277"'),
        ("ü€", '"ü€"'),
        (5, "5"),
        (5.0, "5"),
        (0.1, "0.1"),
        (1668754239, "1668754239"),
        (1e15, "1e+15"),
        (2**60, "1.1529215046068e+18"),
        (1e400, "inf"),
        (10**400, "inf"),
        (True, "true"),
        (None, "null"),
        ([], "{}"),
        ({}, "{}"),
        ([1, "b", [2]], '{ 1, "b", { 2 } }'),
        ([1, {"a": 1}, 2], "{ 1, {\n    a = 1\n  }, 2 }"),
        ({"b": 1, "a": 2, "A": 3}, "{\n  A = 3,\n  a = 2,\n  b = 1\n}"),
        ({"a-b": 1, "1": 2, "_x": 3, "": 4}, '{\n  [""] = 4,\n  ["1"] = 2,\n  _x = 3,\n  ["a-b"] = 1\n}'),
        ({"a": {"b": {}}}, "{\n  a = {\n    b = {}\n  }\n}"),
    ],
)
def test_values_look_as_lua_prints_them(value: Any, text: str) -> None:
    assert render(value) == text


def test_an_event_looks_as_in_kongs_error_log() -> None:
    header = "[kong] event_hooks.lua:?:452 [core]"
    lines = box(header, "log callback: ", ["rate-limit-exceeded", "rate-limiting-advanced", EVENT, 2120]).split("\n")
    assert all(len(line) == WRAP + 2 for line in lines)
    assert lines[0] == "[kong] event_hooks.lua:?:452 [core]" + "-" * 86 + "+"
    assert lines[-1] == "+" + "-" * 120 + "+"
    assert [line[1:-1].rstrip() for line in lines[1:-1]] == [
        '"log callback: " { "rate-limit-exceeded", "rate-limiting-advanced", {',
        "    consumer = {},",
        '    ip = "10.42.0.1",',
        "    limit = 3,",
        "    rate = 4,",
        "    service = {",
        "      enabled = true,",
        '      host = "httpbin.org",',
        "      path = null,",
        '      ["retry-after"] = 0.5,',
        '      tags = { "a", "b" }',
        "    },",
        '    window = "minute"',
        "  }, 2120 }",
    ]


def test_long_lines_are_cut_into_several() -> None:
    lines = box("h", "x" * 240).split("\n")
    assert lines[1:-1] == ["|" + '"' + "x" * 119 + "|", "|" + "x" * 120 + "|", "|" + 'x"' + " " * 118 + "|"]


def test_a_line_of_just_the_width_is_followed_by_an_empty_one_as_kong_does() -> None:
    lines = box("h", ["x" * (WRAP - 7), {"a": 1}]).split("\n")
    assert lines[1] == '|{ "' + "x" * (WRAP - 7) + '", {|'
    assert [line[1:-1].rstrip() for line in lines[2:-1]] == ["", "    a = 1", "  } }"]


def test_depth_and_length_have_limits() -> None:
    deep: list[Any] = []
    for _ in range(DEPTH + 5):
        deep = [deep]
    assert render(deep) == "{ " * DEPTH + "{...}" + " }" * DEPTH
    assert CUT in box("h", "x" * (LENGTH + 1))
    assert len(box("h", "x" * 1_000_000)) < LENGTH * 1.1


def test_half_a_surrogate_pair_can_be_written() -> None:
    box("h\ud800", "\ud800").encode()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(anything)
def test_whatever_comes_fits_into_the_box(value: Any) -> None:
    lines = box("h", value).split("\n")
    assert all(len(line) == WRAP + 2 for line in lines)
    assert all(line[0] == line[-1] == "|" for line in lines[1:-1])


class Counted(list[Any]):
    seen = 0

    def __iter__(self) -> Iterator[Any]:
        for each in super().__iter__():
            self.seen += 1
            yield each


def test_no_more_is_looked_at_than_fits() -> None:
    values = Counted([[]] * 1_000_000)
    assert render(values) == ("{ " + "{}, " * LENGTH)[:LENGTH] + CUT
    assert values.seen < LENGTH
    for long in ["\x01" * 1_000_000, {"\x01" * 1_000_000: 1}, [1] * 1_000_000]:
        assert render(long, long).endswith(CUT)
