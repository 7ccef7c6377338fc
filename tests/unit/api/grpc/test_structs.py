"""JSON-ready values and times, there and back."""

import json
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from kong_eventhooks_plugin.api.grpc.eventhooks.v1 import events_pb2
from kong_eventhooks_plugin.api.grpc.structs import MAX_DEPTH, from_struct, from_timestamp, to_struct, to_timestamp
from kong_eventhooks_plugin.errors import ValidationError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_what_goes_in_comes_out(data: dict[str, object]) -> None:
    sent = Struct.FromString(to_struct(data).SerializeToString())
    assert from_struct(sent) == data


def test_whole_numbers_are_integers_again_and_names_are_sorted() -> None:
    back = from_struct(to_struct({"status": 429, "yes": True, "share": 0.5, "a": {"z": 1e300, "b": -0.0}}))
    assert json.dumps(back) == '{"a": {"b": 0, "z": 1e+300}, "share": 0.5, "status": 429, "yes": true}'


def test_empty_records_and_lists_differ_from_nothing() -> None:
    assert from_struct(to_struct({"record": {}, "list": [], "null": None})) == {"record": {}, "list": [], "null": None}


@pytest.mark.parametrize(
    "data", [{"a": [None] * 9_998}, {"a": [{"b": None}] * 3_332}, {str(n): 1 for n in range(5_000)}]
)
def test_as_many_values_are_read_as_an_event_may_have(data: dict[str, Any]) -> None:
    assert from_struct(to_struct(data)) == data
    with pytest.raises(ValidationError, match="contains more than 10,000 values"):
        from_struct(to_struct(data | {"c": [1, 2, 3]}))


def test_a_value_without_a_kind_is_null() -> None:
    struct = Struct()
    struct.fields["a"].SetInParent()
    assert from_struct(struct) == {"a": None}


def nested(levels: int) -> dict[str, object]:
    """A record of so many levels with text in the innermost."""
    data: dict[str, object] = {"end": "x"}
    for _ in range(levels - 1):
        data = {"a": data}
    return data


def test_the_deepest_that_is_sent_can_be_read_where_it_stands_deepest() -> None:
    sent = events_pb2.WatchResponse(event=events_pb2.WatchedEvent(event=events_pb2.Event(data=to_struct(nested(32)))))
    read = events_pb2.WatchResponse.FromString(sent.SerializeToString())
    assert from_struct(read.event.event.data) == nested(MAX_DEPTH)


def test_what_is_deeper_goes_out_as_its_text() -> None:
    data = from_struct(to_struct(nested(MAX_DEPTH + 2)))
    for _ in range(MAX_DEPTH - 1):
        data = data["a"]
    assert json.loads(data["a"]) == nested(2)
    lists = {"a": [[]]}
    for _ in range(MAX_DEPTH):
        lists = {"a": [lists]}
    received = events_pb2.WatchResponse(event=events_pb2.WatchedEvent(event=events_pb2.Event(data=to_struct(lists))))
    events_pb2.WatchResponse.FromString(received.SerializeToString())


@given(st.floats(0, 4e9))
def test_a_time_comes_back_as_the_very_same_number(seconds: float) -> None:
    # Below 2^21 s a double is finer than a nanosecond; no time of ours is of the first days of 1970.
    expected = seconds if seconds > 1e7 else pytest.approx(seconds, abs=1e-9)
    assert from_timestamp(to_timestamp(seconds), "since") == expected


def test_whole_seconds_are_an_integer() -> None:
    assert isinstance(from_timestamp(Timestamp(seconds=5), "since"), int)


@pytest.mark.parametrize(
    "wrong", [Timestamp(seconds=10**12), Timestamp(nanos=-1), Timestamp(nanos=10**9), Timestamp(seconds=-(10**12))]
)
def test_what_is_no_time_is_refused(wrong: Timestamp) -> None:
    with pytest.raises(ValidationError, match="since"):
        from_timestamp(wrong, "since")
