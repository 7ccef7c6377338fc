"""Lowers how many attempts may be in flight while the event loop is busy: Kong's calls are answered on it. Pure.

While attempts are in flight the worker measures every ``BEAT`` seconds how late the loop runs its timer. More than
``LATE`` halves the ceiling, less adds ``STEP``, between ``LEAST`` and the total. Endpoints that hang cost no processor
time and do not lower it.
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
        """Adjust the ceiling to a timer that was ``lag`` seconds late."""
        if lag > LATE:
            self.ceiling = max(min(LEAST, self._total), self.ceiling // 2)
        else:
            self.ceiling = min(self._total, self.ceiling + STEP)
