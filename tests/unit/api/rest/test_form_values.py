"""Texts become what their fields want."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.rest.form_values import inferred, number

INTEGER, BOOLEAN, STRING = {"type": "integer"}, {"type": "boolean"}, {"type": "string"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("1.0", 1), ("1.5", 1.5), ("0x10", 16), ("-0x10", -16), ("1e2", 100), (" 7 ", 7), ("+7", 7), (".5", 0.5),
     ("5.", 5)],
)  # fmt: skip
def test_numbers_of_lua(text: str, expected: float) -> None:
    assert number(text) == expected
    assert type(number(text)) is type(expected)


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "0x", "1e", "--1", "nan", "inf", "1_0", "\u0661", "1e999", "0x1p4", "1 2"]
)
def test_texts_that_are_no_number(text: str) -> None:
    assert number(text) is None


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ("60", INTEGER, 60),
        ("abc", INTEGER, "abc"),
        ("true", BOOLEAN, True),
        ("False", BOOLEAN, "False"),
        ("", BOOLEAN, None),
        ("x", STRING, "x"),
        (["1"], INTEGER, ["1"]),
        ("a", {"type": "set", "elements": STRING}, ["a"]),
        (["1", "2"], {"type": "array", "elements": INTEGER}, [1, 2]),
        ({"a": "1"}, {"type": "map", "keys": STRING, "values": INTEGER}, {"a": 1}),
        ("x", {"type": "map", "keys": STRING, "values": INTEGER}, "x"),
        ({"a": "1"}, {"type": "array", "elements": INTEGER}, {"a": "1"}),
        ({"a": "1", "b": "1"}, {"type": "record", "fields": [{"a": INTEGER}]}, {"a": 1, "b": "1"}),
        ("x", {"type": "record", "fields": []}, "x"),
        ({"a": ""}, {"type": "json"}, {"a": ""}),
    ],
)
def test_inference(value: object, field: dict[str, object], expected: object) -> None:
    assert inferred(value, field) == expected


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_none(text: str) -> None:
    assert number(text) is None or isinstance(number(text), int | float)
