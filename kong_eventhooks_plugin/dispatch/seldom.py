"""Log lines about what can happen at every request: one in a while, with how many were left out.

Limits: one line per key in ``PERIOD`` seconds, and ``KEYS`` keys; past that, keys share one place. What is left
out is counted in the next line of its key.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog

PERIOD: Final = 10.0
KEYS: Final = 64
_OTHERS: Final = "others"


class SeldomLog:
    """Logs an event at most once per period and key. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float], period: float = PERIOD) -> None:
        self._clock = clock
        self._period = period
        self._log = structlog.get_logger()
        self._seen: dict[str, tuple[float, int]] = {}

    def error(self, event: str, key: str, **fields: Any) -> None:
        """Log the event as an error, with its fields and ``left_out``, unless one with this key was logged just now."""
        self._write(self._log.error, event, key, fields)

    def warning(self, event: str, key: str, **fields: Any) -> None:
        """Do the same as a warning."""
        self._write(self._log.warning, event, key, fields)

    def _write(self, write: Callable[..., Any], event: str, key: str, fields: dict[str, Any]) -> None:
        now = self._clock()
        if key not in self._seen and len(self._seen) >= KEYS:
            key = _OTHERS
        logged_at, left_out = self._seen.get(key, (None, 0))
        if logged_at is not None and 0 <= now - logged_at < self._period:
            self._seen[key] = (logged_at, left_out + 1)
            return
        self._seen[key] = (now, 0)
        write(event, left_out=left_out, **fields)
