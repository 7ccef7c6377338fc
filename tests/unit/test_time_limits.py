"""A piece of a task that takes too long: as ``asyncio.timeout`` ends it."""

import asyncio

import pytest

from kong_eventhooks_plugin import time_limits
from kong_eventhooks_plugin.time_limits import TimeLimits


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limits, "TICK", 0.001)


async def test_what_takes_too_long_is_a_timeout_and_the_task_goes_on() -> None:
    limits = TimeLimits()
    for _ in range(2):
        with pytest.raises(TimeoutError), limits.within(0.001):
            await asyncio.Event().wait()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0.002)


async def test_what_ends_in_time_is_left_alone_and_so_are_its_errors() -> None:
    limits = TimeLimits()
    with limits.within(10):
        await asyncio.sleep(0)
    with pytest.raises(ValueError, match="its own"), limits.within(10):
        raise ValueError("its own")
    with limits.within(0.001):
        pass
    await asyncio.sleep(0.005)  # past its time, and past several ticks


async def test_of_two_the_one_that_is_over_its_time_ends() -> None:
    limits = TimeLimits()
    with pytest.raises(TimeoutError), limits.within(0.001), limits.within(10):
        await asyncio.Event().wait()
    with limits.within(10):
        with pytest.raises(TimeoutError), limits.within(0.001):
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def test_who_cancels_the_task_as_well_has_it_cancelled() -> None:
    limits = TimeLimits()
    waits = asyncio.Event()

    async def work() -> None:
        with limits.within(0.001):
            try:
                waits.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task.cancel()
                raise

    task = asyncio.create_task(work())
    await waits.wait()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_one_that_fails_to_end_keeps_no_other_from_it() -> None:
    limits = TimeLimits()
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    error, ended = KeyError("its own"), asyncio.Event()

    class Fails:
        def expire(self) -> None:
            raise error

    class Ends:
        def expire(self) -> None:
            ended.set()

    limits.begin(Fails(), 0.0)
    limits.begin(Ends(), 0.0)
    await asyncio.wait_for(ended.wait(), 1)
    assert errors == [error]
