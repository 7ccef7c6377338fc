"""``SpoolAcceptor``: accepts offers for the shared store, whether or not it is there (``queue.contract.Acceptor``).

``CLOSING`` seconds is how long ``close`` waits for what is not committed. ``SWEEP_SECONDS`` is how often what is kept
no longer is deleted. What waits for the shared store stays in the file.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from kong_eventhooks_plugin.background import SupervisedLoop, cancel
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.queue.contract import Clock, Offer, QueueLimits, Receipt
from kong_eventhooks_plugin.queue.forwarding.forwarder import Decided, Forwarder, SharedQueue
from kong_eventhooks_plugin.queue.forwarding.spool import FILE, Spool

CLOSING: Final = 5.0
SWEEP_SECONDS: Final = 60.0

log = structlog.get_logger()


def _ignore_decision(_event: object, _receipt: Receipt) -> None:
    return None


class SpoolAcceptor:
    """All methods are called on the loop that ``open`` ran on. ``lost`` is called with a reason for each event."""

    def __init__(
        self,
        data_dir: Path,
        shared: SharedQueue,
        lost: Callable[[str], None],
        limits: QueueLimits | None = None,
        clock: Clock = time.time,
    ) -> None:
        self.spool = Spool(data_dir / FILE, limits or QueueLimits(), clock, self._added)
        self._forwarder = Forwarder(self.spool, shared, self._on_decided, lost)
        self._decided: Decided = _ignore_decision
        self._loops: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Open the spool. Raises ``StoreUnavailable``."""
        await self.spool.open()
        self._run("spool sweep", self._keep_small)

    def forward(self) -> None:
        """Begin to move what the spool holds: the shared store is open."""
        self._run("spool forwarding", self._forwarder.run)

    def _run(self, name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._loops.append(asyncio.create_task(SupervisedLoop(name).run(loop)))

    async def close(self) -> None:
        """Stop moving; commit what waits for the disk, for at most ``CLOSING`` seconds."""
        await cancel(*self._loops)
        await self.spool.close(CLOSING)

    def offer(self, offer: Offer) -> "asyncio.Future[Receipt]":
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.spool.add(offer).add_done_callback(partial(_answer, offer.event.id, future))
        return future

    def on_decided(self, decided: Decided) -> None:
        self._decided = decided

    def error(self) -> str | None:
        """Return why events cannot be accepted now."""
        return self.spool.error()

    def forwarding_error(self) -> str | None:
        """Return why what is accepted does not get to the shared store now."""
        return self._forwarder.error

    def _on_decided(self, event: Event, receipt: Receipt) -> None:
        self._decided(event, receipt)

    def _added(self) -> None:
        self._forwarder.more()

    async def _keep_small(self) -> None:
        while True:
            try:
                await self.spool.sweep()
            except QueueError as error:
                log.warning("spool_sweep_failed", error=str(error))
            await asyncio.sleep(SWEEP_SECONDS)


def _answer(event_id: str, future: "asyncio.Future[Receipt]", added: "asyncio.Future[None]") -> None:
    error = added.exception()
    if future.done():
        return
    if error is None:
        future.set_result(Receipt(event_id, duplicate=False, fired=(), held_back={}, spooled=True))
    else:
        future.set_exception(error)
