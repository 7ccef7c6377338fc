"""Whether an answer is a success: what ``config.success`` says of it, evaluated in the sandbox.

=================================  ===================================================================
the rule                           the answer
=================================  ===================================================================
is true                            is a success, whatever its status
is false                           is none; its status decides what follows (``exchange``)
cannot be evaluated (a header is   is none, with a note in the attempt's record
not there, types do not fit)
exceeds a limit of the sandbox     is none: dead; wall time: tried again, ``TRIES`` times in all
had no time or room to run         is none: tried again; better once too often than lost
=================================  ===================================================================

Limits: ``SECONDS`` for a verdict, less than the margin after which the worker ends an attempt. The body is what is kept
of it (``MAX_BODY_BYTES``), bytes that are no UTF-8 replaced.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from kong_eventhooks_plugin.handlers.http_client import MAX_BODY_BYTES, HttpAnswer
from kong_eventhooks_plugin.handlers.sandbox_failure import outcome_of
from kong_eventhooks_plugin.model.delivery import Outcome
from kong_eventhooks_plugin.sandbox.filter_errors import loggable
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Decided, Failed, Judge

SECONDS = 3.0


class Verdict(NamedTuple):
    """``outcome``: there is no verdict, and this follows. ``note`` says why a rule is not true of the answer."""

    success: bool
    note: str | None = None
    outcome: Outcome | None = None


JudgeAnswer = Callable[[HttpAnswer], Awaitable[Verdict]]


class AnswerJudge:
    """``pool`` is not closed here; without one no rule has a verdict."""

    def __init__(self, pool: Pool | None) -> None:
        self._pool = pool

    def of(self, config: Mapping[str, Any], hook_id: str, attempt: int) -> JudgeAnswer | None:
        """Return what judges the answers to a hook; None where its status alone does."""
        expression = config.get("success")
        if expression is None:
            return None

        async def judge(answer: HttpAnswer) -> Verdict:
            body = answer.body[:MAX_BODY_BYTES].decode("utf-8", "replace")
            task = Judge(expression, answer.status, _headers(answer), body)
            return _verdict(await self._run(task, hook_id), expression, attempt)

        return judge

    async def _run(self, task: Judge, hook_id: str) -> Decided | Failed:
        if self._pool is None:
            return Failed("unavailable", "there is no sandbox")
        try:
            async with asyncio.timeout(SECONDS):
                result = await self._pool.run(task, hook_id)
        except TimeoutError:
            return Failed("busy", "no verdict in time")
        return result if isinstance(result, Decided | Failed) else Failed("unavailable", "no verdict came back")


def _headers(answer: HttpAnswer) -> dict[str, str]:
    """Return the headers by their names in lower case, the values of a repeated one joined."""
    found: dict[str, str] = {}
    for name, value in answer.headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _verdict(result: Decided | Failed, expression: str, attempt: int) -> Verdict:
    if isinstance(result, Failed):
        failed = Failed(result.reason, f"config.success: {result.text}", result.logged)
        return Verdict(False, outcome=outcome_of(failed, attempt))
    (verdict,) = result.verdicts
    if isinstance(verdict, bool):
        return Verdict(verdict)
    return Verdict(False, f"config.success cannot be evaluated: {loggable(verdict, expression, 'the answer')}")
