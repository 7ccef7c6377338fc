"""Who polls what one node polls for all that share a store: leases in that store (``queue.polling``).

They go to nodes with an Admin API whose hooks want what is polled. A process holds one until the time that the store
last gave it runs out by its own clocks: where the store does not answer, it stops by itself. When the store answers
again, those who held a lease ask first, and the others a renewal later: it may be an older backup, and who polled last
knows most (``shared_notes``). A store that takes longer than a renewal to open was away.

Limits: a lease is renewed every ``RENEW_SECONDS``; ``RELEASE_SECONDS`` is how long ``close`` waits for the store.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from kong_eventhooks_plugin.background import RateLimitedLogger, is_set_within
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.polling import TTL, SharedPolling

RENEW_SECONDS: Final = 2.0
RELEASE_SECONDS: Final = 1.0


class _Held(NamedTuple):
    """``until`` is by the clock and by a stopwatch: the one stands still while a machine sleeps, the other is set."""

    term: int
    until: tuple[float, float]


class PollLeases:
    """``process`` and ``node`` name us; ``may``: whether this process may hold any. ``run`` ends when cancelled.

    It waits until the store ``is_open``.
    """

    def __init__(
        self,
        shared: SharedPolling,
        process: str,
        node: str,
        may: Callable[[], bool],
        is_open: asyncio.Event,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._process = process
        self._node = node
        self._may = may
        self._is_open = is_open
        self._clock = clock
        self._monotonic = monotonic
        self._wanted: dict[str, Callable[[], bool]] = {}
        self._held: dict[str, _Held] = {}
        self._was_away = False
        self._hurried = asyncio.Event()
        self._limited_log = RateLimitedLogger(monotonic)

    def add(self, name: str, wanted: Callable[[], bool]) -> Callable[[], int]:
        """Keep the lease of that name while it is ``wanted``; return what gives its term, 0 while it is not ours."""
        self._wanted[name] = wanted
        return lambda: self._term(name)

    def hurry(self) -> None:
        """Have the store asked now: what is wanted may have changed."""
        self._hurried.set()

    async def run(self) -> None:
        self._was_away |= not await is_set_within(self._is_open, RENEW_SECONDS)
        await self._is_open.wait()
        while True:
            self._hurried.clear()
            await self.renew()
            await is_set_within(self._hurried, RENEW_SECONDS)

    async def renew(self) -> None:
        """Ask the store once. A lease runs from before the request: its answer may be late."""
        names = [name for name, wanted in self._wanted.items() if wanted()] if self._may() else []
        until = (self._clock() + TTL, self._monotonic() + TTL)
        try:
            if left := self._held.keys() - names:
                await self._shared.release(sorted(left), self._process)
                self._held = {name: held for name, held in self._held.items() if name in names}
            if self._was_away:
                names = [name for name in names if name in self._held]
            if names or self._was_away:
                terms = await self._shared.acquire(names, self._process, self._node)
                self._held = {name: _Held(term, until) for name, term in terms.items()}
            self._was_away = False
        except QueueError as error:
            self._was_away = True
            self._limited_log.warning("poll_lease_renewal_failed", "renewal", error=str(error))

    async def close(self) -> None:
        """Leave what we hold to others."""
        held, self._held = self._held, {}
        if held:
            with suppress(QueueError, TimeoutError):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self._shared.release(sorted(held), self._process)

    def _term(self, name: str) -> int:
        held = self._held.get(name)
        if held is None or not self._may():
            return 0
        clock, monotonic = held.until
        return held.term if self._clock() < clock and self._monotonic() < monotonic else 0
