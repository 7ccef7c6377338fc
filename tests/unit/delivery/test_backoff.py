import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.delivery.backoff import SCHEDULE, Decision, RetryPolicy, decide
from kong_eventhooks_plugin.model.delivery import Answer, Attempt, Delivered, Discard, Outcome, Retry

NOW = 1_800_000_000.0
POLICY = RetryPolicy()


def attempt(number: int, error: str | None = "status", seconds: float = 0.1) -> Attempt:
    return Attempt(number, NOW, seconds, "retry" if error else "delivered", error, None, None, b"")


def after(outcome: Outcome, made: Attempt, first: Attempt | None = None, random: float = 0.5) -> Decision:
    return decide("d", outcome, made, first, POLICY, NOW, lambda: random)


def delay(decision: Decision) -> float:
    assert decision.settlement.due_at is not None
    return decision.settlement.due_at - NOW


FAILED = Retry("status", "answered 500")


def test_the_schedule_is_5_s_to_24_h_and_then_the_delivery_is_dead() -> None:
    first = attempt(1)
    delays = [delay(after(FAILED, attempt(number), first)) for number in range(1, 10)]
    assert delays == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400] == list(SCHEDULE)
    end = after(FAILED, attempt(10), first).settlement
    assert (end.state, end.reason, end.due_at) == ("dead", "exhausted", None)
    assert after(FAILED, attempt(23), first).settlement.state == "dead", "a replay that fails again"


@pytest.mark.parametrize(("random", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_each_step_is_moved_by_a_fifth_either_way(random: float, factor: float) -> None:
    assert delay(after(FAILED, attempt(2), attempt(1), random)) == pytest.approx(300 * factor)


def test_a_connection_that_failed_at_once_is_tried_again_at_once_and_only_once() -> None:
    refused = Retry("connect", "no connection")
    quick, slow = attempt(1, "connect", 0.2), attempt(1, "connect", 1.0)
    assert delay(after(refused, quick)) == 0
    assert delay(after(refused, slow)) == 5
    assert delay(after(refused, attempt(2, "connect", 0.2), quick)) == 5, "the attempt at once was no step"
    assert delay(after(refused, attempt(2, "connect", 0.2), slow)) == 300
    assert after(refused, attempt(10, "connect", 0.2), quick).settlement.state == "pending"
    assert after(refused, attempt(11, "connect", 0.2), quick).settlement.state == "dead"
    assert delay(after(Retry("tls", "refused"), attempt(1, "tls", 0.1))) == 5, "a connection that was made"


def test_the_endpoints_wish_is_kept_up_to_a_day_and_never_shortens_the_schedule() -> None:
    def wished(seconds: float, number: int = 1) -> float:
        return delay(after(Retry("status", "answered 429", retry_after=seconds), attempt(number), attempt(1)))

    assert wished(60) == 60
    assert wished(1, number=2) == 300
    assert wished(1e9) == 86_400


def test_a_hold_is_a_minute_or_the_endpoints_wish_up_to_an_hour() -> None:
    def held(**fields: float) -> float | None:
        until = after(Retry("status", "answered 429", hold=True, **fields), attempt(1)).hold_until
        return None if until is None else until - NOW

    assert (held(), held(retry_after=5), held(retry_after=600), held(retry_after=1e9)) == (60, 60, 600, 3600)
    assert after(FAILED, attempt(1)).hold_until is None
    assert after(Retry("timeout", "t", hold=True), attempt(10), attempt(1)).hold_until == NOW + 60, "the last one too"


def test_delivered_and_discarded_are_the_end() -> None:
    assert after(Delivered(), attempt(3, None)).settlement.state == "delivered"
    gone = after(Discard("gone", "answered 410", disable=True), attempt(1, "gone"))
    assert (gone.settlement.state, gone.settlement.reason, gone.disable) == ("dead", "gone", True)
    assert not after(Discard("internal", "x"), attempt(1, "internal")).disable


@given(
    number=st.integers(1, 40),
    first_error=st.sampled_from(["connect", "status", "timeout"]),
    seconds=st.floats(0, 15),
    retry_after=st.none() | st.floats(0, 1e12),
    hold=st.booleans(),
    random=st.floats(0, 1),
)
def test_whatever_failed_it_is_pending_in_bounds_or_dead(
    number: int, first_error: str, seconds: float, retry_after: float | None, hold: bool, random: float
) -> None:
    first = attempt(1, first_error, seconds)
    made = first if number == 1 else attempt(number, "status", seconds)
    decision = after(
        Retry("status", "x", retry_after=retry_after, hold=hold), made, first if number > 1 else None, random
    )
    assert decision.settlement.attempt == made
    if decision.settlement.state == "pending":
        assert 0 <= delay(decision) <= 86_400 * 1.2
        assert number <= 11
    else:
        assert number >= 10


def own(policy: RetryPolicy, outcome: Retry, number: int, first: Attempt | None = None) -> Decision:
    return decide("d", outcome, attempt(number, outcome.error), first, policy, NOW, lambda: 0.5)


def test_attempts_of_a_hook_s_own_cut_the_schedule_or_repeat_its_last_pause() -> None:
    few, many = RetryPolicy(attempts=2), RetryPolicy(attempts=5, schedule=(10, 60))
    assert [own(few, FAILED, number).settlement.state for number in (1, 2)] == ["pending", "dead"]
    assert [delay(own(many, FAILED, number, attempt(1))) for number in (1, 2, 3, 4)] == [10, 60, 60, 60]
    assert own(many, FAILED, 5, attempt(1)).settlement.reason == "exhausted"
    once = own(RetryPolicy(attempts=1), Retry("connect", "no connection"), 1)
    assert once.settlement.state == "dead", "one attempt is one, also where the connection failed at once"


def test_a_final_status_ends_a_delivery_that_failed() -> None:
    policy = RetryPolicy(final_statuses=frozenset({200, 422}))
    for status, state in ((422, "dead"), (500, "pending"), (200, "dead")):
        assert own(policy, Retry("status", "x", Answer(status)), 1).settlement.state == state
    ended = own(policy, Retry("status", "x", Answer(422), hold=True), 1)
    assert (ended.settlement.reason, ended.hold_until) == ("final_status", NOW + 60)
    assert own(policy, FAILED, 1).settlement.state == "pending", "no answer has no status"


def test_an_endpoint_s_wish_counts_up_to_the_hook_s_own_limit() -> None:
    policy = RetryPolicy(retry_after_cap=120)
    wished = own(policy, Retry("status", "x", retry_after=3_600, hold=True), 1)
    assert (delay(wished), wished.hold_until) == (120, NOW + 120)
    assert delay(own(RetryPolicy(retry_after_cap=0), Retry("status", "x", retry_after=3_600), 1)) == 5
