"""The trace that an event belongs to, as W3C Trace Context names it (https://www.w3.org/TR/trace-context/). Pure.

It is stored with the event, so that an attempt after a restart is part of the same trace. Whether its spans are
recorded was decided once: by who began the trace, or else by a ratio.
"""

import re
import secrets
from hashlib import blake2b
from typing import NamedTuple

import msgspec

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1
_RATIO_BITS = 64


class TraceParent(NamedTuple):
    """Where a trace comes from. ``span_id`` and ``sampled`` are None where only the trace's id is known."""

    trace_id: str
    span_id: str | None = None
    sampled: bool | None = None


class Trace(msgspec.Struct, frozen=True, array_like=True):
    """``span_id`` is the event's own span, ``parent_id`` its parent's; ids are hexadecimal.

    ``observed_at`` is Unix seconds. Stored as a JSON array: a field can be added at the end alone.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool
    observed_at: float

    def traceparent(self, span_id: str) -> str:
        """Return the header for whoever ``span_id`` calls."""
        return f"00-{self.trace_id}-{span_id}-{_SAMPLED if self.sampled else 0:02x}"

    def derived_span_id(self, name: str) -> str:
        """Return the id of a span that every process gives the same: it may begin in one and end in another."""
        return blake2b(f"{self.trace_id}\0{name}".encode(), digest_size=8).hexdigest()


def begin_trace(parent: TraceParent | None, ratio: float, observed_at: float) -> Trace:
    """Continue ``parent``'s trace, or begin one; ``ratio`` of the undecided ones are recorded, chosen by their id."""
    trace_id, parent_id, sampled = parent or TraceParent(secrets.token_hex(16))
    if sampled is None:
        # By the half that every tracer chooses by, so that all agree on a trace.
        sampled = int(trace_id[16:], 16) < round(ratio * (1 << _RATIO_BITS))
    return Trace(trace_id, new_span_id(), parent_id, sampled, observed_at)


def new_span_id() -> str:
    return secrets.token_hex(8)


def parse_traceparent(text: str) -> TraceParent | None:
    """Read the header; None where it is not valid. Of a later version its first fields count."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if (version == "00" and rest) or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceParent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))
