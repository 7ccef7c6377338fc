"""What a sweep leaves in the tables."""

import psycopg
import pytest

from kong_eventhooks_plugin.queue.contract import QueueLimits
from kong_eventhooks_plugin.queue.postgresql import lane
from kong_eventhooks_plugin.queue.retention import FORGET_SECONDS
from tests.support.clock import FakeClock
from tests.support.queue import deliver, delivered, id_of, offer
from tests.unit.queue.postgresql.conftest import Opener

LIMITS = QueueLimits(settled_count=1)


def counted(url: str) -> set[str]:
    """The hooks that have counters."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT h.id FROM kong_event_hooks.counters AS c JOIN kong_event_hooks.hooks AS h ON h.n = c.hook"
        )
        return {row[0] for row in rows}


async def test_the_counters_of_a_hook_go_with_its_last_delivery(
    postgres_store: str, opened: Opener, clock: FakeClock
) -> None:
    async with opened(limits=LIMITS) as queue, opened(limits=LIMITS) as other:
        await queue.sweep()
        await deliver(queue, 1, hook="gone")
        await queue.offer(offer(2, "gone", "kept"))
        await other.fail_pending("gone", "removed")  # one node counts one more, another one less
        clock.advance(1)
        await deliver(queue, 3, hook="settled")
        await queue.sweep()
        assert counted(postgres_store) == {"gone", "kept", "settled"}
        clock.advance(FORGET_SECONDS)
        await queue.sweep()
        assert counted(postgres_store) == {"kept", "settled"}
        assert (await other.offer(offer(4, "gone"))).fired == ("gone",)
        assert {work.hook_id for work in await queue.work()} == {"gone", "kept"}
        assert (await queue.stats()).per_hook == {"gone": 1, "kept": 1}


async def test_counters_that_a_node_is_changing_stay(postgres_store: str, opened: Opener, clock: FakeClock) -> None:
    """So do the others of that hook: without it they do not add up to nothing."""
    async with opened(limits=LIMITS) as queue, opened(limits=LIMITS) as other:
        await queue.offer(offer(1, "gone"))
        await other.fail_pending("gone", "removed")
        clock.advance(1)
        await deliver(queue, 2, hook="settled")
        with psycopg.connect(postgres_store) as connection:
            connection.execute("UPDATE kong_event_hooks.counters SET bytes = bytes WHERE deliveries < 0")
            clock.advance(FORGET_SECONDS)
            await queue.sweep()
        assert (await queue.stats()).per_hook == {}
        assert counted(postgres_store) == {"gone", "settled"}
        clock.advance(FORGET_SECONDS)
        await queue.sweep()
        assert counted(postgres_store) == {"settled"}


async def test_no_more_hooks_than_a_limit_are_remembered(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "REMEMBERED", 2)
    async with opened() as queue:
        for key in range(1, 8):
            await queue.offer(offer(key, f"h{key}", "h0"))
            assert len(queue._group()._lane._hooks) <= 4
        for key in range(1, 8):
            (claimed,) = await queue.claim(f"h{key}", 9, 60)
            await queue.settle([delivered(claimed.id)])
            assert (await queue.get(id_of(key, f"h{key}"))).state == "delivered"
