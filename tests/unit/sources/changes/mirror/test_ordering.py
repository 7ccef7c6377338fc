"""The table in the judge's head, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.sources.changes.mirror import ordering
from kong_eventhooks_plugin.sources.changes.mirror.ordering import (
    ABSENT,
    DOUBTS,
    KnownState,
    TimeWindow,
    Watermark,
    WriteVerdict,
)

SEEN = TimeWindow(100.0, 101.0)
BEFORE, AROUND, AFTER = TimeWindow(90.0, 95.0), TimeWindow(100.5, 102.0), TimeWindow(103.0, 104.0)


def standing(window: TimeWindow, since: float | None = None) -> KnownState:
    return KnownState(window.high if since is None else since, window, by_route=False)


@pytest.mark.parametrize(
    ("method", "row", "verdict"),
    [
        ("POST", None, WriteVerdict("create", store=True)),
        ("PUT", None, WriteVerdict("create", store=True)),
        ("PATCH", None, WriteVerdict("update", store=True)),
        ("PATCH", standing(BEFORE), WriteVerdict("update", store=True)),
        ("PUT", standing(BEFORE), WriteVerdict("update", store=True)),
        ("POST", standing(BEFORE), WriteVerdict("update", store=True)),
        ("PATCH", standing(AROUND), WriteVerdict("update", store=True, doubt=True)),
        ("PUT", standing(AROUND), WriteVerdict("create", store=True, doubt=True)),
        ("PUT", standing(AROUND, since=50.0), WriteVerdict("update", store=True, doubt=True)),
        ("POST", standing(AFTER), WriteVerdict("create", store=False, late=True)),
        ("PUT", standing(AFTER), WriteVerdict("create", store=False, late=True)),
        ("PUT", standing(AFTER, since=50.0), WriteVerdict("update", store=False, late=True)),
        ("PATCH", standing(AFTER), WriteVerdict("update", store=False, late=True)),
    ],
)
def test_a_write_beside_a_row(method: str, row: KnownState | None, verdict: WriteVerdict) -> None:
    assert ordering.judge_write(method, SEEN, row, None) == verdict


@pytest.mark.parametrize(
    ("method", "tombstone", "verdict"),
    [
        ("POST", standing(BEFORE), WriteVerdict("create", store=True)),
        ("PATCH", standing(BEFORE), WriteVerdict("update", store=True)),
        ("POST", standing(AROUND), WriteVerdict("create", store=True, doubt=True)),
        ("PUT", standing(AROUND, since=50.0), WriteVerdict("create", store=True, doubt=True)),
        ("PATCH", standing(AROUND), WriteVerdict("update", store=False, late=True)),
        ("PUT", standing(AFTER), WriteVerdict("create", store=False, late=True)),
        ("PUT", standing(AFTER, since=50.0), WriteVerdict("update", store=False, late=True)),
        ("PATCH", standing(AFTER), WriteVerdict("update", store=False, late=True)),
    ],
)
def test_a_write_beside_a_tombstone(method: str, tombstone: KnownState, verdict: WriteVerdict) -> None:
    assert ordering.judge_write(method, SEEN, None, tombstone) == verdict


def test_nginx_is_a_little_behind() -> None:
    """A request can begin, by its own account, some milliseconds before the answer to the one before it."""
    row = standing(TimeWindow(99.0, SEEN.low + 0.004))
    assert ordering.judge_write("PATCH", SEEN, row, None) == WriteVerdict("update", store=True)
    assert ordering.existed(SEEN, row)
    assert not ordering.outlives(SEEN, row)


def test_a_clock_that_was_set_back() -> None:
    """What is known from hours ahead is from before that, and nothing waits until the clock is there again."""
    row = standing(TimeWindow(20_000.0, 20_001.0))
    assert ordering.judge_write("PATCH", SEEN, row, None) == WriteVerdict("update", store=True)
    assert ordering.judge_write("POST", SEEN, None, row) == WriteVerdict("create", store=True)
    assert ordering.existed(SEEN, row)
    assert not ordering.outlives(SEEN, row)
    assert not Watermark(rev=10, lag_until=100.0).touched(10, 20_000.0)


def test_what_a_delete_takes() -> None:
    assert [ordering.outlives(SEEN, standing(window)) for window in (BEFORE, AROUND, AFTER)] == [False, False, True]
    assert [ordering.existed(SEEN, standing(window)) for window in (BEFORE, AROUND, AFTER)] == [True, False, False]


def test_what_a_reconciliation_does_not_judge() -> None:
    mark = Watermark(rev=10, lag_until=100.0)
    assert mark.touched(11, 50.0)
    assert mark.touched(10, 100.5), "a replica may be behind"
    assert not mark.touched(10, 99.0)
    assert not mark.touched(0, 100.5), "no route wrote it"


def test_a_listed_state() -> None:
    one, two = bytes(15) + b"1", bytes(15) + b"2"
    assert ordering.judge_listed(one, one, None) == "same"
    assert ordering.judge_listed(one, one, two) == "adopt", "the doubt is over"
    assert ordering.judge_listed(two, one, two) == "adopt"
    assert ordering.judge_listed(two, one, None) == "changed"
    assert ordering.judge_listed(two, one, ABSENT) == "changed"


@given(st.lists(st.integers(1, 20).map(lambda number: number.to_bytes(16, "big")), max_size=30))
def test_doubts_are_few_and_the_latest(states: list[bytes]) -> None:
    others = None
    for state in states:
        others = ordering.doubting(others, state)
        assert ordering.in_doubt(others, state)
    distinct = list(dict.fromkeys(reversed(states)))
    assert [state for state in distinct if ordering.in_doubt(others, state)] == distinct[:DOUBTS]
