"""Decides what follows an attempt's outcome, and when. Pure; times are seconds. docs/delivery.md explains the defaults.

The number of an attempt says which step of the schedule comes next. The one attempt that follows a quick failure to
connect at once is no step, but an attempt like any other; the first attempt's record shows whether there was one. After
a replay the attempts go on counting: a delivery that had used them up has one more for each replay.
"""

from collections.abc import Callable

import msgspec

from kong_eventhooks_plugin.model.delivery import Attempt, Delivered, Discard, Outcome, Retry
from kong_eventhooks_plugin.queue.contract import Settlement

EXHAUSTED = "exhausted"
FINAL_STATUS = "final_status"

SCHEDULE: tuple[float, ...] = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h after the failure before: 75.6 h in all."""

Random = Callable[[], float]
"""Returns 0 to 1."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """When a delivery is retried.

    Each step of ``schedule`` varies by up to ``jitter`` of itself, either way. An endpoint's ``Retry-After`` counts
    up to ``retry_after_cap``. Where the connection itself failed within ``quick_failure``, the first failure of a
    delivery is followed by one attempt at once. With ``attempts`` there are so many in all, and the last step of the
    schedule repeats; without, the schedule ends them. A failure with one of ``final_statuses`` is the last.
    """

    attempts: int | None = None
    schedule: tuple[float, ...] = SCHEDULE
    jitter: float = 0.2
    retry_after_cap: float = 86_400.0
    final_statuses: frozenset[int] = frozenset()
    quick_failure: float = 1.0
    hold: float = 60.0
    """An endpoint that timed out or answered 429, 502 or 504 is held for so long, or for its ``Retry-After``."""
    hold_cap: float = 3_600.0
    """Its ``Retry-After`` counts up to this: other people's hooks may share the endpoint."""


class Decision(msgspec.Struct, frozen=True):
    """What to write, until when (Unix seconds) the endpoint is held, and whether its hook is switched off."""

    settlement: Settlement
    hold_until: float | None = None
    disable: bool = False


def decide(
    delivery_id: str,
    outcome: Outcome,
    attempt: Attempt,
    first: Attempt | None,
    policy: RetryPolicy,
    now: float,
    random: Random,
) -> Decision:
    """Return what follows ``outcome`` of ``attempt``; ``first`` is the delivery's first, where this is a later one."""
    if isinstance(outcome, Delivered):
        return Decision(Settlement(delivery_id, "delivered", attempt))
    if isinstance(outcome, Discard):
        return Decision(Settlement(delivery_id, "dead", attempt, reason=outcome.error), disable=outcome.disable)
    hold_until = now + hold_seconds(outcome, policy) if outcome.hold else None
    if outcome.answer.status in policy.final_statuses:
        return Decision(Settlement(delivery_id, "dead", attempt, reason=FINAL_STATUS), hold_until)
    delay = _delay(outcome, attempt, first, policy, random)
    if delay is None:
        return Decision(Settlement(delivery_id, "dead", attempt, reason=EXHAUSTED), hold_until)
    return Decision(Settlement(delivery_id, "pending", attempt, due_at=now + delay), hold_until)


def hold_seconds(outcome: Retry, policy: RetryPolicy) -> float:
    """Return for how long the whole endpoint is held."""
    return max(policy.hold, min(outcome.retry_after or 0.0, policy.hold_cap, policy.retry_after_cap))


def failed_quickly(attempt: Attempt, policy: RetryPolicy) -> bool:
    """Return whether the connection itself failed, and at once."""
    return attempt.error == "connect" and attempt.seconds < policy.quick_failure


def _delay(
    outcome: Retry, attempt: Attempt, first: Attempt | None, policy: RetryPolicy, random: Random
) -> float | None:
    """Return the seconds to the next attempt, None where there is none left."""
    if policy.attempts is not None and attempt.number >= policy.attempts:
        return None
    if attempt.number == 1 and failed_quickly(attempt, policy):
        return 0.0
    extra = 1 if first is not None and failed_quickly(first, policy) else 0
    step = attempt.number - 1 - extra
    if step >= len(policy.schedule):
        if policy.attempts is None:
            return None
        step = -1
    delay = policy.schedule[step] * (1 + policy.jitter * (2 * random() - 1))
    return max(delay, min(outcome.retry_after or 0.0, policy.retry_after_cap))
