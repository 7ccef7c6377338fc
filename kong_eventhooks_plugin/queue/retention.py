"""Deletes deliveries and events that are past their retention, at intervals.

A sweep forgets hooks as well: those that have no delivery left and no state of on_change and snooze, ``FORGOTTEN`` at
most in ``FORGET_SECONDS``. Which hooks are in force does not matter: one that comes back gets a number anew.
"""

import asyncio
import math

import structlog

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.contract import Clock, Queue

SWEEP_SECONDS = 10.0
FORGET_SECONDS = 3_600.0
FORGOTTEN = 5_000

log = structlog.get_logger()


class Forgetting:
    """When a sweep forgets hooks: it has to look for those that have no delivery among all that are kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked_at = -math.inf

    def is_due(self) -> bool:
        """Return whether this sweep does, which none does then for a while."""
        now = self._clock()
        is_due = not 0 <= now - self._looked_at < FORGET_SECONDS
        if is_due:
            self._looked_at = now
        return is_due


async def run_retention(queue: Queue) -> None:
    """Sweep the queue until cancelled."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            rows = await queue.sweep()
        except QueueError as error:
            log.warning("retention_sweep_failed", error=str(error))
        else:
            if rows:
                log.debug("retention_swept", rows=rows)
