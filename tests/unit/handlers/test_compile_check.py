"""What only a compiler finds in a hook."""

from typing import Any

import pytest

from kong_eventhooks_plugin.handlers.compile_check import compile_errors, compile_violation, has_code
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sources.field_types import field_types
from tests.support.events import make_hook

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"filter": "data.limit >"}, {"filter": "line 1, column 13: Syntax error: mismatched input '<EOF>'"}),
        ({"filter": "limit > 3"}, {"filter": "line 1, column 1: unknown variable 'limit': use source, event and "
                                             "data; the event's fields are under data"}),
        ({"filter": "1 + 1"}, {"filter": "line 1, column 1: a filter must be true or false; "
                              "1 + 1 is a number: compare it, as in 1 + 1 > 0"}),
        ({"filter": "data.limit > 3"}, {}),
        ({"handler": "webhook-custom", "config": {"payload": {"a": "{% if %}"}}, "filter": "("},
         {"config": {"payload": {"a": "line 1, column 9: unexpected symbol near 'if'"}},
          "filter": "line 1, column 2: Syntax error: mismatched input '<EOF>'"}),
        ({"handler": "webhook-custom", "config": {"payload": {"a": "{% if %}"}, "template": "jinja2"}},
         {"config": {"payload": {"a": "line 1, column 1: Expected an expression, got 'end of statement block'"}}}),
        ({"handler": "lambda", "config": {"functions": ["return function() end", "return 1", "return function() end"]}},
         {"config": {"functions": [None, "line 1, column 1: it must return a function, and returns a number"]}}),
        ({"handler": "webhook", "config": {"url": "{% if %}"}}, {}),
        ({"handler": "webhook", "config": {"success": "status == 200"}}, {}),
        ({"handler": "webhook-custom", "config": {"payload": {"a": "{% if %}"}, "success": "code == 1"}},
         {"config": {"payload": {"a": "line 1, column 9: unexpected symbol near 'if'"},
                     "success": "line 1, column 1: unknown variable 'code': use status, headers and body"}}),
    ],
)  # fmt: skip
async def test_faults_have_the_shape_of_the_definition(
    pool: Pool, fields: dict[str, Any], errors: dict[str, Any]
) -> None:
    hook = make_hook(**fields)
    found = await compile_errors(pool, hook)
    assert found == errors
    problem = await compile_violation(pool, hook)
    assert (problem is None) == (errors == {})
    if problem is not None:
        assert problem.fields == found


async def test_a_filter_is_checked_against_what_is_known_of_its_source(pool: Pool) -> None:
    wrong = make_hook(filter="data.limt > 4")
    assert await compile_errors(pool, wrong, field_types) == {
        "filter": "line 1, column 6: data has no field 'limt'; did you mean limit?"
    }
    assert await compile_errors(pool, make_hook(source="custom", filter="data.limt > 4"), field_types) == {}


async def test_the_refusal_names_the_place(pool: Pool) -> None:
    hook = make_hook(handler="lambda", config={"functions": ["return function() end", "return ("]})
    problem = await compile_violation(pool, hook)
    assert problem is not None
    assert [path for path, _ in problem.leaves()] == ["config.functions[1]"]
    assert "line 1, column 1: " in str(problem)


async def test_a_sandbox_that_cannot_say_refuses_too() -> None:
    closed = Pool()
    await closed.close()
    assert await compile_errors(closed, make_hook(filter="true")) == {
        "filter": "could not be checked: the sandbox is closed"
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, False), ({"handler": "webhook"}, False), ({"handler": "lambda"}, True), ({"filter": "true"}, True),
     ({"handler": "webhook-custom"}, True)],
)  # fmt: skip
async def test_what_has_code(fields: dict[str, Any], expected: bool) -> None:
    assert has_code(make_hook(**fields)) is expected
