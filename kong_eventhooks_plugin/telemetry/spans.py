"""A span that has ended, as those who record it make it; ``span_export`` sends it.

Attributes are names, numbers and ids of ours and OpenTelemetry's semantic conventions: never a secret, a URL, a body or
a text that an endpoint sent.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec


class EndedSpan(msgspec.Struct, frozen=True):
    """Ids are hexadecimal, times Unix seconds. ``error`` is a short class of error, None where it went well."""

    name: str
    kind: Literal["producer", "consumer", "client", "internal"]
    trace_id: str
    span_id: str
    parent_id: str | None
    started_at: float
    ended_at: float
    attributes: Mapping[str, str | int]
    error: str | None = None


RecordSpan = Callable[[EndedSpan], None]
"""Takes a span to be sent; never waits and never raises."""


def message_attributes(operation: str, kind: Literal["send", "process"], source: str, event_id: str) -> dict[str, str]:
    """Return what the semantic conventions for messaging ask for; a source is what they call a destination."""
    return {
        "messaging.system": "kong_event_hooks",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": source,
        "messaging.message.id": event_id,
    }
