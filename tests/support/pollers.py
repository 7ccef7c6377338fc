"""What pollers need around them: a time that a test owns, a dispatcher that records, notes."""

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from kong_eventhooks_plugin.errors import QueueFull, StoreUnavailable
from kong_eventhooks_plugin.kong.admin_api.client import AdminClient
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.kong_node import NodeIdentity
from kong_eventhooks_plugin.queue.contract import Receipt
from kong_eventhooks_plugin.sources.pollers.leader_gate import LeaderGate
from kong_eventhooks_plugin.sources.pollers.poller import Poller, PollerContext
from kong_eventhooks_plugin.telemetry.metrics import Counts
from tests.support.clock import FakeClock
from tests.support.waiting import SECONDS


class LoopTime(FakeClock):
    """A time that goes on only as far as a test lets it; for one loop at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._until = self.now
        self._go = asyncio.Event()
        self._stands = asyncio.Event()
        self.waits: list[float] = []

    async def wait(self, seconds: float) -> None:
        """Wait as ``asyncio.sleep`` does; blocks at the end of what the test let go on."""
        self.waits.append(seconds)
        wake = self.now + seconds
        while wake > self._until:
            self._stands.set()
            await self._go.wait()
            self._go.clear()
        self.now = max(self.now, wake)
        await asyncio.sleep(0)

    async def pass_(self, seconds: float) -> None:
        """Let so much time go by; return when the loop waits for more."""
        self.let_go(seconds)
        await asyncio.wait_for(self._stands.wait(), SECONDS)
        self.now = self._until

    def let_go(self, seconds: float) -> None:
        """Let so much time go by, without waiting for it."""
        self._stands.clear()
        self._until += seconds
        self._go.set()

    def advance(self, seconds: float = 1.0) -> float:
        """Have so much time gone by while nothing ran; return what time it is then."""
        self._until += seconds
        return super().advance(seconds)


class FakeDispatcher:
    """Accepts events, each id once, and can refuse them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.offered: list[str] = []
        self.hooks = True
        self.full = 0
        self.unavailable = 0
        self.closed = 0
        self.bug = False
        self.committed: Callable[[Event], None] = lambda _: None

    def publish(self, event: Event) -> "Future[Receipt] | None":
        self.offered.append(event.id)
        if self.bug:
            raise RuntimeError("a bug")
        if not self.hooks:
            return None
        if self.full:
            self.full -= 1
            raise QueueFull("buffer", "too many wait")
        future: Future[Receipt] = asyncio.get_running_loop().create_future()
        if self.unavailable:
            self.unavailable -= 1
            future.set_exception(StoreUnavailable("disk full"))
        elif self.closed:
            self.closed -= 1
            future.cancel()
        else:
            known = event.id in {each.id for each in self.events}
            if not known:
                self.events.append(event)
            future.set_result(Receipt(event.id, known, (), {}))
            self.committed(event)
        return future

    def take(self) -> list[dict[str, Any]]:
        """Return the data of what came since the last time, each with its event's name."""
        taken = [{"event": event.event, **event.data} for event in self.events[self._processed :]]
        self._processed = len(self.events)
        return taken

    _processed = 0


class Killed(BaseException):
    """The process is gone."""


class MemoryNotes:
    """``storage.notes.NoteStore`` without a file. ``refuse`` so many writes; ``die`` at the write after so many."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.writes = 0
        self.refuse = 0
        self.die_after: int | None = None

    async def get(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def put(self, name: str, value: bytes) -> None:
        self._write()
        self.kept[name] = value

    async def names(self, prefix: str = "") -> list[str]:
        return [name for name in self.kept if name.startswith(prefix)]

    async def drop(self, name: str) -> None:
        self._write()
        self.kept.pop(name, None)

    def _write(self) -> None:
        if self.die_after is not None:
            if self.die_after == 0:
                raise Killed
            self.die_after -= 1
        if self.refuse:
            self.refuse -= 1
            raise StoreUnavailable("disk full")
        self.writes += 1


class World:
    """A loop's surroundings; what outlives the process (notes, events, time) is kept when the loop is made anew."""

    def __init__(self) -> None:
        self.time = LoopTime()
        self.dispatcher = FakeDispatcher()
        self.notes = MemoryNotes()
        self.counts = Counts()
        self.identity = NodeIdentity()
        self.leads = True
        self.wanted = True
        self.gate = LeaderGate(lambda: self.leads, lambda: self.wanted, self.time.wait, lambda: 0.5)

    def context(self, client: AdminClient) -> PollerContext:
        """What the loops are given, with this world's time."""
        publish = self.dispatcher.publish
        return PollerContext(client, self.notes, publish, self.counts, self.identity, self.time, self.time)

    @asynccontextmanager
    async def running(self, loop: Poller) -> AsyncIterator[None]:
        """Run the loop until the block ends."""
        task = asyncio.create_task(loop.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Killed):
                await task

    async def dies(self, loop: Poller) -> None:
        """Run the loop until its process is killed at a write to the notes (``notes.die_after``)."""
        self.time.let_go(60.0)
        try:
            await asyncio.wait_for(loop.run(), SECONDS)
        except Killed:
            self.notes.die_after = None
