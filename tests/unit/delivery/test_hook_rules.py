from typing import Any

import pytest

from kong_eventhooks_plugin.delivery import hook_rules
from kong_eventhooks_plugin.delivery.backoff import RetryPolicy
from kong_eventhooks_plugin.hooks import schema
from kong_eventhooks_plugin.queue.limits import FURTHEST_DUE

DEFAULT = RetryPolicy(hold=7)


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
    assert hook_rules.retry_policy({} if retry is None else {"retry": retry}, DEFAULT) == policy


def test_a_hook_without_rules_costs_no_new_policy() -> None:
    assert hook_rules.retry_policy({"url": "x"}, DEFAULT) is DEFAULT
    assert hook_rules.attempt_seconds({}, 15.0) == 15.0
    assert hook_rules.concurrency({}, 8) == 8


def test_the_longest_pause_is_one_that_the_queue_keeps() -> None:
    """Past ``FURTHEST_DUE`` the queue takes a due time for one from before the clock was set back."""
    assert schema.LONGEST_PAUSE_SECONDS * (1 + DEFAULT.jitter) < FURTHEST_DUE
    assert max(DEFAULT.schedule) <= schema.LONGEST_PAUSE_SECONDS
    assert DEFAULT.retry_after_cap <= schema.LONGEST_PAUSE_SECONDS
