"""The ``log`` handler: writes the event as Kong's event hooks do, ``"log callback: "`` and the event in an inspect box.

The box goes to our own output, whole, and to Kong's error log at the level that ``config.level`` names: each of its
lines is an entry. The delivery is delivered when Kong's error log has all of them; until then it is retried
(``kong/plugin_server/error_log_lines.py``). Texts are cut into parts of at most ``PART`` bytes: nginx cuts an entry
at 4,096 bytes, prefix and request included.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import structlog

from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler, Preview
from kong_eventhooks_plugin.model.delivery import Delivered, Discard, Outcome, Retry, with_notes
from kong_eventhooks_plugin.model.log_line import Level, LineSink, LogLine
from kong_eventhooks_plugin.sandbox.inspect_box import box
from kong_eventhooks_plugin.terminal_text import on_one_line

PART = 2_000
NAME = 60
ENTERPRISES_NAME = "[kong] event_hooks.lua:?:452"
"""What Enterprise's entries begin with, its line number included: people search for it."""

OUR_LEVELS: Mapping[Level, str] = {
    "debug": "debug",
    "info": "info",
    "notice": "info",
    "warn": "warning",
    "err": "error",
    "crit": "critical",
    "alert": "critical",
}
"""Kong's level -> the method of our own log."""

log = structlog.get_logger()


class LogHandler(Handler):
    """``lines`` receives what Kong's error log should show; ``pid`` is part of the box."""

    name = "log"

    def __init__(self, lines: LineSink, pid: int | None = None) -> None:
        self._lines = lines
        self._pid = os.getpid() if pid is None else pid

    async def deliver(self, job: DeliveryJob) -> Outcome:
        level, text = level_named(job.config.get("level")), self._text(job)
        if isinstance(text, Discard):
            return text
        getattr(log, OUR_LEVELS[level])("log_handler_output", hook=job.hook.name, text=text)
        return await written(self._lines, job, entries(level, text), Delivered())

    async def preview(self, job: DeliveryJob) -> Preview:
        text = self._text(job)
        if isinstance(text, Discard):
            return Preview(outcome=text)
        return Preview(lines=tuple(entries(level_named(job.config.get("level")), text)), outcome=Delivered())

    def _text(self, job: DeliveryJob) -> str | Discard:
        header = f"{ENTERPRISES_NAME} [{job.hook.name[:NAME]}]"
        try:
            return box(header, "log callback: ", [job.event.event, job.source, job.event.data, self._pid])
        except (RecursionError, ValueError) as error:
            return Discard("internal", f"the event's data cannot be shown ({type(error).__name__})")


async def written(sink: LineSink, job: DeliveryJob, lines: Sequence[LogLine], outcome: Outcome) -> Outcome:
    """Write a delivery's lines; return its outcome, which is delivered only where they are written."""
    if not lines:
        return outcome
    unwritten = await sink.write(job.delivery_id, lines)
    if unwritten is None or not isinstance(outcome, Delivered):
        return outcome
    return with_notes(outcome, [unwritten]) if job.test else Retry("timeout", unwritten)


def entries(level: Level, text: str) -> list[LogLine]:
    """Return each line of ``text`` as an entry, a long one as several. Nginx does not clean what it writes."""
    return [LogLine(level, part) for line in text.split("\n") for part in _parts(on_one_line(line))]


def _parts(line: str) -> Iterator[str]:
    """Yield a line in parts of at most ``PART`` bytes, cut between characters."""
    raw, start = line.encode("utf-8", "replace"), 0
    while len(raw) - start > PART:
        part = raw[start : start + PART].decode("utf-8", "ignore")
        yield part
        start += len(part.encode())
    yield raw[start:].decode()


def level_named(name: object) -> Level:
    """Return Kong's level of that name, ``notice`` where there is none."""
    return next((known for known in get_args(Level) if known == name), "notice")
