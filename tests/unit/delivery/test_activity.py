"""What hooks' attempts came to lately, and its limits."""

from kong_eventhooks_plugin.delivery import activity
from kong_eventhooks_plugin.delivery.activity import Activity, Minute, PastAttempt

NOW = 1_800_000_030.0


def attempt(at: float, outcome: str = "delivered") -> PastAttempt:
    return PastAttempt(at, outcome, None, 200, f"d-{at}")


def test_attempts_are_counted_by_minute() -> None:
    known = Activity(NOW)
    for at, outcome in ((NOW - 3_600, "delivered"), (NOW - 60, "retry"), (NOW - 60, "discard"), (NOW, "delivered")):
        known.record("h", attempt(at, outcome))
    known.record("other", attempt(NOW))
    minutes = known.minutes("h", NOW)
    assert (len(minutes), minutes[-2:], sum(map(sum, minutes))) == (60, [Minute(0, 2), Minute(1, 0)], 3)
    assert known.all_minutes(NOW)[-2:] == [Minute(0, 2), Minute(2, 0)]
    assert known.minutes("nobody", NOW) == [Minute(0, 0)] * 60


def test_the_last_attempts_are_kept() -> None:
    known = Activity(NOW)
    for second in range(activity.LAST + 5):
        known.record("h", attempt(NOW + second))
    last = known.last("h")
    assert [one.at for one in last] == [NOW + second for second in range(5, activity.LAST + 5)]
    assert known.last("nobody") == ()


def test_it_is_bounded() -> None:
    known = Activity(NOW)
    for minute in range(200):
        known.record("h", attempt(NOW + 60 * minute))
    assert len(known._hooks["h"].counts) <= activity.MINUTES
    for number in range(activity.HOOKS):
        known.record(f"h-{number}", attempt(NOW))
    assert (len(known._hooks), known.last("h")) == (activity.HOOKS, ())
