import asyncio
import threading

import pytest

from kong_eventhooks_plugin.storage.thread import CallThread
from tests.support.waiting import SECONDS


async def test_calls_run_apart_and_in_order() -> None:
    thread = CallThread("apart", asyncio.get_running_loop())
    ran: list[tuple[int, str]] = []
    futures = [thread.call(lambda n=n: ran.append((n, threading.current_thread().name)) or n) for n in range(5)]  # type: ignore[func-returns-value, misc]
    assert await asyncio.gather(*futures) == [0, 1, 2, 3, 4]
    assert ran == [(n, "apart") for n in range(5)]
    thread.stop()
    thread._thread.join(SECONDS)


async def test_what_a_call_raises_comes_back() -> None:
    thread = CallThread("raises", asyncio.get_running_loop())
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 // 0)
    assert await thread.call(lambda: 1) == 1
    thread.stop()
    thread._thread.join(SECONDS)


async def test_one_who_stops_waiting_is_left_alone() -> None:
    thread = CallThread("cancelled", asyncio.get_running_loop())
    go_on = threading.Event()
    impatient = thread.call(go_on.wait)
    impatient.cancel()
    go_on.set()
    assert await thread.call(lambda: 1) == 1
    thread.stop()
    thread._thread.join(SECONDS)


def test_a_closed_loop_gets_no_result() -> None:
    loop = asyncio.new_event_loop()
    thread = CallThread("late", loop)
    go_on = threading.Event()
    thread.run(go_on.wait, lambda _result, _error: None)
    loop.close()
    go_on.set()
    thread.stop()
    thread._thread.join(SECONDS)
    assert "late" not in {running.name for running in threading.enumerate()}
