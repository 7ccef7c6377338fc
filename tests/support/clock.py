"""The one clock of the tests: it stands still until a test moves it."""

START = 1_800_000_000.0
"""Unix seconds: a time that no recording and no file of the machine has."""


class FakeClock:
    """Call it for seconds. What waits by it is built on it: ``delivery_time``, ``pollers``."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float = 1.0) -> float:
        """Let time pass; return what time it is then."""
        self.now += seconds
        return self.now
