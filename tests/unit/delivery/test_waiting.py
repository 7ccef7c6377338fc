import asyncio
import time

from kong_eventhooks_plugin.delivery.waiting import pause, waiting
from tests.support.waiting import SECONDS


async def test_it_returns_at_the_event_or_at_the_time() -> None:
    wait = waiting(time.time)
    event = asyncio.Event()
    started = time.monotonic()
    await wait(event, time.time() + 0.02)
    await wait(event, time.time() - 5)
    await pause(wait, time.time, 0.02)
    assert 0.03 < time.monotonic() - started < SECONDS
    asyncio.get_running_loop().call_soon(event.set)
    async with asyncio.timeout(SECONDS):
        await wait(event, None)
        await wait(event, time.time() + 100)
