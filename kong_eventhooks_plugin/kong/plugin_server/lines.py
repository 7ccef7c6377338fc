"""Lines for Kong's error log: they wait here for the next ``log`` phase that Kong runs.

Limits: ``LINES`` lines and ``BYTES`` bytes of text wait; past either the new line is dropped and counted
(``socket_errors``, reason ``line_dropped``). A text longer than ``LINE_BYTES`` is cut and says so: Kong's own log cuts
earlier. The sidecar's own output has every line whole.
"""

from collections import deque

import msgspec

from kong_eventhooks_plugin.model.lines import LogLine
from kong_eventhooks_plugin.telemetry.metrics import Counts

LINES = 1_000
BYTES = 1 << 20
LINE_BYTES = 16 << 10
_CUT = " [cut]"


class LineBuffer:
    """A ``LineSink`` whose lines are taken oldest first. For the event loop's thread."""

    def __init__(self, counts: Counts, *, lines: int = LINES, size: int = BYTES) -> None:
        self._counts = counts
        self._lines = lines
        self._left = size
        self._waiting: deque[tuple[LogLine, int]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __call__(self, line: LogLine) -> None:
        """Keep ``line``; dropped and counted where the buffer is full."""
        raw = line.text.encode("utf-8", "replace")
        if len(raw) > LINE_BYTES:
            text = raw[: LINE_BYTES - len(_CUT)].decode("utf-8", "ignore") + _CUT
            line, raw = msgspec.structs.replace(line, text=text), text.encode()
        if len(self._waiting) >= self._lines or len(raw) > self._left:
            self._counts.socket_errors["line_dropped",] += 1
            return
        self._left -= len(raw)
        self._waiting.append((line, len(raw)))

    def pop(self) -> LogLine | None:
        """Return the oldest line, None where none waits."""
        if not self._waiting:
            return None
        line, size = self._waiting.popleft()
        self._left += size
        return line
