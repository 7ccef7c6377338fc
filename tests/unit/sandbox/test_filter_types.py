"""Filters against the types of their source's fields."""

import re
from pathlib import Path

import pytest

from kong_eventhooks_plugin.sandbox.errors import CompilationFailed
from kong_eventhooks_plugin.sandbox.filters import Filters
from kong_eventhooks_plugin.sandbox.tasks import Explain, SandboxLimits
from kong_eventhooks_plugin.sources.catalogue import SOURCES
from kong_eventhooks_plugin.sources.examples import example_event
from kong_eventhooks_plugin.sources.field_types import field_types
from tests.support.declared import misfits

FILTERS = Filters(SandboxLimits())
HANDLERS = Path(__file__).parents[3] / "docs" / "handlers.md"
LIMIT = "rate-limiting"

NAME_A_FIELD = (
    'data.consumer is an object, "Joe" is text: they cannot be compared; name one of its fields, as in '
    "data.consumer.username"
)
TWO = (
    'data.ip is text, 5 is a number: they cannot be compared; write "5"; '
    "line 2, column 8: data has no field 'rte'; did you mean rate?"
)


def refusal(text: str, source: str = LIMIT, event: str | None = None) -> str | None:
    """Return why the filter is refused; None where it is not."""
    types = field_types(source, event)
    assert types is not None
    FILTERS.check(text)
    try:
        FILTERS.check_types(text, dict(types))
    except CompilationFailed as refused:
        return str(refused.error)
    return None


@pytest.mark.parametrize(
    ("text", "place", "error"),
    [
        ("data.limt > 4", (1, 6), "data has no field 'limt'; did you mean limit?"),
        ('data["limt"] > 4', (1, 5), "data has no field 'limt'; did you mean limit?"),
        ("has(data.limt)", (1, 4), "data has no field 'limt'; did you mean limit?"),
        ("data.limit", (1, 1),
         "a filter must be true or false; data.limit is a number: compare it, as in data.limit > 0"),
        ('data.limit > "5"', (1, 1), 'data.limit is a number, "5" is text: they cannot be compared; write 5'),
        ("data.window == 5", (1, 1), 'data.window is text, 5 is a number: they cannot be compared; write "5"'),
        ("data.limit in [1, \"2\"]", (1, 1), 'data.limit is a number, "2" is text: they cannot be compared; write 2'),
        ('data.service.tags == "a"', (1, 1),
         'data.service.tags is a list, "a" is text: they cannot be compared; write "a" in data.service.tags'),
        ('data.consumer != "Joe"', (1, 1), NAME_A_FIELD),
        ('data.consumer.usernam == "Joe"', (1, 15), "data.consumer has no field 'usernam'; did you mean username?"),
        ('"a" in data.ip', (1, 1), "'in' needs a list; data.ip is text; write data.ip.contains(\"a\")"),
        ('data.limit.startsWith("2")', (1, 1),
         "startsWith is for text; data.limit is a number; write string(data.limit).startsWith(...)"),
        ("true && !data.ip", (1, 10),
         'a condition must be true or false; data.ip is text: compare it, as in data.ip == "..."'),
        ("data.service.tags.exists(t, t == 5)", (1, 29),
         't is text, 5 is a number: they cannot be compared; write "5"'),
        ("data.ip.exists(t, true)", (1, 1), "data.ip is text, not a list"),
        ("data.ip.name == 1", (1, 1), "data.ip is text and has no field 'name'"),
        ('data.limit + "x" == "5x"', (1, 1), "text and a number do not add up; write string(data.limit)"),
        ("data.ip > 5 ||\n  data.rte == 1", (1, 1), TWO),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, place: tuple[int, int], error: str) -> None:
    assert refusal(text) == f"line {place[0]}, column {place[1]}: {error}"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ('data.consumer.plan == "gold"', LIMIT),
        ('data.entity.username == "x" && data.changed.exists(c, c.startsWith("config."))', "crud"),
        ("data.limit == null || data.retry_after == 1.5", LIMIT),
        ('dyn(data.limit) == "5" || [1, 2].exists(x, x == data.limit)', LIMIT),
    ],
)
def test_what_may_be_right_passes(text: str, source: str) -> None:
    assert refusal(text, source) is None


def test_a_field_of_some_events_is_one_of_a_hook_on_all() -> None:
    assert refusal("data.seconds > 2.0", "gateway") is None
    assert refusal("data.seconds > 2.0", "gateway", "recovered") is None
    assert "has no field 'seconds'" in str(refusal("data.seconds > 2.0", "gateway", "unreachable"))


def test_nothing_is_known_of_what_somebody_publishes() -> None:
    assert field_types("custom", None) is None
    assert field_types("crud", "my_entities:create") == field_types("crud", "consumers:create")


def test_every_functions_example_in_the_docs_is_a_filter() -> None:
    table = HANDLERS.read_text().partition("| at hand |")[2].partition("\n\n")[0]
    examples = [code for code in re.findall(r"`([^`]+)`", table) if not code.isalnum() and code.isascii()]
    examples = [code for code in examples if not re.fullmatch(r"\w+", code)]
    assert len(examples) >= 20
    assert {code: refusal(code) for code in examples if refusal(code)} == {}
    event = example_event(LIMIT, None, 0.0)
    assert all(FILTERS.explain(Explain(code, event.data, event.event, LIMIT)).parts for code in examples)


def test_every_refused_example_in_the_docs_is_refused() -> None:
    table = HANDLERS.read_text().partition("| refused |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`([^`]+)`", row) for row in table.splitlines()[2:]]
    assert len(rows) == 4
    for first, *_, meant in rows:
        assert refusal(first) is not None
        assert refusal(meant) is None


def test_every_field_has_a_type_and_its_example_is_of_it() -> None:
    for source in SOURCES:
        for event in (*source.events, *(family.entry for family in source.families)):
            for field in event.fields:
                assert field.type() != "any" or field.name in {"entity", "old_entity"}, (source.name, field.name)
                assert list(misfits(field.example, field.type(), f"{source.name} {field.name}")) == []
