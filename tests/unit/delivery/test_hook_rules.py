from typing import Any

import pytest

from kong_eventhooks_plugin.delivery.backoff import RetryPolicy
from kong_eventhooks_plugin.delivery.hook_rules import rules_of
from kong_eventhooks_plugin.delivery.limits import DeliveryLimits
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.queue.limits import FURTHEST_DUE

DEFAULT = RetryPolicy(hold=7)
LIMITS = DeliveryLimits(per_hook=8, attempt=15.0, margin=5.0, lease=90.0, retry=DEFAULT)


@pytest.mark.parametrize(
    ("retry", "policy"),
    [
        (None, DEFAULT),
        ({"attempts": 3}, RetryPolicy(hold=7, attempts=3)),
        ({"schedule": [1, 2]}, RetryPolicy(hold=7, schedule=(1, 2))),
        ({"max_retry_after": 0}, RetryPolicy(hold=7, retry_after_cap=0)),
        ({"final_statuses": [400, 404]}, RetryPolicy(hold=7, final_statuses=frozenset({400, 404}))),
    ],
)
def test_what_a_hook_sets_replaces_the_default(retry: Any, policy: RetryPolicy) -> None:
    assert rules_of({} if retry is None else {"retry": retry}, LIMITS).retry == policy


def test_a_hook_without_rules_has_the_limits_of_the_process() -> None:
    assert rules_of({"url": "x"}, LIMITS) == (20.0, 90.0, 8, False, DEFAULT)


def test_a_longer_time_out_has_a_longer_lease() -> None:
    assert rules_of({"timeout": 60, "concurrency": 2}, LIMITS) == (65.0, 195.0, 2, False, DEFAULT)


def test_an_ordered_hook_has_one_in_flight() -> None:
    assert rules_of({"ordered": True, "concurrency": 4}, LIMITS).concurrency == 1


def test_the_longest_pause_is_one_that_the_queue_keeps() -> None:
    """Past ``FURTHEST_DUE`` the queue takes a due time for one from before the clock was set back."""
    assert schema.LONGEST_PAUSE_SECONDS * (1 + DEFAULT.jitter) < FURTHEST_DUE
    assert max(DEFAULT.schedule) <= schema.LONGEST_PAUSE_SECONDS
    assert DEFAULT.retry_after_cap <= schema.LONGEST_PAUSE_SECONDS
