"""Lines for Kong's error log: kept until Kong has them.

They go into the file of the setting ``kong_error_log`` at once. Without it, or where it cannot be written to, they wait
for the next ``log`` phase that Kong runs; so do lines below ``notice``, because Kong alone knows its log level. So that
an event's own lines need no further request, the log phase that caused an event stays open for them (``arrival``) where
it fires a hook that writes lines: its client has long been answered, and one call at a time does so. A line counts as
written when Kong has answered the call that logs it; where the connection ends first it is handed to Kong again.

Limits: ``LINES`` lines and ``BYTES`` bytes of text wait; past either a delivery's lines are refused and counted
(``socket_errors``, reason ``line_dropped``). ``WRITE_SECONDS`` until a delivery is answered though its lines wait: they
go on waiting, and its next attempt finds them. ``REMEMBERED`` deliveries whose lines were written after that are
remembered; past it the oldest is forgotten, and its lines are written again.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable, Sequence

import msgspec

from kong_eventhooks_plugin.kong.plugin_server.error_log_file import ErrorLogFile
from kong_eventhooks_plugin.model.log_line import Level, LogLine
from kong_eventhooks_plugin.telemetry.metrics import Counts

LINES = 10_000
BYTES = 4 << 20
WRITE_SECONDS = 5.0
REMEMBERED = 10_000
_KONGS_CHOICE: frozenset[Level] = frozenset({"debug", "info"})


class _Batch:
    """The lines of one delivery; ``left`` of them are not written yet."""

    __slots__ = ("done", "left", "lines")

    def __init__(self, lines: tuple[LogLine, ...]) -> None:
        self.lines = lines
        self.left = len(lines)
        self.done = asyncio.Event()


class WaitingLine(msgspec.Struct, eq=False):
    """A line that waits for a log phase."""

    line: LogLine
    batch: _Batch


class LineBuffer:
    """A ``LineSink`` whose lines are handed to Kong oldest first. For the event loop's thread."""

    def __init__(
        self,
        counts: Counts,
        file: ErrorLogFile | None = None,
        *,
        lines: int = LINES,
        size: int = BYTES,
        seconds: float = WRITE_SECONDS,
    ) -> None:
        self._counts = counts
        self._file = file
        self._lines = lines
        self._left = size
        self._seconds = seconds
        self._waiting: deque[WaitingLine] = deque()
        self._batches: dict[str, _Batch] = {}
        self._closed = asyncio.Event()
        self._arrival: asyncio.Future[None] | None = None
        self.writers: Collection[str] = ()
        """Ids of the hooks that may write lines which a log phase has to take."""

    def __len__(self) -> int:
        return len(self._waiting)

    async def write(self, key: str, lines: Sequence[LogLine]) -> str | None:
        batch = self._batches.get(key)
        if batch is None or batch.lines != tuple(lines):
            batch = _Batch(tuple(lines))
            waiting = self._write_to_file(batch)
            if not self._enqueue(batch, waiting):
                return "too many lines wait for Kong's error log"
            self._batches[key] = batch
        await self._wait(batch)
        if batch.left and self._closed.is_set():
            raise asyncio.CancelledError  # the attempt is cut off: our successor writes the lines
        if batch.left:
            self._forget_oldest()
            return f"Kong has run no log phase for {self._seconds:g} s; its next one writes the lines"
        self._batches.pop(key, None)
        return None

    def pop(self) -> WaitingLine | None:
        """Return the oldest line that waits, None without one. ``written`` or ``put_back`` must follow."""
        if not self._waiting:
            return None
        waiting = self._waiting.popleft()
        self._left += _size(waiting.line)
        return waiting

    def written(self, waiting: WaitingLine) -> None:
        """Kong has the line."""
        waiting.batch.left -= 1
        if not waiting.batch.left:
            waiting.batch.done.set()

    def put_back(self, waiting: WaitingLine) -> None:
        """Kong may not have the line: it is the next one again."""
        self._left -= _size(waiting.line)
        self._waiting.appendleft(waiting)

    def arrival(self, fired: Iterable[str]) -> "asyncio.Future[None] | None":
        """Return a future that ends when a line waits; None where no hook that fired writes one, or a call waits.

        Whoever stops waiting cancels it.
        """
        if not self.writers or self._closed.is_set() or not (self._arrival is None or self._arrival.done()):
            return None
        if not any(hook_id in self.writers for hook_id in fired):
            return None
        self._arrival = asyncio.get_running_loop().create_future()
        if self._waiting:
            self._arrival.set_result(None)
        return self._arrival

    def close(self) -> None:
        """Cut off all waits and drop what waits: our successor writes it."""
        self._closed.set()
        self._waiting.clear()
        self._end_arrival()

    def _end_arrival(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def _wait(self, batch: _Batch) -> None:
        if not batch.left or self._closed.is_set():
            return
        ends = [asyncio.ensure_future(batch.done.wait()), asyncio.ensure_future(self._closed.wait())]
        try:
            await asyncio.wait(ends, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    def _write_to_file(self, batch: _Batch) -> list[LogLine]:
        """Write what the file may have; return the lines that wait for a log phase."""
        if self._file is None:
            return list(batch.lines)
        ours = [line for line in batch.lines if line.level not in _KONGS_CHOICE]
        if not self._file.write(ours):
            return list(batch.lines)
        batch.left -= len(ours)
        return [line for line in batch.lines if line.level in _KONGS_CHOICE]

    def _enqueue(self, batch: _Batch, lines: list[LogLine]) -> bool:
        size = sum(map(_size, lines))
        if len(self._waiting) + len(lines) > self._lines or size > self._left:
            self._counts.socket_errors["line_dropped",] += len(lines)
            return False
        self._left -= size
        self._waiting.extend(WaitingLine(line, batch) for line in lines)
        if lines:
            self._end_arrival()
        return True

    def _forget_oldest(self) -> None:
        while len(self._batches) > REMEMBERED:
            del self._batches[next(iter(self._batches))]


def _size(line: LogLine) -> int:
    return len(line.text.encode("utf-8", "replace"))
