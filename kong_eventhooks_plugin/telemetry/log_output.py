"""Writes log lines to standard output, in a thread.

Kong, journald or a container's runtime reads them. A reader that is slow or has exited (Kong's process crashed) must
neither block nor end the worker: a line that cannot be written is dropped and counted, and the next one has the count
(``lines_dropped``), as the supervisor's do (``kong.supervisor.plain_log``).

Limits: ``WAITING_BYTES`` of lines wait to be written, past that a line is dropped; ``END_SECONDS`` to write them when
the process exits.
"""

import os
import threading
from collections import deque
from typing import Final

WAITING_BYTES: Final = 4 << 20
END_SECONDS: Final = 1.0


class LogOutput:
    """A text stream that neither blocks nor raises. The caller owns ``descriptor``."""

    def __init__(self, descriptor: int, waiting_bytes: int = WAITING_BYTES) -> None:
        self._descriptor = descriptor
        self._limit = waiting_bytes
        self._changed = threading.Condition()
        self._waiting: deque[tuple[bytes, int]] = deque()  # each with the number of dropped lines that it reports
        self._bytes = 0
        self._dropped = 0
        self._reporting = threading.local()  # the number that the next line of this thread reports
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> int:
        """Queue a text; return its length, as files do."""
        data = text.encode(errors="replace")
        reported: int = getattr(self._reporting, "dropped", 0)
        self._reporting.dropped = 0
        with self._changed:
            if self._bytes + len(data) > self._limit:
                self._dropped += 1 + reported
            else:
                self._waiting.append((data, reported))
                self._bytes += len(data)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
                    self._thread.start()
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def take_dropped(self) -> int:
        """Return how many lines were dropped since the last call, for the next line of this thread to report.

        Where that line is dropped as well, the one after it reports the sum.
        """
        with self._changed:
            dropped, self._dropped = self._dropped, 0
        self._reporting.dropped = dropped
        return dropped

    def end(self, seconds: float = END_SECONDS) -> bool:
        """Wait until all is written, at most so long; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._bytes, seconds)

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data, reported = self._waiting.popleft()
            written = _write(self._descriptor, data)
            with self._changed:
                self._bytes -= len(data)
                self._dropped += 0 if written else 1 + reported
                self._changed.notify_all()


def _write(descriptor: int, data: bytes) -> bool:
    """Write all of it; return whether that succeeded."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return False
    return True
