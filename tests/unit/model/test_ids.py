"""Derived ids: valid UUIDs, in the order of time, the same for the same thing."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.model.ids import delivery_id, event_id, hook_id, unique_ids

AT = 1_795_278_775.522


@given(st.floats(0, 2**48 / 1000 - 1), st.lists(st.text(), max_size=4))
def test_an_event_id_is_a_uuid_of_version_8(at: float, parts: list[str]) -> None:
    parsed = uuid.UUID(event_id(at, *parts))
    assert (str(parsed), parsed.version, parsed.variant) == (event_id(at, *parts), 8, uuid.RFC_4122)
    assert parsed.int >> 80 == round(at * 1000)


@given(st.integers(0, 2**42), st.integers(0, 2**42))
def test_event_ids_sort_by_time(one: int, other: int) -> None:
    earlier, later = sorted((one, other))
    if earlier < later:
        assert event_id(earlier / 1000, "x") < event_id(later / 1000, "x")


@given(st.lists(st.floats(0, 2**48 / 1000 - 1), min_size=1, max_size=9))
def test_unique_ids_are_of_the_same_kind(times: list[float]) -> None:
    one, other = unique_ids(), unique_ids()
    ids = [uuid.UUID(make(at)) for at in times for make in (one, one, other)]
    assert {(each.version, each.variant) for each in ids} == {(8, uuid.RFC_4122)}
    assert [each.int >> 80 for each in ids[::3]] == [round(at * 1000) for at in times]
    assert len(set(ids)) == len(ids)


def test_unique_ids_of_one_moment_differ_early() -> None:
    # So that the short ids of `deliveries list` are short.
    make = unique_ids()
    assert len({make(AT)[:18] for _ in range(100)}) == 100


def test_every_part_and_the_time_distinguish_events() -> None:
    ids = {
        event_id(AT, "request", "rate-limiting", "rate-limit-exceeded"),
        event_id(AT, "request", "response-ratelimiting", "rate-limit-exceeded"),
        event_id(AT, "request2", "rate-limiting", "rate-limit-exceeded"),
        event_id(AT + 0.001, "request", "rate-limiting", "rate-limit-exceeded"),
        event_id(AT, "requestrate-limiting", "rate-limit-exceeded"),
    }
    assert len(ids) == 5


def test_known_ids_stay_as_they_are() -> None:
    # Stored by running installations: another result would deliver what was delivered already.
    assert event_id(AT, "r", "s", "e") == "01a1fef4-24e2-8a8b-b2d1-18698fa4ac57"
    assert hook_id("slack") == "2fb7ef2f-b58d-5b8d-bef7-74f8534de321"


def test_a_hook_id_follows_from_its_name() -> None:
    assert hook_id("a") == hook_id("a") != hook_id("b")
    assert uuid.UUID(hook_id("a")).version == 5


def test_a_delivery_id_can_be_signed() -> None:
    made = delivery_id(event_id(AT, "r"), hook_id("a"))
    assert "." not in made
    assert made != delivery_id(event_id(AT, "r"), hook_id("b"))
