"""``lambda`` through the real sandbox: outcomes, and the lines that reach Kong's error log."""

from typing import Any

import msgspec
import pytest

from kong_eventhooks_plugin.handlers.compile_check import compile_errors
from kong_eventhooks_plugin.handlers.lambda_ import LambdaHandler
from kong_eventhooks_plugin.handlers.log import PART
from kong_eventhooks_plugin.handlers.sandbox_failure import TRIES
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Discard, Outcome, Retry
from kong_eventhooks_plugin.model.log_line import LogLine
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import LuaRules
from tests.support.delivery_jobs import make_job
from tests.support.events import make_hook
from tests.support.log_lines import KeptLines
from tests.support.sandbox import running_pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

# As in Kong's documentation.
LOG_A_CONSUMER = """return function (data, event, source, pid)
  local user = data.entity.username
  error("Event hook on consumer " .. user .. "")
end
"""


class Calls:
    """A handler whose lines are kept."""

    def __init__(self, pool: Pool) -> None:
        self.lines = KeptLines()
        self.handler = LambdaHandler(pool, self.lines, pid=68854)

    async def __call__(self, *functions: str, data: dict[str, Any] | None = None, attempt: int = 1) -> Outcome:
        job = make_job({"functions": list(functions)}, data or {"entity": {"username": "Lois Lane"}}, "lambda")
        return await self.handler.deliver(msgspec.structs.replace(job, attempt=attempt))


@pytest.fixture
def calls(pool: Pool) -> Calls:
    return Calls(pool)


async def test_kongs_own_example_is_a_line_at_error_level_and_settled(calls: Calls) -> None:
    outcome = await calls(LOG_A_CONSUMER)
    assert isinstance(outcome, Delivered)
    text = '[string "return function (data, event, source, pid)..."]:3: Event hook on consumer Lois Lane'
    assert calls.lines == [LogLine("err", f"[kong] event_hooks.lua:190 {text}, event hook: alert")]
    assert outcome.answer == Answer(body=text.encode())


async def test_what_the_last_function_answers_is_kept(calls: Calls) -> None:
    pid = "return function(data, event, source, pid) return {event = event, source = source, pid = pid} end"
    assert await calls(pid) == Delivered(
        Answer(body=b'{"event":"rate-limit-exceeded","pid":68854,"source":"rate-limiting"}')
    )
    assert await calls("return function() end") == Delivered()
    assert calls.lines == []


@pytest.mark.parametrize("code", ["return function() return false end", "return function() return nil, 'not yet' end"])
async def test_a_refusal_is_tried_again_three_times_at_most(calls: Calls, code: str) -> None:
    outcomes = [await calls(code, attempt=attempt) for attempt in range(1, TRIES + 1)]
    assert [type(outcome) for outcome in outcomes] == [Retry, Retry, Discard]
    assert {outcome.detail for outcome in outcomes} <= {"not yet", "a function answered false"}  # type: ignore[union-attr]


async def test_lines_have_their_levels_and_places(calls: Calls) -> None:
    code = "return function(d)\n kong.log.notice('hello ', d.entity.username)\n kong.log.crit('bad')\nend"
    assert await calls(code) == Delivered()
    assert calls.lines == [
        LogLine(
            "notice",
            '[kong] event_hooks.lua:190 [string "return function(d)..."]:2: hello Lois Lane, event hook: alert',
        ),
        LogLine("crit", '[kong] event_hooks.lua:190 [string "return function(d)..."]:3: bad, event hook: alert'),
    ]


async def test_inspect_writes_kongs_box(calls: Calls) -> None:
    assert await calls("return function(d) kong.log.inspect('seen', d) end") == Delivered()
    assert {line.level for line in calls.lines} == {"notice"}
    first, second, *_, last = (line.text for line in calls.lines)
    assert first.startswith('[kong] event_hooks.lua:190 [string "return function(d) kong.log.inspect(')
    assert second.startswith('|"seen" {')
    assert last == "+" + "-" * 120 + "+"
    assert any('username = "Lois Lane"' in line.text for line in calls.lines)


async def test_lines_of_kongs_log_hold_no_control_character(calls: Calls) -> None:
    await calls(r"return function() kong.log.err('a\27[2Jb\r', '\nc', '\194\155') error('d\0', 0) end")
    found = [line.text.partition("]:1: ")[2] or line.text for line in calls.lines]
    assert found == [
        r"a\x1b[2Jb\r",
        r"c\x9b, event hook: alert",
        r"[kong] event_hooks.lua:190 d\x00, event hook: alert",
    ]


async def test_long_lines_come_in_pieces_that_nginx_does_not_cut(calls: Calls) -> None:
    await calls("return function() kong.log.warn(('x'):rep(5000)) end")
    assert "".join(line.text for line in calls.lines).endswith("x" * 5000 + ", event hook: alert")
    assert len(calls.lines) == 3
    assert all(len(line.text) <= PART for line in calls.lines)


async def test_a_broken_limit_is_a_dead_letter_with_a_line(calls: Calls) -> None:
    outcome = await calls("return function() while true do end end")
    assert outcome == Discard("template", "stopped after 0.3 s of CPU time")
    assert calls.lines == [
        LogLine("err", "[kong] event_hooks.lua:190 stopped after 0.3 s of CPU time, event hook: alert")
    ]


async def test_what_does_not_compile_is_a_dead_letter_too(calls: Calls) -> None:
    outcome = await calls("return functio")
    assert isinstance(outcome, Discard)
    assert "line 1" in outcome.detail


async def test_off_refuses_them(calls: Calls) -> None:
    async with running_pool(lua=LuaRules("off")) as off:
        outcome = await Calls(off)("return function() end")
        assert isinstance(outcome, Discard)
        assert outcome.detail == "line 1, column 1: lambdas are switched off: untrusted_lua = off"
        assert await compile_errors(
            off, make_hook(handler="lambda", config={"functions": ["return function() end"]})
        ) == {"config": {"functions": ["line 1, column 1: lambdas are switched off: untrusted_lua = off"]}}


async def test_functions_are_checked_when_the_hook_is_made(pool: Pool) -> None:
    assert await compile_errors(
        pool, make_hook(handler="lambda", config={"functions": [LOG_A_CONSUMER, "return 5"]})
    ) == {"config": {"functions": [None, "line 1, column 1: it must return a function, and returns a number"]}}
    assert await compile_errors(pool, make_hook(handler="lambda", config={"functions": [LOG_A_CONSUMER]})) == {}


async def test_odd_definitions_raise_nothing(calls: Calls) -> None:
    for functions in (None, 5, [5], [None], "x"):
        job = make_job({"functions": functions}, {"a": 1}, "lambda")
        assert isinstance(await calls.handler.deliver(job), Delivered | Retry | Discard)
    assert calls.handler.endpoint({}) is None
    assert await calls.handler.ping(job.hook, {}, "create", 0.0) is None
    await calls.handler.close()
