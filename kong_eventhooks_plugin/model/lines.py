"""A line for Kong's error log."""

from typing import Literal, Protocol

import msgspec

Level = Literal["debug", "info", "notice", "warn", "err", "crit", "alert"]
"""The levels of Kong's PDK, ``kong.log.<level>``."""


class LogLine(msgspec.Struct, frozen=True):
    """``text`` may have several lines."""

    level: Level
    text: str


class LineSink(Protocol):
    """Buffers lines until Kong can be handed them; bounded, never blocks, never raises."""

    def __call__(self, line: LogLine) -> None: ...
