import asyncio

from kong_eventhooks_plugin.delivery.start_pacing import FREE, LONGEST, pause_between_starts
from tests.support.delivery_world import scripted_hook, world


def test_the_more_calls_wait_the_further_apart_attempts_start_up_to_a_bound() -> None:
    pauses = [pause_between_starts(calls) for calls in (0, FREE, FREE + 1, 50, 100, 4_096)]
    assert pauses[:2] == [0.0, 0.0]
    assert 0.0 < pauses[2] < pauses[3] < pauses[4] == pauses[5] == LONGEST


async def test_while_calls_of_kong_wait_attempts_start_one_by_one_the_oldest_first() -> None:
    hook, loop = scripted_hook("h"), asyncio.get_running_loop()
    async with world(hook, calls_waiting=lambda: 4_096) as w:
        began = loop.time()
        offered = await w.offer(hook, count=5)
        await w.handler.called(5)
        assert loop.time() - began >= 4 * LONGEST
        assert [job.delivery_id for job in w.handler.jobs] == offered
