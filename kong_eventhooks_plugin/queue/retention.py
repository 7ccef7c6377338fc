"""Deletes deliveries and events that are past their retention, at intervals."""

import asyncio

import structlog

from kong_eventhooks_plugin.errors import QueueError
from kong_eventhooks_plugin.queue.contract import Queue

SWEEP_SECONDS = 10.0

log = structlog.get_logger()


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
