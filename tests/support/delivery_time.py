"""A clock that stands still until a test moves it, and the waiting that goes with it."""

import asyncio


class FakeTime:
    """Call it for Unix seconds; hand ``wait`` to what waits."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self._sleepers: set[tuple[float, asyncio.Event]] = set()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake whoever waited for it."""
        self.now += seconds
        for until, woken in list(self._sleepers):
            if until <= self.now:
                woken.set()

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
