"""Filters that would run long, grow large or fail in the evaluator. The pool goes on serving."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Check, Checked, Decide, Decided, Failed
from tests.support.sampling import sample

pytestmark = pytest.mark.asyncio(loop_scope="module")
Serves = Callable[[], Awaitable[None]]

DATA: dict[str, Any] = {"l": list(range(2_000)), "s": "a" * 500_000, "n": 1}

EXPRESSIONS = [
    "data.l.all(a, data.l.all(b, data.l.all(c, a + b + c >= 0)))",
    "data.l.map(a, data.s + data.s).size() > 1",
    "data.l.map(a, data.l.map(b, data.s + data.s)).size() > 1",
    'data.s.matches("(a+)+$b")',
    'data.s.matches("(((a{30}){30}){30}){30}")',
    "[data.s, data.s].map(x, [x + x, x + x].map(y, [y + y, y + y].map(z, z + z + z + z))).size() == 2",
    "(" * 200 + "true" + ")" * 200,
    "!" * 4_000 + "true",
    "[" * 2_000 + "]" * 2_000 + " == []",
    " && ".join(["data.n == 1"] * 290),
]


@pytest.mark.parametrize("expression", sample(EXPRESSIONS, 12), ids=[each[:40] for each in EXPRESSIONS])
async def test_an_expression_ends_and_costs_itself_alone(pool: Pool, expression: str, still_serves: Serves) -> None:
    result = await pool.run(Decide((expression,), DATA, "e", "s"), "evil")
    assert isinstance(result, Decided | Failed)
    if isinstance(result, Failed):
        assert result.reason in ("cpu", "memory", "crash")
    await still_serves()
    assert isinstance(await pool.run(Check("filter", expression)), Checked | Failed)
    await still_serves()
