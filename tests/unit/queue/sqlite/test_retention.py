"""What a sweep leaves in the file."""

from collections.abc import Awaitable, Callable

from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.retention import FORGET_SECONDS
from kong_eventhooks_plugin.queue.sqlite import SqliteQueue
from tests.support.clock import FakeClock
from tests.support.queue import deliver, id_of, offer

Opener = Callable[..., Awaitable[SqliteQueue]]


async def hooks(queue: SqliteQueue) -> list[str]:
    return await queue._read(lambda connection: [row[0] for row in connection.execute("SELECT id FROM hooks")])


async def test_a_hook_is_forgotten_with_its_last_delivery_and_not_looked_for_at_every_sweep(
    opened: Opener, clock: FakeClock
) -> None:
    queue = await opened(limits=QueueLimits(settled_count=0))
    await queue.sweep()
    await deliver(queue, *range(3), hook="gone")
    await queue.offer(offer("waits", "kept"))
    await queue.sweep()
    assert await hooks(queue) == ["gone", "kept"]
    clock.advance(FORGET_SECONDS)
    await queue.sweep()
    assert await hooks(queue) == ["kept"]


async def test_a_number_that_is_given_again_is_the_new_hooks_alone(opened: Opener, clock: FakeClock) -> None:
    queue = await opened(limits=QueueLimits(settled_count=0))
    await queue.offer(offer(0, "gone"))
    woken: list[str] = []
    await queue.claim_first("gone", 60)
    await queue.fail_pending("gone", "removed")
    await queue.sweep()
    assert await hooks(queue) == []
    await queue.offer(offer(1, "new"))
    await queue.offer(offer(2, "gone"))
    queue.on_work(woken.append)
    await deliver(queue, 3, hook="new")
    assert woken == ["new"], "its deliveries need not come in order"
    assert [(await queue.get(id_of(key, hook))).hook_id for key, hook in ((1, "new"), (2, "gone"))] == ["new", "gone"]
