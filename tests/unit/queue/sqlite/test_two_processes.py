"""Two processes on one file at the same time."""

from collections import Counter
from pathlib import Path

from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from tests.support.queue import NAME, held_back
from tests.support.queue_processes import ACCEPT, lines_of, started
from tests.support.waiting import SECONDS


async def test_limits_hold_for_both_together(path: Path) -> None:
    with (
        started(ACCEPT, path, "one", 600, 25, 700) as one,
        started(ACCEPT, path, "two", 600, 25, 700) as two,
    ):
        results = [line.split() for process in (one, two) for line in lines_of(process)]
        assert (one.wait(SECONDS), two.wait(SECONDS)) == (0, 0)
    assert Counter(result for _, result in results) == {"fired": 700, "hook_queue_full": 500}
    queue = SqliteQueue(path)
    await queue.open()
    try:
        assert (await queue.stats()).per_hook == {"h": 700}
        assert await held_back(queue) == {("h", NAME, "hook_queue_full"): 500}
    finally:
        await queue.close()


async def test_an_event_that_both_are_told_is_accepted_once(path: Path) -> None:
    with (
        started(ACCEPT, path, "same", 300, 10, 1_000) as one,
        started(ACCEPT, path, "same", 300, 10, 1_000) as two,
    ):
        for process in (one, two):
            lines_of(process).readlines()
    queue = SqliteQueue(path)
    await queue.open()
    try:
        assert (await queue.stats()).per_hook == {"h": 300}
    finally:
        await queue.close()
