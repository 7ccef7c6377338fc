"""W3C Trace Context: what of a header is believed, and which trace an event continues."""

import pytest

from kong_eventhooks_plugin.model.trace import TraceParent, begin_trace, parse_traceparent

ID = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"00-{ID}-{SPAN}-01", TraceParent(ID, SPAN, sampled=True)),
        (f"00-{ID}-{SPAN}-00", TraceParent(ID, SPAN, sampled=False)),
        (f"00-{ID}-{SPAN}-03", TraceParent(ID, SPAN, sampled=True)),
        (f"cc-{ID}-{SPAN}-01-what the future brings", TraceParent(ID, SPAN, sampled=True)),
        (f"00-{ID}-{SPAN}-01-more", None),
        (f"ff-{ID}-{SPAN}-01", None),
        (f"00-{ID.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{ID}-{'0' * 16}-01", None),
        (f"00-{ID}-{SPAN}-1", None),
        (f"00-{ID}-{SPAN}-01\n", None),
        ("", None),
    ],
)
def test_what_of_a_header_is_believed(text: str, expected: TraceParent | None) -> None:
    assert parse_traceparent(text) == expected


@pytest.mark.parametrize("sampled", [True, False])
def test_a_trace_is_continued_as_it_was_decided(sampled: bool) -> None:
    trace = begin_trace(TraceParent(ID, SPAN, sampled), ratio=1.0 - sampled, observed_at=1.5)
    assert (trace.trace_id, trace.parent_id, trace.sampled, trace.observed_at) == (ID, SPAN, sampled, 1.5)
    assert parse_traceparent(trace.traceparent("00f067aa0ba902b7")) == TraceParent(ID, "00f067aa0ba902b7", sampled)


@pytest.mark.parametrize(("half", "sampled"), [("7fffffffffffffff", True), ("8000000000000000", False)])
def test_an_undecided_trace_is_recorded_by_its_id(half: str, sampled: bool) -> None:
    trace_id = "f" * 16 + half
    assert begin_trace(TraceParent(trace_id), 0.5, 0.0).sampled is sampled
    assert begin_trace(TraceParent(trace_id), 1.0, 0.0).sampled
    assert not begin_trace(TraceParent(trace_id), 0.0, 0.0).sampled


def test_a_trace_that_begins_here_is_valid_and_new() -> None:
    one, two = begin_trace(None, 1.0, 0.0), begin_trace(None, 1.0, 0.0)
    assert one.parent_id is None
    assert one.trace_id != two.trace_id
    assert parse_traceparent(one.traceparent(one.span_id)) == TraceParent(one.trace_id, one.span_id, sampled=True)


def test_every_process_gives_a_delivery_the_same_span() -> None:
    trace = begin_trace(TraceParent(ID), 1.0, 0.0)
    again = begin_trace(TraceParent(ID), 1.0, 9.0)
    assert trace.derived_span_id("e_h") == again.derived_span_id("e_h")
    assert trace.derived_span_id("e_h") != trace.derived_span_id("e_i")
