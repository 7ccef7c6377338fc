import pytest

from kong_eventhooks_plugin.queue.contract import HeldBack, QueueLimits
from kong_eventhooks_plugin.queue.limits import refusal

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
