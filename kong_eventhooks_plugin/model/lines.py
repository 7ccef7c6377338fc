"""A line for Kong's error log, and who takes it."""

from typing import Literal, Protocol

import msgspec

Level = Literal["debug", "info", "notice", "warn", "err", "crit", "alert"]
"""The levels of Kong's PDK, ``kong.log.<level>``."""


class LogLine(msgspec.Struct, frozen=True):
    """Text (it may have several lines) at a level."""

    level: Level
    text: str


class LineSink(Protocol):
    """Takes lines for Kong's error log; bounded, never blocks, never raises."""

    def __call__(self, line: LogLine) -> None:
        """Keep the line until Kong can be handed it."""
