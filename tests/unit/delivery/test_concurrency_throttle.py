import asyncio
import time

from kong_eventhooks_plugin.delivery.concurrency_throttle import HANGING, LATE, LEAST, ConcurrencyThrottle
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from tests.support.delivery_world import Noticed, scripted_hook, world
from tests.support.waiting import SECONDS


def test_it_halves_where_the_loop_is_late_and_comes_back_in_steps() -> None:
    courtesy = ConcurrencyThrottle(256)
    ceilings = []
    for lag in [LATE * 2] * 7 + [0.0] * 2:
        courtesy.beat(lag)
        ceilings.append(courtesy.ceiling)
    assert ceilings == [128, 64, 32, 16, LEAST, LEAST, LEAST, 16, 24]
    for _ in range(40):
        courtesy.beat(0.0)
    assert courtesy.ceiling == 256


def test_a_small_total_is_kept_to() -> None:
    courtesy = ConcurrencyThrottle(3)
    courtesy.beat(1.0)
    assert courtesy.ceiling == 3
    courtesy.beat(0.0)
    assert courtesy.ceiling == 3


def test_attempts_that_hang_leave_the_others_their_room() -> None:
    throttle = ConcurrencyThrottle(64)
    for _ in range(4):
        throttle.beat(LATE * 2, hanging=8)
    assert throttle.ceiling == LEAST + 8
    throttle.beat(LATE * 2, hanging=0)
    assert throttle.ceiling == LEAST
    throttle.beat(LATE * 2, hanging=64)
    assert throttle.ceiling == 64


async def test_an_endpoint_that_hangs_holds_nobody_up_while_the_loop_is_busy() -> None:
    stuck, other = scripted_hook("stuck"), scripted_hook("other")
    async with world(stuck, other) as w:
        w.handler.gates = {"stuck": asyncio.Event()}
        await w.offer(stuck, count=8)
        await w.handler.called(8)
        w.time.advance(HANGING)
        busy_until = time.monotonic() + SECONDS
        while w.worker._lanes.ceiling > LEAST + 8 and time.monotonic() < busy_until:
            time.sleep(0.03)  # noqa: ASYNC251 - what a busy loop is
            await w.turn(3)
        assert w.worker._lanes.ceiling == LEAST + 8
        w.handler.gates["stuck"].set()


async def test_a_loop_that_others_keep_busy_lowers_what_is_in_flight() -> None:
    hooks = [scripted_hook(f"h{number}") for number in range(20)]
    async with world(*hooks, limits=DeliveryLimits(total=64)) as w:
        gate = Noticed()
        w.handler.gates = {hook.name: gate._news for hook in hooks}
        await w.offer(*hooks, count=8)
        await w.handler.called(56)
        busy_until = time.monotonic() + SECONDS
        while w.worker._lanes.ceiling > LEAST and time.monotonic() < busy_until:
            time.sleep(0.03)  # noqa: ASYNC251 - what a busy loop is
            await w.turn(3)
        assert w.worker._lanes.ceiling == LEAST
        gate.tell()
        await w.queue.settled(160)
