"""Filters in CEL."""

from typing import Any

import pytest

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.expressions import MAX_EXPRESSION
from kong_eventhooks_plugin.sandbox.filters import Filters
from kong_eventhooks_plugin.sandbox.tasks import CompileError, Decide, SandboxLimits
from tests.support.sandbox import DATA

FILTERS = Filters(SandboxLimits())
TOO_DEEP = "a filter may have 32 levels of parentheses and operators"
UNKNOWN = "unknown variable 'limit': use source, event and data; the event's fields are under data"


def verdict(expression: str, data: dict[str, Any] | None = None) -> bool | str:
    task = Decide((expression,), DATA if data is None else data, "rate-limit-exceeded", "rate-limiting")
    (answer,) = FILTERS.decide(task).verdicts
    return answer


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ('data.consumer.username == "Joanna" && data.limit >= 4', True),
        ('data.consumer.username in ["Max", "Moritz"]', False),
        ('source == "rate-limiting" && event.startsWith("rate")', True),
        ('data.service.name.matches("^de.o$")', True),
        ('data.service.tags.exists(tag, tag == "b")', True),
        ("has(data.consumer.email)", False),
        ('!has(data.consumer.email) || data.consumer.email.endsWith("@example.com")', True),
        ("data.nothing == null", True),
        ("data.rate > 4.5 && data.limit == 4.0", True),
        ("size(data.service.tags) == 2", True),
        ("data.missing == 1 || true", True),
    ],
)
def test_what_holds(expression: str, holds: bool) -> None:
    FILTERS.check(expression)
    assert verdict(expression) is holds


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("data.missing == 1", 'NOT_FOUND: Key not found in map : "missing"'),
        ("data.limit / 0 == 1", "INVALID_ARGUMENT: divide by zero"),
        ("data.limit", "it is neither true nor false but INT"),
        ("data.limit > data.window", "UNKNOWN: No matching overloads found : _>_(int64, string)"),
        ("data.service.tags.all(a, [1,2].exists(b, b == a) || data.window.matches('('))", "missing ): ("),
    ],
)
def test_an_undecidable_filter_has_its_error(expression: str, error: str) -> None:
    answer = verdict(expression)
    assert isinstance(answer, str)
    assert error in answer


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("data.limit >", CompileError(1, 13, "Syntax error: mismatched input '<EOF>'")),
        ("data.limit = 4", CompileError(1, 12, "a comparison is written with ==")),
        ("data.limit =4", CompileError(1, 12, "a comparison is written with ==")),
        ("true &&\n limit > 3", CompileError(2, 2, UNKNOWN)),
        ("source", CompileError(1, 1, "a filter must be true or false; "
                                      'source is text: compare it, as in source == "..."')),
        ("source > 4", CompileError(1, 1, 'source is text, 4 is a number: they cannot be compared; write "4"')),
        ("(" * 50 + "true" + ")" * 50, CompileError(1, 1, TOO_DEEP)),
        ("1" + "+1" * 50 + "==1", CompileError(1, 1, TOO_DEEP)),
        ("x" * (MAX_EXPRESSION + 1), CompileError(1, 1, f"a filter may have {MAX_EXPRESSION} characters")),
    ],
)  # fmt: skip
def test_what_does_not_compile_is_refused_with_its_place(expression: str, error: CompileError) -> None:
    with pytest.raises(CompilationFailed) as refused:
        FILTERS.check(expression)
    assert refused.value.error == error
    assert verdict(expression) == str(error)


def test_what_follows_a_nul_is_not_hidden() -> None:
    assert verdict('data.path.contains("admin")', {"path": "/a\0/admin"}) is True
    assert verdict('data.paths.exists(path, path.endsWith("b"))', {"paths": ["a\0b"]}) is True
    assert verdict('"a" in data.names', {"names": {"a\0b": 1}}) is False


def test_every_filter_of_an_event_is_asked_at_once() -> None:
    verdicts = FILTERS.decide(Decide(("data.limit == 4", "data.x", "data.limit == 5"), DATA, "e", "s")).verdicts
    assert (verdicts[0], verdicts[2]) == (True, False)
    assert isinstance(verdicts[1], str)


def test_loops_within_loops_have_a_budget() -> None:
    answer = verdict("data.l.all(a, data.l.all(b, a + b >= 0))", {"l": list(range(1000))})
    assert isinstance(answer, str)
    assert "budget" in answer


@pytest.mark.parametrize("value", [2**70, "\ud800", float("nan")])
def test_odd_values_raise_nothing(value: Any) -> None:
    assert verdict("data.x == 1", {"x": value}) is not True
