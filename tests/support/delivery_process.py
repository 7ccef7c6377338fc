"""A delivering process over a SQLite file, to be killed: ``python -m tests.support.delivery_process FILE URL``.

Offers one event if the file is new, says the delivery's id, and delivers until it is killed.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from kong_eventhooks_plugin.delivery.delivery_spans import DeliverySpans
from kong_eventhooks_plugin.delivery.worker import DeliveryWorker
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.ids import delivery_id
from kong_eventhooks_plugin.queue.contract import Candidate, Offer
from kong_eventhooks_plugin.queue.sqlite.engine import SqliteQueue
from kong_eventhooks_plugin.telemetry.metrics import Metrics
from tests.support.delivery_jobs import webhook_handler
from tests.support.delivery_world import Book
from tests.support.events import make_event, make_hook


def hook_for(url: str) -> Hook:
    return make_hook("told", handler="webhook", config={"url": url, "secret": "s"})


@asynccontextmanager
async def delivering(
    queue: SqliteQueue,
    hook: Hook,
    holder: str,
    clock: Callable[[], float] = time.time,
    spans: DeliverySpans | None = None,
) -> AsyncIterator[DeliveryWorker]:
    """A worker that runs."""
    handler = webhook_handler()
    worker = DeliveryWorker(queue, Book(hook), {"webhook": handler}, Metrics(), holder=holder, clock=clock, spans=spans)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
        await worker.drain(5)
        await running
    finally:
        await handler.close()


async def main(path: Path, url: str) -> None:
    hook = hook_for(url)
    queue = SqliteQueue(path)
    await queue.open()
    event = make_event(time=time.time())
    await queue.offer(Offer(event, (Candidate(hook.id, hook.source),)))
    print(delivery_id(event.id, hook.id), flush=True)
    async with delivering(queue, hook, "first"):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
