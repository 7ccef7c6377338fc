"""A line for Kong's error log, and who writes it."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

Level = Literal["debug", "info", "notice", "warn", "err", "crit", "alert"]
"""The levels of Kong's PDK, ``kong.log.<level>``."""


class LogLine(msgspec.Struct, frozen=True):
    """One entry of Kong's error log: a text without line ends."""

    level: Level
    text: str


class LineSink(Protocol):
    """Writes lines to Kong's error log; bounded, never raises."""

    async def write(self, key: str, lines: Sequence[LogLine]) -> str | None:
        """Return None once Kong's error log has all lines, or why it does not have them yet.

        Lines that are not written yet may be written later. ``key`` names the delivery: the same lines under the same
        key are written once, so that the delivery's next attempt learns what became of them.
        """
