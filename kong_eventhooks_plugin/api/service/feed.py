"""Live events, published to watchers as they are committed.

A watcher that does not keep up loses the oldest pending events and gets their count; it never slows the plugin socket.
Limits: ``WATCHERS`` at the same time, one more is refused (``TooBusy``); ``WAITING`` pending events for each.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from kong_eventhooks_plugin.errors import TooBusy
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Receipt

WATCHERS: Final = 32
WAITING: Final = 256


class LiveEvent(msgspec.Struct, frozen=True):
    event: Event
    receipt: Receipt


class Missed(msgspec.Struct, frozen=True):
    """``count`` events were dropped because the watcher did not read them; None: unknown how many."""

    count: int | None


class WatchFilter(msgspec.Struct, frozen=True):
    """Which events to watch: all that is set must hold. ``hook_id``: one that it fired or was held back on it."""

    source: str | None = None
    event: str | None = None
    hook_id: str | None = None

    def matches(self, live: LiveEvent) -> bool:
        event, receipt = live.event, live.receipt
        return (
            (self.source is None or self.source == event.source)
            and (self.event is None or self.event == event.event)
            and (self.hook_id is None or self.hook_id in receipt.fired or self.hook_id in receipt.held_back)
        )


class Watcher:
    """Iterate over it. It ends when the feed closes."""

    def __init__(self, wanted: WatchFilter) -> None:
        self._wanted = wanted
        self._pending: deque[LiveEvent] = deque()
        self._missed = 0
        self._wake = asyncio.Event()
        self._closed = False

    def publish(self, live: LiveEvent) -> None:
        if self._closed or not self._wanted.matches(live):
            return
        if len(self._pending) >= WAITING:
            self._pending.popleft()
            self._missed += 1
        self._pending.append(live)
        self._wake.set()

    def close(self) -> None:
        """End it, after what is pending has been read."""
        self._closed = True
        self._wake.set()

    async def next(self) -> LiveEvent | Missed | None:
        """Return what was missed, else the oldest pending event, when there is one; None at the end.

        It may be cancelled: nothing is lost.
        """
        while not (self._pending or self._missed or self._closed):
            self._wake.clear()
            await self._wake.wait()
        if self._missed:
            missed, self._missed = self._missed, 0
            return Missed(missed)
        return self._pending.popleft() if self._pending else None

    async def __aiter__(self) -> AsyncIterator[LiveEvent | Missed]:
        while (entry := await self.next()) is not None:
            yield entry


class Feed:
    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._closed = False

    def publish(self, event: Event, receipt: Receipt) -> None:
        """Publish an event after its commit: it must cost nothing where nobody watches."""
        if self._watchers:
            live = LiveEvent(event, receipt)
            for watcher in self._watchers:
                watcher.publish(live)

    @contextmanager
    def watch(self, wanted: WatchFilter) -> Iterator[Watcher]:
        """May raise ``TooBusy``."""
        if len(self._watchers) >= WATCHERS:
            raise TooBusy(f"{WATCHERS} watchers are connected already")
        watcher = Watcher(wanted)
        if self._closed:
            watcher.close()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """End all watches: the process exits."""
        self._closed = True
        for watcher in list(self._watchers):
            watcher.close()
