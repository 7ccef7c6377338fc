"""The ``lambda`` handler: calls the hook's Lua functions in the sandbox, one after the other, and writes their lines.

============================================  =====================================================================
a function                                    outcome
============================================  =====================================================================
returns a value                               it is the next one's ``data``; of the last: delivered
ends without a value                          the next one gets the same ``data``; of the last: delivered
``error()``, or fails                         delivered, with a note: that is how a lambda logs; the text is a line at
                                              ``err``
returns ``false`` or ``nil, err``             the chain stops; tried again, ``TRIES`` times in all
breaks a limit                                dead; wall time: tried again, ``TRIES`` times in all
============================================  =====================================================================

Lines go to our own output and, at their level, to Kong's error log, with the chunk's name and line as Kong writes them.
"""

import os
from typing import Final

import structlog

from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler, Preview, Used, never_raises
from kong_eventhooks_plugin.handlers.log import NAME, OUR_LEVELS, entries, level_named, written
from kong_eventhooks_plugin.handlers.measured_run import measure
from kong_eventhooks_plugin.handlers.sandbox_failure import outcome_of, template_outcome
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Outcome, Retry
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.log_line import LineSink, LogLine
from kong_eventhooks_plugin.sandbox.inspect_box import boxed
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Called, Failed, LambdaCall, Line, Result

ENTERPRISES_NAME = "[kong] event_hooks.lua:190"
"""What Enterprise's entries of a lambda begin with; see ``log``."""

RAISED: Final = "a function ended with an error"
"""The note of a delivery for which the text of that error is the answer."""

MAX_OUTPUT = 20_000
"""Bytes of the last answer that are kept with the attempt."""

log = structlog.get_logger()


class LambdaHandler(Handler):
    """``pool`` is not closed here; ``pid`` is what the functions receive."""

    name = "lambda"

    def __init__(self, pool: Pool, lines: LineSink, pid: int | None = None) -> None:
        self._pool = pool
        self._lines = lines
        self._pid = os.getpid() if pid is None else pid

    @never_raises
    async def deliver(self, job: DeliveryJob) -> Outcome:
        result = await self._pool.run(self._task(job, job.hook.id), job.hook.id)
        outcome, lines = _ended(job, result)
        for line in lines:
            _log(job.hook, line)
        return await written(self._lines, job, [entry for line in lines for entry in _entries(job.hook, line)], outcome)

    async def preview(self, job: DeliveryJob) -> Preview:
        """Call the functions with globals and upvalues of their own, not with those of the hook's deliveries."""
        result, used = await measure(self._pool, self._task(job, f"preview of {job.hook.id}"), job.hook)
        outcome, lines = _ended(job, result)
        if isinstance(result, Called):
            used = (
                *used,
                Used("lines", len(result.lines), self._pool.limits.lines),
                Used("sandbox_output_bytes", len(result.value), self._pool.limits.output_bytes),
            )
        return Preview(
            lines=tuple(entry for line in lines for entry in _entries(job.hook, line)),
            result=result.value if isinstance(result, Called) else b"",
            outcome=outcome,
            used=used,
        )

    def _task(self, job: DeliveryJob, owner: str) -> LambdaCall:
        return LambdaCall(
            owner=owner,
            functions=tuple(job.config.get("functions") or ()),
            data=job.event.data,
            event=job.event.event,
            source=job.source,
            pid=self._pid,
        )


def _ended(job: DeliveryJob, result: Result) -> tuple[Outcome, list[Line]]:
    """Return what the call means for the delivery, and its lines."""
    if isinstance(result, Called):
        return _called(job, result)
    if isinstance(result, Failed):
        return outcome_of(result, job.attempt), [] if result.temporary else [Line("err", "", result.text)]
    return Retry("internal", "no result came back"), []


def _called(job: DeliveryJob, result: Called) -> tuple[Outcome, list[Line]]:
    if result.end == "raised":
        answer = Answer(body=result.text.encode()[:MAX_OUTPUT])
        return Delivered(answer, RAISED, raised=result.text), [*result.lines, Line("err", "", result.text)]
    if result.end == "done":
        return Delivered(Answer(body=result.value[:MAX_OUTPUT])), list(result.lines)
    return template_outcome(result.text, "a function returned an error", job.attempt), list(result.lines)


def _log(hook: Hook, line: Line) -> None:
    """Write a line to our own output."""
    text = _shown(hook.name[:NAME], line)
    getattr(log, OUR_LEVELS[level_named(line.level)])("lambda_output", hook=hook.name, text=text)


def _entries(hook: Hook, line: Line) -> list[LogLine]:
    """Return a line as entries of Kong's error log."""
    return entries(level_named(line.level), _shown(hook.name[:NAME], line))


def _shown(hook: str, line: Line) -> str:
    """Return ``[kong] event_hooks.lua:190 [string "return function..."]:3: text``, as in Enterprise, and the hook."""
    if line.inspected is not None:
        return boxed(f"{ENTERPRISES_NAME} {line.where} [{hook}]", line.inspected)
    where = f"{line.where}: " if line.where else ""
    return f"{ENTERPRISES_NAME} {where}{line.text}, event hook: {hook}"
