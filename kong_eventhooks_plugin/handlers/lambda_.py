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
from collections.abc import Iterator

import msgspec
import structlog

from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler, never_raises
from kong_eventhooks_plugin.handlers.inspect_box import box
from kong_eventhooks_plugin.handlers.log import NAME, OUR_LEVELS, PIECE, level_named, pieces
from kong_eventhooks_plugin.handlers.sandbox_failure import outcome_of, template_outcome
from kong_eventhooks_plugin.model.delivery import Answer, Delivered, Outcome, Retry
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.lines import LineSink, LogLine
from kong_eventhooks_plugin.sandbox.pool import Pool
from kong_eventhooks_plugin.sandbox.tasks import Called, Failed, LambdaCall, Line

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
            for line in result.lines:
                self._write(job.hook, line)
            return self._outcome(job, result)
        if isinstance(result, Failed):
            if not result.temporary:
                self._write(job.hook, Line("err", "", result.text))
            return outcome_of(result, job.attempt)
        return Retry("internal", "no result came back")

    def _outcome(self, job: DeliveryJob, result: Called) -> Outcome:
        if result.end == "raised":
            self._write(job.hook, Line("err", "", result.text))
            return Delivered(Answer(body=result.text.encode()[:MAX_OUTPUT]))
        if result.end == "done":
            return Delivered(
                Answer(body=b"" if result.value is None else msgspec.json.encode(result.value)[:MAX_OUTPUT])
            )
        return template_outcome(result.text, job.attempt)

    def _write(self, hook: Hook, line: Line) -> None:
        level = level_named(line.level)
        text = _shown(hook.name[:NAME], line)
        getattr(log, OUR_LEVELS[level])("lambda_output", hook=hook.name, text=text)
        for piece in pieces(text):
            for part in _parts(piece):
                self._lines(LogLine(level, part))


def _shown(hook: str, line: Line) -> str:
    """Return a line as Kong's would be: ``[kong] event_hooks:NAME [string "return function..."]:3: text``."""
    header = f"[kong] event_hooks:{hook}"
    if line.values is not None:
        return box(f"{header} {line.where}", *line.values)
    return f"{header} {line.where}: {line.text}" if line.where else f"{header} {line.text}"


def _parts(text: str) -> Iterator[str]:
    """Yield one line, however long, in parts of ``PIECE`` characters: nginx cuts what is longer."""
    for at in range(0, max(len(text), 1), PIECE):
        yield text[at : at + PIECE]
