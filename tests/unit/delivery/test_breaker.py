import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.delivery.breaker import TRANSITIONS, Block, Breaker
from kong_eventhooks_plugin.delivery.endpoint_breakers import EndpointBreakers
from kong_eventhooks_plugin.delivery.limits import BreakerPolicy

NOW = 1_800_000_000.0
POLICY = BreakerPolicy()


def after(*results: bool, at: float = NOW) -> Breaker:
    breaker = Breaker(POLICY)
    for ok in results:
        assert breaker.start(at)
        breaker.record(at, ok=ok)
    return breaker


def test_it_opens_at_seventy_percent_of_at_least_ten() -> None:
    assert after(*[False] * 9).state == "closed"
    assert after(*[False] * 9, False).state == "open"
    assert after(*[True] * 3, *[False] * 6).state == "closed"
    assert after(*[True] * 3, *[False] * 7).state == "open"
    assert after(*[True] * 4, *[False] * 9).state == "closed", "nine of thirteen are less"


def test_what_is_older_than_the_window_does_not_count() -> None:
    breaker = after(*[False] * 9)
    breaker.record(NOW + 311, ok=False)
    assert breaker.state == "closed"
    for _ in range(9):
        breaker.record(NOW + 320, ok=False)
    assert breaker.state == "open"


def test_after_the_rest_one_probe_goes_through() -> None:
    breaker = after(*[False] * 10)
    assert breaker.block(NOW + 29.9) == Block("breaker_open", NOW + 30)
    assert not breaker.start(NOW + 29.9)
    assert breaker.probes(NOW + 30)
    assert breaker.start(NOW + 30)
    assert breaker.block(NOW + 31) == Block("breaker_probing", None)
    assert not breaker.start(NOW + 31)


def test_the_probes_success_closes_with_an_empty_window_and_its_failure_opens_again() -> None:
    breaker = after(*[False] * 10)
    assert breaker.start(NOW + 30)
    breaker.record(NOW + 31, ok=False)
    assert breaker.block(NOW + 60.9) == Block("breaker_open", NOW + 61)
    assert breaker.start(NOW + 61)
    breaker.record(NOW + 61, ok=True)
    assert breaker.state == "closed"
    breaker.record(NOW + 61, ok=False)
    assert breaker.state == "closed"


def test_a_probe_that_says_nothing_or_never_ends_makes_room_for_another() -> None:
    breaker = after(*[False] * 10)
    assert breaker.start(NOW + 30)
    breaker.abandon()
    assert breaker.state == "half_open"
    assert breaker.start(NOW + 31)
    assert not breaker.start(NOW + 60)
    assert breaker.start(NOW + 61)


def test_a_hold_lets_nothing_through_and_is_never_shortened() -> None:
    breaker = Breaker(POLICY)
    breaker.hold(NOW, NOW + 60)
    breaker.hold(NOW, NOW + 10)
    assert breaker.block(NOW + 59) == Block("endpoint_held", NOW + 60)
    assert breaker.block(NOW + 60) is None
    assert breaker.state == "closed"


def test_a_clock_set_back_ends_the_rest_the_hold_and_the_probe() -> None:
    yesterday = NOW - 86_400
    assert after(*[False] * 10).block(yesterday) is None
    held = Breaker(POLICY)
    held.hold(NOW, NOW + 60)
    assert held.block(yesterday) is None
    held.hold(yesterday, yesterday + 60)
    assert held.block(yesterday) == Block("endpoint_held", yesterday + 60)
    assert held.block(yesterday + 60) is None, "not until the day after"
    probing = after(*[False] * 10)
    assert probing.start(NOW + 30)
    assert probing.start(yesterday)


def test_a_clock_set_back_a_little_ends_nothing() -> None:
    assert after(*[False] * 10).block(NOW - 1) == Block("breaker_open", NOW + 30)
    held = Breaker(POLICY)
    held.hold(NOW, NOW + 60)
    assert held.block(NOW - 1) == Block("endpoint_held", NOW + 60)


def test_failures_of_a_time_that_is_still_to_come_do_not_count() -> None:
    breaker = after(*[False] * 9)
    breaker.record(NOW - 86_400, ok=False)
    assert breaker.state == "closed"
    assert breaker.forgettable(NOW - 2 * 86_400)


def test_the_table_knows_only_what_the_head_of_the_file_says() -> None:
    assert len(TRANSITIONS) == 4
    breaker = after(*[False] * 10)
    breaker.record(NOW + 1, ok=True)
    assert breaker.state == "open", "an attempt that was under way when it opened"


def test_breakers_are_a_hooks_own_and_forgotten() -> None:
    endpoints = EndpointBreakers(POLICY)
    assert endpoints.breaker("h", None) is None
    first = endpoints.breaker("h", "http://a:80")
    assert first is endpoints.breaker("h", "http://a:80")
    assert first is not endpoints.breaker("g", "http://a:80")
    assert first is not endpoints.breaker("h", "http://b:80")
    assert first is not None
    first.record(NOW, ok=False)
    endpoints.prune(NOW + 300)
    assert endpoints.breaker("h", "http://a:80") is first
    endpoints.prune(NOW + 301)
    assert endpoints.breaker("h", "http://a:80") is not first


def test_one_that_stayed_open_is_forgotten_where_nobody_tries_any_more() -> None:
    endpoints = EndpointBreakers(POLICY)
    for number in range(10):
        breaker = endpoints.breaker("removed", "http://a:80")
        assert breaker is not None
        breaker.record(NOW + number, ok=False)
    endpoints.prune(NOW + 30 * 3_600)
    assert endpoints.breaker("removed", "http://a:80") is breaker, "a retry may be due in a day and its jitter"
    endpoints.prune(NOW + 49 * 3_600)
    assert (endpoints._breakers, endpoints._holds) == ({}, {})


def test_a_hold_is_shared_by_endpoint_as_long_as_it_lasts() -> None:
    endpoints = EndpointBreakers(POLICY)
    first = endpoints.breaker("h", "http://a:80")
    assert first is not None
    first.hold(NOW, NOW + 3_600)
    endpoints.prune(NOW + 3_599)
    for hook_id, endpoint, until in (("g", "http://a:80", NOW + 3_600), ("g", "http://b:80", None)):
        breaker = endpoints.breaker(hook_id, endpoint)
        assert breaker is not None
        assert breaker.block(NOW + 3_599) == (until and Block("endpoint_held", until))
    endpoints.prune(NOW + 3_600)
    assert (endpoints._breakers, endpoints._holds) == ({}, {})


steps = st.lists(
    st.tuples(st.floats(0, 100), st.sampled_from(["start", "ok", "failed", "abandon", "hold"])), max_size=80
)


@given(steps)
def test_it_never_blocks_for_ever(history: list[tuple[float, str]]) -> None:
    breaker, now = Breaker(POLICY), NOW
    for seconds, what in history:
        now += seconds
        if what == "start":
            assert breaker.start(now) == (breaker.block(now) is None or breaker.state == "half_open")
        elif what == "hold":
            breaker.hold(now, now + 60)
        elif what == "abandon":
            breaker.abandon()
        else:
            breaker.record(now, ok=what == "ok")
    assert breaker.block(now + 100) is None


@pytest.mark.parametrize("attempts", [10, 1_000])
def test_its_memory_does_not_grow(attempts: int) -> None:
    breaker = Breaker(POLICY)
    for number in range(attempts):
        breaker.record(NOW + number * 60, ok=True)
    assert len(breaker._window._counts) <= 31
