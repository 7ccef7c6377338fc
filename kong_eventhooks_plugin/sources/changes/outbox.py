"""From the mirror's outbox to the queue: each change becomes its events, and leaves once all of them are committed.

A process that is killed anywhere before that leaves the change in the outbox, and the next one, or one that runs
beside it during a reload, publishes it again: the events get the same ids, and the queue keeps one of each.

=====================================  ==================================================================
publishing an event                    then
=====================================  ==================================================================
no hook subscribes to it               nothing to wait for
it is committed                        done, also where a limit of the queue held a hook back: the
                                       dispatcher counts that
``QueueError``, or the queue closed    the batch again after ``PAUSE_SECONDS``; what was committed already
                                       is a duplicate then
anything else                          a bug: counted as lost (``change_failed``), so that it blocks nothing
=====================================  ==================================================================

Limits: ``BATCH`` changes in flight, oldest first. The outbox is read when it is said to hold something new, and every
``POLL_SECONDS`` for what another process left.
"""

import asyncio
from asyncio import CancelledError, Future
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from kong_eventhooks_plugin.background import is_set_within
from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.contract import Publish, Receipt
from kong_eventhooks_plugin.sources.changes.events import events_of_change
from kong_eventhooks_plugin.sources.changes.mirror.mirror import Mirror
from kong_eventhooks_plugin.sources.changes.model import EntityChange
from kong_eventhooks_plugin.telemetry.metrics import Counts
from kong_eventhooks_plugin.telemetry.raised import bug_fields

BATCH: Final = 200
PAUSE_SECONDS: Final = 0.25
POLL_SECONDS: Final = 5.0

_log = structlog.get_logger()


class OutboxPublisher:
    """Empties the outbox, but not while it ``holds``. ``run`` goes on until cancelled. Pauses are in seconds."""

    def __init__(
        self,
        mirror: Mirror,
        publish: Publish,
        counts: Counts,
        *,
        holds: Callable[[], bool] = lambda: False,
        pause: float = PAUSE_SECONDS,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._mirror = mirror
        self._publish = publish
        self._counts = counts
        self._holds = holds
        self._pause = pause
        self._poll_seconds = poll_seconds
        self._pending_event, self._flushed = asyncio.Event(), asyncio.Event()
        self.error: str | None = None
        """Why the outbox cannot be emptied now; None where it can."""

    def wake(self) -> None:
        """Have the outbox read: something was put into it."""
        self._flushed.clear()
        self._pending_event.set()

    async def flush(self) -> None:
        """Wait until what is in the outbox now is published, or held."""
        self.wake()
        await self._flushed.wait()

    async def run(self) -> None:
        while True:
            self._pending_event.clear()
            if await self._drain_outbox():
                if not self._pending_event.is_set():
                    self._flushed.set()
                await is_set_within(self._pending_event, self._poll_seconds)
            else:
                await asyncio.sleep(self._pause)

    async def _drain_outbox(self) -> bool:
        """Publish all there is; False where that failed, which is logged once."""
        try:
            while not self._holds() and (changes := await self._mirror.pending(BATCH)):
                await self._publish_all(changes)
        except Exception as error:  # noqa: BLE001  what is in the outbox stays there, and is tried again
            kind = type(error).__name__
            if self.error != kind:
                _log.warning("outbox_publishing_failed", **bug_fields(error))
            self.error = kind
            return False
        if self.error is not None:
            _log.info("outbox_publishing_resumed")
            self.error = None
        return True

    async def _publish_all(self, changes: Sequence[EntityChange]) -> None:
        committing = [future for change in changes for future in self._offer(change)]
        if committing:
            # Not gather: to cancel it would cancel the queue's own futures, and they would count as lost.
            await asyncio.wait(committing)
        for future in committing:
            self._check_result(CancelledError() if future.cancelled() else future.exception())
        await self._mirror.mark_published([change.identity for change in changes])

    def _offer(self, change: EntityChange) -> "list[Future[Receipt]]":
        try:
            futures = [self._publish(event) for event in events_of_change(change)]
        except Exception as error:  # noqa: BLE001  a change that our code fails on must not hold up the others
            self._check_result(error)
            return []
        return [future for future in futures if future is not None]

    def _check_result(self, error: BaseException | None) -> None:
        """Raise what may succeed when it is tried again; count anything else as lost."""
        if error is None:
            return
        if isinstance(error, QueueError):
            raise error
        if isinstance(error, CancelledError):
            raise QueueError("the queue dropped an offer")
        self._counts.events_lost["change_failed",] += 1
        _log.error("change_lost", **bug_fields(error))
