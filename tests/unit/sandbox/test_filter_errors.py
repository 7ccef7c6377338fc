"""The evaluator's own errors, and what a log may say of them."""

import pytest

from kong_eventhooks_plugin.sandbox.filter_errors import MISSING_EXTRA, loggable
from kong_eventhooks_plugin.sandbox.filters import Filters
from kong_eventhooks_plugin.sandbox.tasks import Decide, SandboxLimits

FILTERS = Filters(SandboxLimits())
DATA = {
    "name": "Joanna",
    "number": 4711,
    "map": {"a": 1},
    "list": [1, 2],
    "pattern": "(Joanna",
    "largest": (1 << 63) - 1,
}


def said(expression: str) -> str:
    (verdict,) = FILTERS.decide(Decide((expression,), DATA, "event", "source")).verdicts
    assert isinstance(verdict, str), expression
    return loggable(verdict, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "data.map[data.name] == 1",
        "data.list[data.number] == 1",
        "data.name.matches(data.pattern)",
        "data[data.name + '.Joe'] == 1",
        "data.map['x' + data.name] == 1",
    ],
)
def test_what_names_data_is_not_said(expression: str) -> None:
    text = said(expression)
    assert text.endswith("(the text is not shown, because it can quote the event)")
    assert "Joanna" not in text
    assert "4711" not in text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("data.consumer.username == 'x'", 'NOT_FOUND: Key not found in map : "consumer"'),
        ("data['no-name'] == 1", 'NOT_FOUND: Key not found in map : "no-name"'),
        ("data.number", "it is neither true nor false but INT"),
        ("int(data.name) == 1", "INVALID_ARGUMENT: cannot convert string to int"),
        ("bool(data.name)", "INVALID_ARGUMENT: Type conversion error from 'string' to 'bool'"),
        ("duration(data.name) == duration('1s')", "INVALID_ARGUMENT: String to Duration conversion failed"),
        ("data.name + 1 == 2", "UNKNOWN: No matching overloads found : _+_(string, int64)"),
        ("data.number && true", "UNKNOWN: No matching overloads found : _&&_"),
        ("size(data.number) == 1", "UNKNOWN: No matching overloads found : size(int64)"),
        ("data.name.x == 1", "INVALID_ARGUMENT: Applying SELECT to non-message type"),
        ("data.map[data.list] == 1", "INVALID_ARGUMENT: Invalid map key type: 'list'"),
        ("data.list['a'] == 1", "UNKNOWN: Index error: expected integer type, got string"),
        ("data.number / 0 == 1", "INVALID_ARGUMENT: divide by zero"),
        ("data.number % 0 == 1", "INVALID_ARGUMENT: modulus by zero"),
        ("data.largest + 1 == 1", "OUT_OF_RANGE: integer overflow"),
    ],
)
def test_what_is_the_filters_word_is_said(expression: str, text: str) -> None:
    assert said(expression) == text


def test_that_filters_are_not_installed_is_said() -> None:
    assert loggable(MISSING_EXTRA, "true") == MISSING_EXTRA
