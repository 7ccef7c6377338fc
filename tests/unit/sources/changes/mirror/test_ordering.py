"""The table in the judge's head, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sources.changes.mirror import ordering
from kong_eventhooks_plugin.sources.changes.mirror.ordering import ABSENT, DOUBTS, Mark, Standing, Verdict, Window

SEEN = Window(100.0, 101.0)
BEFORE, AROUND, AFTER = Window(90.0, 95.0), Window(100.5, 102.0), Window(103.0, 104.0)


def standing(window: Window, since: float | None = None) -> Standing:
    return Standing(window.high if since is None else since, window, by_route=False)


@pytest.mark.parametrize(
    ("method", "row", "verdict"),
    [
        ("POST", None, Verdict("create", take=True)),
        ("PUT", None, Verdict("create", take=True)),
        ("PATCH", None, Verdict("update", take=True)),
        ("PATCH", standing(BEFORE), Verdict("update", take=True)),
        ("PUT", standing(BEFORE), Verdict("update", take=True)),
        ("POST", standing(BEFORE), Verdict("update", take=True)),
        ("PATCH", standing(AROUND), Verdict("update", take=True, doubt=True)),
        ("PUT", standing(AROUND), Verdict("create", take=True, doubt=True)),
        ("PUT", standing(AROUND, since=50.0), Verdict("update", take=True, doubt=True)),
        ("POST", standing(AFTER), Verdict("create", take=False, late=True)),
        ("PUT", standing(AFTER), Verdict("create", take=False, late=True)),
        ("PUT", standing(AFTER, since=50.0), Verdict("update", take=False, late=True)),
        ("PATCH", standing(AFTER), Verdict("update", take=False, late=True)),
    ],
)
def test_a_write_beside_a_row(method: str, row: Standing | None, verdict: Verdict) -> None:
    assert ordering.written(method, SEEN, row, None) == verdict


@pytest.mark.parametrize(
    ("method", "tombstone", "verdict"),
    [
        ("POST", standing(BEFORE), Verdict("create", take=True)),
        ("PATCH", standing(BEFORE), Verdict("update", take=True)),
        ("POST", standing(AROUND), Verdict("create", take=True, doubt=True)),
        ("PUT", standing(AROUND, since=50.0), Verdict("create", take=True, doubt=True)),
        ("PATCH", standing(AROUND), Verdict("update", take=False, late=True)),
        ("PUT", standing(AFTER), Verdict("create", take=False, late=True)),
        ("PUT", standing(AFTER, since=50.0), Verdict("update", take=False, late=True)),
        ("PATCH", standing(AFTER), Verdict("update", take=False, late=True)),
    ],
)
def test_a_write_beside_a_tombstone(method: str, tombstone: Standing, verdict: Verdict) -> None:
    assert ordering.written(method, SEEN, None, tombstone) == verdict


def test_nginx_is_a_little_behind() -> None:
    """A request can begin, by its own account, some milliseconds before the answer to the one before it."""
    row = standing(Window(99.0, SEEN.low + 0.004))
    assert ordering.written("PATCH", SEEN, row, None) == Verdict("update", take=True)
    assert ordering.was_there(SEEN, row)
    assert not ordering.outlives(SEEN, row)


def test_a_clock_that_was_set_back() -> None:
    """What is known from hours ahead is from before that, and nothing waits until the clock is there again."""
    row = standing(Window(20_000.0, 20_001.0))
    assert ordering.written("PATCH", SEEN, row, None) == Verdict("update", take=True)
    assert ordering.written("POST", SEEN, None, row) == Verdict("create", take=True)
    assert ordering.was_there(SEEN, row)
    assert not ordering.outlives(SEEN, row)
    assert not Mark(rev=10, lag_until=100.0).touched(10, 20_000.0)


def test_what_a_delete_takes() -> None:
    assert [ordering.outlives(SEEN, standing(window)) for window in (BEFORE, AROUND, AFTER)] == [False, False, True]
    assert [ordering.was_there(SEEN, standing(window)) for window in (BEFORE, AROUND, AFTER)] == [True, False, False]


def test_what_a_round_does_not_judge() -> None:
    mark = Mark(rev=10, lag_until=100.0)
    assert mark.touched(11, 50.0)
    assert mark.touched(10, 100.5), "a replica may be behind"
    assert not mark.touched(10, 99.0)
    assert not mark.touched(0, 100.5), "no route wrote it"


def test_a_listed_state() -> None:
    one, two = bytes(15) + b"1", bytes(15) + b"2"
    assert ordering.listed(one, one, None) == "same"
    assert ordering.listed(one, one, two) == "adopt", "the doubt is over"
    assert ordering.listed(two, one, two) == "adopt"
    assert ordering.listed(two, one, None) == "changed"
    assert ordering.listed(two, one, ABSENT) == "changed"


@given(st.lists(st.integers(1, 20).map(lambda number: number.to_bytes(16, "big")), max_size=30))
def test_doubts_are_few_and_the_latest(states: list[bytes]) -> None:
    others = None
    for state in states:
        others = ordering.doubting(others, state)
        assert ordering.in_doubt(others, state)
    distinct = list(dict.fromkeys(reversed(states)))
    assert [state for state in distinct if ordering.in_doubt(others, state)] == distinct[:DOUBTS]
