"""Live events, told to whoever watches, as they are committed.

A watcher that does not keep up loses the oldest it has not read, and is told how many; it never slows the door. Limits:
``WATCHERS`` at the same time, one more is refused (``TooBusy``); ``WAITING`` events wait for each.
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
    """An event that was accepted just now, and what it led to: the hooks it fired, why others were held back."""

    event: Event
    receipt: Receipt


class Missed(msgspec.Struct, frozen=True):
    """So many events were not told, because the watcher did not read; None: nobody knows how many."""

    count: int | None


class WatchFilter(msgspec.Struct, frozen=True):
    """Which events to be told of: all that is set must hold. ``hook_id``: one that it fired or was held back on it."""

    source: str | None = None
    event: str | None = None
    hook_id: str | None = None

    def matches(self, watched: LiveEvent) -> bool:
        """Tell whether a watcher wants to hear of it."""
        event, receipt = watched.event, watched.receipt
        return (
            (self.source is None or self.source == event.source)
            and (self.event is None or self.event == event.event)
            and (self.hook_id is None or self.hook_id in receipt.fired or self.hook_id in receipt.held_back)
        )


class Watcher:
    """One who watches: iterate over it. It ends when the feed closes."""

    def __init__(self, wanted: WatchFilter) -> None:
        self._wanted = wanted
        self._waiting: deque[LiveEvent] = deque()
        self._missed = 0
        self._event_pending = asyncio.Event()
        self._closed = False

    def publish(self, watched: LiveEvent) -> None:
        """Keep an event until it is read."""
        if self._closed or not self._wanted.matches(watched):
            return
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(watched)
        self._event_pending.set()

    def close(self) -> None:
        """End it, after what waits has been read."""
        self._closed = True
        self._event_pending.set()

    async def next(self) -> LiveEvent | Missed | None:
        """Return what was missed, else the oldest event that waits, when there is one; None at the end.

        Waiting for it may be cancelled: nothing is lost.
        """
        while not (self._waiting or self._missed or self._closed):
            self._event_pending.clear()
            await self._event_pending.wait()
        if self._missed:
            missed, self._missed = self._missed, 0
            return Missed(missed)
        return self._waiting.popleft() if self._waiting else None

    async def __aiter__(self) -> AsyncIterator[LiveEvent | Missed]:
        while (told := await self.next()) is not None:
            yield told


class Feed:
    """See the file's head."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._closed = False

    def publish(self, event: Event, receipt: Receipt) -> None:
        """Tell all who watch; called after each commit, so it must cost nothing where nobody does."""
        if self._watchers:
            watched = LiveEvent(event, receipt)
            for watcher in self._watchers:
                watcher.publish(watched)

    @contextmanager
    def watch(self, wanted: WatchFilter) -> Iterator[Watcher]:
        """Watch from now on, inside the block. Raises ``TooBusy``."""
        if len(self._watchers) >= WATCHERS:
            raise TooBusy(f"{WATCHERS} watch already")
        watcher = Watcher(wanted)
        if self._closed:
            watcher.close()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """End all watching: the process leaves."""
        self._closed = True
        for watcher in list(self._watchers):
            watcher.close()
