"""YAML as Kong reads it: bounded, without dates, without keys that stand twice."""

import math
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.hooks.declarations import yaml_scalars, yaml_values
from kong_eventhooks_plugin.hooks.declarations.yaml_values import Ambiguous, YamlError
from kong_eventhooks_plugin.hooks.validation.json_values import Key, Tagged

keys = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | keys,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=15,
)


@given(documents, st.sampled_from([None, True, False]))
def test_what_pyyaml_writes_is_read_the_same(document: Any, flow: bool | None) -> None:
    assert yaml_values.load(yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True).encode()) == document


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_an_error(data: bytes) -> None:
    with suppress(YamlError):
        yaml_values.load(data)


@given(st.text("{}[]&*a!:-?<>|'\"#%, \n\t1.\\_~=", max_size=60))
def test_any_yaml_like_text_gives_a_value_or_an_error(text: str) -> None:
    with suppress(YamlError):
        yaml_values.load(text.encode())


@pytest.mark.parametrize("data", [b"[" * 100_000, b"{a: " * 100_000, b"- " * 100_000])
def test_deep_nesting_is_an_error_and_not_the_end_of_the_process(data: bytes) -> None:
    with pytest.raises(YamlError, match="exceeded maximum nesting depth"):
        yaml_values.load(data)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment", None),
        ("a: 2026-11-21", {"a": "2026-11-21"}),
        ("a: off", {"a": False}),
        ("a: 'off'", {"a": "off"}),
        ("a: !!str off", {"a": "off"}),
        ("a: ! off", {"a": False}),
        ("a: 0x1F", {"a": 31}),
        ("a: 60.0", {"a": 60.0}),
        ("a: ~", {"a": None}),
        ("a: <<", {"a": "<<"}),
        ("x: &x {a: 1, b: 2}\ny: {b: 3, <<: *x}", {"x": {"a": 1, "b": 2}, "y": {"b": 3, "a": 1}}),
        (
            "x: &x {a: 1}\ny: &y {a: 2, b: 2}\nz: {<<: [*x, *y]}",
            {"x": {"a": 1}, "y": {"a": 2, "b": 2}, "z": {"a": 1, "b": 2}},
        ),
        ("x: &x [1]\ny: *x", {"x": [1], "y": [1]}),
        ("a: !!binary aGk=", {"a": Tagged("tag:yaml.org,2002:binary")}),
        ("a: !vault {b: 1}", {"a": Tagged("!vault")}),
        ("\ufeffa: 1", {"a": 1}),
        ("{1: a, true: b, 0x10: c}", {Key("1", 1): "a", Key("true"): "b", Key("16", 16): "c"}),
        ("x: {y: &y {<<: &z {a: 1}}}\nw: {<<: [*y, *z]}", {"x": {"y": {"a": 1}}, "w": {"a": 1}}),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert yaml_values.load(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "error", "at"),
    [
        ("a: 1\nb: 2\na: 3", "the key 'a' is repeated in one mapping", (3, 1)),
        ("{1: a, 1.0: b}", "the key '1' is repeated in one mapping", (1, 8)),
        ("a: [", "did not find expected node content", (2, 1)),
        ("a:\n\t- b", "found character that cannot start any token", (2, 1)),
        ("? [a]\n: 1", "a list or a mapping cannot be a key", (1, 3)),
        ("a: *b", "found undefined alias", (1, 4)),
        ("--- a\n--- b", "expected a single document in the stream but found another document", (2, 1)),
        ("<<: 3", "'<<' takes a mapping or a list of mappings", (1, 5)),
        ("<<: [1]", "'<<' takes a mapping or a list of mappings", (1, 5)),
        ("a: !!int hunter2", "this cannot be read as int", (1, 4)),
        ("a: !!int 1.0", "this cannot be read as int", (1, 4)),
        ("a: !!int 1e3", "this cannot be read as int", (1, 4)),
        ("a: !!float 12:30", "this cannot be read as float", (1, 4)),
        ("a: \x01", "control characters are not allowed at position 3", (None, None)),
    ],
)
def test_errors_say_where(text: str, error: str, at: tuple[int | None, int | None]) -> None:
    with pytest.raises(YamlError) as caught:
        yaml_values.load(text.encode())
    assert error in str(caught.value)
    assert (caught.value.line, caught.value.column) == at


# Each read by lyaml of Kong 3.9.1 and by decK 1.62.1 (...: as Kong).
@pytest.mark.parametrize(
    ("text", "value", "deck"),
    [
        ("12:30", 750, "12:30"),
        ("-1:00:30", -3630, "-1:00:30"),
        ("1:30.5", 90.5, "1:30.5"),
        ("1_0:30", "1_0:30", ...),
        ("1e3", 1000, ...),
        ("1.e3", 1000, ...),
        ("1e-7", 1e-7, ...),
        ("1e400", math.inf, "1e400"),
        (".5", 0.5, ...),
        ("._5", 0.5, "._5"),
        ("1.0", 1, ...),
        ("-0", 0, ...),
        ("017", 15, ...),
        ("08", 8, ...),
        ("0" + "7" * 27, 8**27 - 1, 7.777777777777778e26),
        ("0o17", "0o17", 15),
        ("0O17", "0O17", 15),
        ("0x1F", 31, ...),
        ("0X1F", "0X1F", 31),
        ("0x1.8", 1.5, "0x1.8"),
        ("0x1e3", 483, ...),
        ("0x" + "F" * 18, 16**18 - 1, "0x" + "F" * 18),
        ("0x1.8p9999", math.inf, "0x1.8p9999"),
        ("0b1", "0b1", 1),
        ("0b11", 3, ...),
        ("1_000", 1000, ...),
        ("_1", 1, "_1"),
        ("+7", 7, ...),
        ("y", "y", True),
        ("n", "n", False),
        ("Yes", True, ...),
        ("oFF", "oFF", ...),
        ("9007199254740993", 9007199254740993, ...),
        ("1" * 350, math.inf, "1" * 350),
        ("1" * 500, "1" * 500, ...),
        ("2026-11-21", "2026-11-21", ...),
        ("1.2.3", "1.2.3", ...),
        ("e5", "e5", ...),
        ("inf", "inf", ...),
        (".", ".", ...),
        ("-", "-", ...),
    ],
)
def test_scalars_are_kongs(text: str, value: Any, deck: Any) -> None:
    read, in_deck = yaml_scalars.value_of(text), yaml_scalars.deck_value_of(text)
    assert (read, type(read)) == (value, type(value))
    assert in_deck == (value if deck is ... else deck)
    assert yaml_scalars.is_the_same(read, in_deck) == (deck is ...)


@pytest.mark.parametrize("text", ["07_", "-0_7__", "0b1_", "0b11_"])
def test_a_number_on_which_kong_fails_is_an_error(text: str) -> None:
    with pytest.raises(YamlError, match="Kong cannot read this number, which ends with an underscore"):
        yaml_values.load(f"a: {text}".encode())


def test_what_deck_reads_differently_is_reported_with_its_place() -> None:
    found: list[Ambiguous] = []
    assert yaml_values.load(b"a:\n- 12:30\n- '12:30'\n", found.append) == {"a": [750, "12:30"]}
    assert found == [Ambiguous("12:30", 750, "12:30", 2, 3)]


def test_a_merge_of_merges_is_no_larger_than_its_keys() -> None:
    lines = ["a0: &a0 {k: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 40))]
    assert yaml_values.load("\n".join(lines).encode())["a39"] == {"k": 1}


def test_an_alias_may_hold_itself() -> None:
    value = yaml_values.load(b"a: &a [*a]")
    assert value["a"][0] is value["a"]
