"""How long to wait before a worker that died is started again: pure, with an injected clock.

At once the first time, because Kong's calls wait; then longer and longer, so that a worker that
cannot live does not take the machine's CPU. A worker that lived ``HEALTHY_SECONDS`` resets the pause.
"""

PAUSES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds; after the end the last one applies."""

HEALTHY_SECONDS = 10.0


class RestartBackoff:
    """Counts deaths in a row. ``total`` counts all of them; ``delay`` is the last one returned."""

    def __init__(self) -> None:
        self.total = 0
        self.delay = 0.0
        self._in_a_row = 0

    def delay_after(self, lived: float) -> float:
        """Return the seconds to wait after a worker that lived ``lived`` seconds."""
        if lived >= HEALTHY_SECONDS:
            self._in_a_row = 0
        self.delay = PAUSES[min(self._in_a_row, len(PAUSES) - 1)]
        self._in_a_row += 1
        self.total += 1
        return self.delay
