"""The lease of the one leading process, where its store answers one question and not the next."""

from kong_eventhooks_plugin.delivery.leadership import Leadership
from kong_eventhooks_plugin.errors import StoreUnavailable
from tests.support.delivery_time import FakeTime
from tests.support.memory_queue import MemoryQueue


async def test_who_cannot_prepare_does_not_lead_and_tries_again_with_the_next_renewal() -> None:
    time = FakeTime()
    prepared: list[bool] = []

    async def prepare() -> None:
        prepared.append(True)
        if len(prepared) == 1:
            raise StoreUnavailable("away")

    queue = MemoryQueue(clock=time)
    await queue.open()
    leadership = Leadership(queue, "me", 10, time, time.wait, won=prepare, lost=lambda: None)
    await leadership.renew()
    assert not leadership.held
    await leadership.renew()
    assert leadership.held
