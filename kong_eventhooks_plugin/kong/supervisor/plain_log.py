"""Log lines of the supervisor: in the worker's format (JSON, or columns for people), without its libraries.

Lines go to standard output, where Kong and journald read them. A line has at most ``LINE_BYTES`` bytes,
so that a pipe accepts it whole; a longer one is cut. The supervisor must never hang on a reader that does
not read or has exited: such a line is dropped and counted, and the next written one has the count.
"""

import json
import os
import select
import sys
import time
from typing import Literal, Protocol

from kong_eventhooks_plugin.terminal_text import on_one_line

LINE_BYTES = 4096  # PIPE_BUF on Linux

Level = Literal["info", "warning", "error"]


class Log(Protocol):
    """What the supervisor logs through; a structlog logger fits too."""

    def info(self, event: str, **fields: object) -> object: ...

    def warning(self, event: str, **fields: object) -> object: ...


class PlainLog:
    """Writes lines to ``descriptor`` as JSON or, where ``human``, as columns."""

    def __init__(self, *, human: bool, descriptor: int | None = None) -> None:
        self._render = _human if human else _json
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self.dropped = 0

    def info(self, event: str, **fields: object) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write("warning", event, fields)

    def _write(self, level: Level, event: str, fields: dict[str, object]) -> None:
        if self.dropped:
            fields = {**fields, "lines_dropped": self.dropped}
        line = self._render(level, event, fields).encode(errors="replace")[: LINE_BYTES - 1] + b"\n"
        try:
            if not self._is_writable():
                raise BlockingIOError
            os.write(self._descriptor, line)
        except OSError:
            self.dropped += 1
        else:
            self.dropped = 0

    def _is_writable(self) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return any(state & select.POLLOUT for _, state in poll.poll(0))


def _now() -> str:
    at = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{int(at % 1 * 1_000_000):06d}Z"


def _json(level: Level, event: str, fields: dict[str, object]) -> str:
    return json.dumps({**fields, "event": event, "level": level, "timestamp": _now()}, default=str)


def _human(level: Level, event: str, fields: dict[str, object]) -> str:
    columns = " ".join(f"{name}={on_one_line(str(value))}" for name, value in sorted(fields.items()))
    return f"{_now()} [{level:<9}] {event:<30} {columns}".rstrip()
