"""Lowers how many attempts may be in flight while the event loop is busy: Kong's calls are answered on it. Pure.

While attempts are in flight the worker measures every ``BEAT`` seconds how late the loop runs its timer. More than
``LATE`` halves the ceiling, less adds ``STEP``, between ``LEAST`` and the total. Attempts that have been in flight for
``HANGING`` seconds wait for an endpoint and cost no processor time: they do not count, or one endpoint that hangs would
hold all others up as long as the loop is busy.
"""

BEAT = 0.02
LATE = 0.01
STEP = 8
LEAST = 8
HANGING = 1.0


class ConcurrencyThrottle:
    """How many attempts may be in flight now."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._active = total
        self.ceiling = total

    def beat(self, lag: float, hanging: int = 0) -> None:
        """Adjust the ceiling to a timer that was ``lag`` seconds late, and to how many attempts hang."""
        if lag > LATE:
            self._active = max(min(LEAST, self._total), self._active // 2)
        else:
            self._active = min(self._total, self._active + STEP)
        self.ceiling = min(self._total, self._active + hanging)
