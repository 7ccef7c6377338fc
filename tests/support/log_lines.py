"""A sink that keeps the lines for Kong's error log."""

from collections.abc import Sequence

from kong_eventhooks_plugin.model.log_line import LogLine


class KeptLines(list[LogLine]):
    """``unwritten`` is what ``write`` returns."""

    unwritten: str | None = None

    async def write(self, key: str, lines: Sequence[LogLine]) -> str | None:
        self.extend(lines)
        return self.unwritten
