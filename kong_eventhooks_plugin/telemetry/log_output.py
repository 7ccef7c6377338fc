"""Where log lines go: standard output, written by a thread of its own.

Kong, journald or a container's runtime reads what we write. One that reads slowly, or has gone (Kong's process
crashed), must neither stop the worker nor end it: a line that cannot be written is dropped and counted, and the next
one says how many (``lines_dropped``), as the supervisor's do (``kong.supervisor.plain_log``).

Limits: ``WAITING_BYTES`` of lines that wait to be written, past which a line is dropped; ``END_SECONDS`` for them at
the process's end.
"""

import os
import threading
from collections import deque
from typing import Final

WAITING_BYTES: Final = 4 << 20
END_SECONDS: Final = 1.0


class LogOutput:
    """Something to write text to that neither blocks nor raises. ``descriptor`` stays open, and is not ours."""

    def __init__(self, descriptor: int, waiting_bytes: int = WAITING_BYTES) -> None:
        self._descriptor = descriptor
        self._limit = waiting_bytes
        self._changed = threading.Condition()
        self._waiting: deque[tuple[bytes, int]] = deque()  # each with how many dropped ones it tells of
        self._bytes = 0
        self._dropped = 0
        self._reporting = threading.local()  # what the line that this thread is about to write tells of
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> int:
        """Take a text; return its length, as files do."""
        data = text.encode(errors="replace")
        tells: int = getattr(self._reporting, "dropped", 0)
        self._reporting.dropped = 0
        with self._changed:
            if self._bytes + len(data) > self._limit:
                self._dropped += 1 + tells
            else:
                self._waiting.append((data, tells))
                self._bytes += len(data)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
                    self._thread.start()
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Wait for nothing: the thread writes as soon as it can."""

    def take_dropped(self) -> int:
        """Return how many were dropped since the last question, for the line that this thread writes next to say.

        Where that line is dropped as well, so is what it says: the one after it says the sum.
        """
        with self._changed:
            dropped, self._dropped = self._dropped, 0
        self._reporting.dropped = dropped
        return dropped

    def end(self, seconds: float = END_SECONDS) -> bool:
        """Wait until all is written, at most so long; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._bytes, seconds)

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data, tells = self._waiting.popleft()
            written = _write(self._descriptor, data)
            with self._changed:
                self._bytes -= len(data)
                self._dropped += 0 if written else 1 + tells
                self._changed.notify_all()


def _write(descriptor: int, data: bytes) -> bool:
    """Write all of it; tell whether that went."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return False
    return True
