import pytest

from kong_eventhooks_plugin.queue.contract import HeldBack, QueueLimits
from kong_eventhooks_plugin.queue.limits import refusal
from kong_eventhooks_plugin.queue.rows import MOST_PAIRS, splits

LIMITS = QueueLimits(deliveries=10, bytes=100, deliveries_per_hook=5)


@pytest.mark.parametrize(
    ("of_hook", "deliveries", "held_bytes", "size", "expected"),
    [
        (4, 9, 90, 10, None),
        (5, 9, 90, 10, "hook_queue_full"),
        (4, 10, 90, 10, "queue_full"),
        (4, 9, 91, 10, "queue_bytes"),
        (5, 10, 91, 10, "hook_queue_full"),
        (4, 10, 91, 10, "queue_full"),
        (0, 0, 0, 101, "queue_bytes"),
    ],
)
def test_which_limit_is_broken(
    of_hook: int, deliveries: int, held_bytes: int, size: int, expected: HeldBack | None
) -> None:
    assert refusal(LIMITS, of_hook, deliveries, held_bytes, size) == expected


def test_an_id_is_looked_up_in_few_ways() -> None:
    """A caller's id of thousands of underscores was as many queries."""
    assert splits("event_hook") == [("event", "hook")]
    assert splits("a_b_c") == [("a", "b_c"), ("a_b", "c")]
    assert len(splits("_" * MOST_PAIRS)) == MOST_PAIRS
    assert splits("_" * 7_000) == splits("event") == []
