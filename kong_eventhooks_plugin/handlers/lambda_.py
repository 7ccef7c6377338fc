"""The ``lambda`` handler: calls the hook's Lua functions in the sandbox, one after the other, and writes their lines.

============================================  =====================================================================
a function                                    outcome
============================================  =====================================================================
returns a value                               it is the next one's ``data``; of the last: delivered
ends without a value                          the next one gets the same ``data``; of the last: delivered
``error()``, or fails                         delivered: that is how a lambda logs; the text is a line at ``err``
returns ``false`` or ``nil, err``             the chain stops; tried again, ``TRIES`` times in all
breaks a limit                                dead; wall time: tried again, ``TRIES`` times in all
============================================  =====================================================================

Lines go to our own output and, at their level, to Kong's error log, with the chunk's name and line as Kong writes them.
"""

import os

import structlog

from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler, never_raises
from kong_eventhooks_plugin.handlers.log import NAME, OUR_LEVELS, entries, level_named, written
from kong_eventhooks_plugin.handlers.sandbox_failure import outcome_of, template_outcome
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Outcome, Retry
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.log_line import LineSink, LogLine
from kong_eventhooks_plugin.sandbox.inspect_box import boxed
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Called, Failed, LambdaCall, Line

ENTERPRISES_NAME = "[kong] event_hooks.lua:190"
"""What Enterprise's entries of a lambda begin with; see ``log``."""

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
        task = LambdaCall(
            owner=job.hook.id,
            functions=tuple(job.config.get("functions") or ()),
            data=job.event.data,
            event=job.event.event,
            source=job.source,
            pid=self._pid,
        )
        result = await self._pool.run(task, job.hook.id)
        if isinstance(result, Called):
            outcome, lines = self._called(job, result)
        elif isinstance(result, Failed):
            outcome, lines = outcome_of(result, job.attempt), [] if result.temporary else [Line("err", "", result.text)]
        else:
            return Retry("internal", "no result came back")
        return await written(self._lines, job, [entry for line in lines for entry in _entries(job.hook, line)], outcome)

    def _called(self, job: DeliveryJob, result: Called) -> tuple[Outcome, list[Line]]:
        if result.end == "raised":
            answer = Answer(body=result.text.encode()[:MAX_OUTPUT])
            return Delivered(answer), [*result.lines, Line("err", "", result.text)]
        if result.end == "done":
            return Delivered(Answer(body=result.value[:MAX_OUTPUT])), list(result.lines)
        return template_outcome(result.text, "a function returned an error", job.attempt), list(result.lines)


def _entries(hook: Hook, line: Line) -> list[LogLine]:
    """Write a line to our own output; return it as entries of Kong's error log."""
    level = level_named(line.level)
    text = _shown(hook.name[:NAME], line)
    getattr(log, OUR_LEVELS[level])("lambda_output", hook=hook.name, text=text)
    return entries(level, text)


def _shown(hook: str, line: Line) -> str:
    """Return ``[kong] event_hooks.lua:190 [string "return function..."]:3: text``, as in Enterprise, and the hook."""
    if line.inspected is not None:
        return boxed(f"{ENTERPRISES_NAME} {line.where} [{hook}]", line.inspected)
    where = f"{line.where}: " if line.where else ""
    return f"{ENTERPRISES_NAME} {where}{line.text}, event hook: {hook}"
