"""Delivery steps back where the event loop is busy: Kong's calls are answered on the same loop. Pure.

The worker looks every ``BEAT`` seconds, while attempts are in flight, how late the loop lets it. Later than ``LATE``
halves how many attempts may be in flight, in time adds ``STEP`` again, between ``LEAST`` and the total that is set.
Endpoints that hang cost no processor time, so they do not lower it.
"""

BEAT = 0.02
LATE = 0.01
STEP = 8
LEAST = 8


class ConcurrencyThrottle:
    """How many attempts may be in flight now."""

    def __init__(self, total: int) -> None:
        self._total = total
        self.ceiling = total

    def beat(self, lag: float) -> None:
        """Take in how many seconds late the loop was."""
        if lag > LATE:
            self.ceiling = max(min(LEAST, self._total), self.ceiling // 2)
        else:
            self.ceiling = min(self._total, self.ceiling + STEP)
