"""The trace that a finished request was part of, where Kong's log has one. Read only where tracing is on.

``trace_id`` is Kong's own, by format, from its tracing plugins (opentelemetry, zipkin); ``request.headers.traceparent``
is what Kong sent to the service, or what the client sent where no such plugin ran. Kong's own wins: the header only
adds the span and the sampling decision where it is of the same trace. No other header is looked at.

Limit: the log is read a second time, so what limits ``kong_log`` limits this; only a header's ids are kept.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from kong_eventhooks_plugin.model.trace import TraceParent, parse_traceparent

_FORMATS: Final = ("w3c", "b3", "jaeger", "ot", "gcp")
"""Those that are hexadecimal; the first that is there."""

_ID: Final = re.compile(r"(?=.*[1-9a-f])(?:[0-9a-f]{16}|[0-9a-f]{32})")


class _Headers(msgspec.Struct, gc=False):
    traceparent: Any = None


class _Request(msgspec.Struct, gc=False):
    headers: _Headers = msgspec.field(default_factory=_Headers)


class _Log(msgspec.Struct, gc=False):
    trace_id: Any = None
    request: _Request = msgspec.field(default_factory=_Request)


_decode = msgspec.json.Decoder(_Log).decode


def trace_of(serialized: str | bytes) -> TraceParent | None:
    """Return the trace of ``kong.log.serialize``'s JSON; None where it has none that can be read."""
    try:
        log = _decode(serialized)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    header = log.request.headers.traceparent
    sent = parse_traceparent(header) if isinstance(header, str) else None
    own = _own_id(log.trace_id)
    if own is None or (sent is not None and sent.trace_id == own):
        return sent
    return TraceParent(own)


def _own_id(formats: Any) -> str | None:
    """Return Kong's trace id; one of 64 bits is padded, as OpenTelemetry has it."""
    if not isinstance(formats, Mapping):
        return None
    ids = (formats.get(name) for name in _FORMATS)
    return next((each.zfill(32) for each in ids if isinstance(each, str) and _ID.fullmatch(each)), None)
