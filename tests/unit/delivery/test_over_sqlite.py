"""The worker over the real store: what a kill between sending and settling leaves, and what a backlog does."""

import asyncio
import signal
import sys
import time
from pathlib import Path

from kong_eventhooks_plugin.queue.contract import Candidate, Offer
from kong_eventhooks_plugin.queue.sqlite.engine import SqliteQueue
from tests.support import delivery_process
from tests.support.delivery_process import delivering, hook_for
from tests.support.events import make_event
from tests.support.http_receiver import HttpReceiver, answer, hang
from tests.support.waiting import SECONDS

ROOT = Path(__file__).parents[3]


def later() -> float:
    """The time after both leases of the killed process have run out."""
    return time.time() + 120


async def delivered(queue: SqliteQueue, count: int) -> None:
    """Wait until so many outcomes are written: draining gives a slow disk no more than a second for that."""
    async with asyncio.timeout(SECONDS):
        while (await queue.stats()).depth["delivered"] < count:
            pass


async def test_a_process_killed_between_sending_and_settling_is_followed_by_the_same_delivery(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    async with HttpReceiver(hang(), answer(200)) as receiver:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", delivery_process.__name__, str(path), receiver.url,
            stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        assert process.stdout is not None
        delivery = (await process.stdout.readline()).decode().strip()
        await receiver.received(1)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        queue = SqliteQueue(path, clock=later)
        await queue.open()
        assert await queue.attempts(delivery) == [], "nothing was settled"
        async with delivering(queue, hook_for(receiver.url), "second", later):
            await receiver.received(2)
            await delivered(queue, 1)
        stored = await queue.get(delivery)
        await queue.close()
    assert receiver.ids == [delivery, delivery]
    assert receiver.requests[0].body == receiver.requests[1].body
    assert (stored.state, stored.attempts) == ("delivered", 1)


async def test_a_backlog_arrives_whole_and_each_once(tmp_path: Path) -> None:
    async with HttpReceiver() as receiver:
        hook = hook_for(receiver.url)
        queue = SqliteQueue(tmp_path / "events.db")
        await queue.open()
        candidates = (Candidate(hook.id, hook.source),)
        events = [make_event(id=f"e-{number}", time=time.time()) for number in range(300)]
        await asyncio.gather(*[queue.offer(Offer(event, candidates)) for event in events])
        async with delivering(queue, hook, "one"):
            await receiver.received(300)
            await delivered(queue, 300)
        stats = await queue.stats()
        await queue.close()
    assert sorted(receiver.ids) == sorted(f"{event.id}_{hook.id}" for event in events)
    assert stats.depth["delivered"] == 300
    assert receiver.connections <= 8
