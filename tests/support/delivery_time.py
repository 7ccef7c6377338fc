"""The tests' clock, and the waiting of the delivery worker that goes with it."""

import asyncio

from tests.support.clock import FakeClock


class FakeTime(FakeClock):
    """Hand ``wait`` to what waits."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: set[tuple[float, asyncio.Event]] = set()

    def advance(self, seconds: float = 1.0) -> float:
        """Let time pass, and wake whoever waited for it; return what time it is then."""
        super().advance(seconds)
        for until, woken in list(self._sleepers):
            if until <= self.now:
                woken.set()
        return self.now

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Wait for the event or for the time, as ``delivery.waiting`` says."""
        if event.is_set() or (until is not None and until <= self.now):
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        sleeper = (float("inf") if until is None else until, woken)
        self._sleepers.add(sleeper)
        tasks = [asyncio.ensure_future(each.wait()) for each in (event, woken)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._sleepers.discard(sleeper)
            for task in tasks:
                task.cancel()
