"""The ``log`` handler: writes the event as Kong's event hooks do, ``"log callback: "`` and the event in an inspect box.

The box goes to our own output, whole, and to Kong's error log at the level that ``config.level`` names. nginx cuts an
entry of its error log at 4,096 bytes, prefix and request included, so the box goes there in pieces of whole lines
of at most ``PIECE`` bytes. Every event counts as delivered.
"""

import os
from collections.abc import Iterator, Mapping
from typing import get_args

import structlog

from kong_eventhooks_plugin.handlers.contract import DeliveryJob, Handler
from kong_eventhooks_plugin.handlers.inspect_box import box
from kong_eventhooks_plugin.model.delivery import Delivered, Discard, Outcome
from kong_eventhooks_plugin.model.lines import Level, LineSink, LogLine

PIECE = 2_000
NAME = 60

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
        level = level_named(job.config.get("level"))
        header = f"[kong] event_hooks:{job.hook.name[:NAME]}:? [event-hooks]"
        try:
            text = box(header, "log callback: ", [job.event.event, job.source, job.event.data, self._pid])
        except (RecursionError, ValueError) as error:
            return Discard("internal", f"the event's data cannot be shown ({type(error).__name__})")
        getattr(log, OUR_LEVELS[level])("log_handler_output", hook=job.hook.name, text=text)
        for piece in pieces(text):
            self._lines(LogLine(level, piece))
        return Delivered()


def pieces(text: str) -> Iterator[str]:
    """Yield ``text`` in pieces of whole lines of at most ``PIECE`` bytes; a line is never that long in a box."""
    piece: list[str] = []
    size = 0
    for line in text.split("\n"):
        length = len(line.encode("utf-8", "replace")) + 1
        if piece and size + length > PIECE:
            yield "\n".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += length
    yield "\n".join(piece)


def level_named(name: object) -> Level:
    """Return Kong's level of that name, ``notice`` where there is none."""
    return next((known for known in get_args(Level) if known == name), "notice")
