"""Gives each event that matched a hook its trace, and records its span: from the observation to the commit.

An event that fires no hook has a trace and no span.
"""

import msgspec

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.model.trace import begin_trace
from kong_eventhooks_plugin.queue.contract import Clock, Receipt
from kong_eventhooks_plugin.sources.requests.kong_trace import trace_of
from kong_eventhooks_plugin.telemetry.spans import EndedSpan, RecordSpan, message_attributes


class EventSpans:
    """``ratio`` of the events that Kong has not decided on are recorded."""

    def __init__(self, record: RecordSpan, ratio: float, clock: Clock) -> None:
        self._record = record
        self._ratio = ratio
        self._clock = clock

    def begin(self, event: Event, seen: LogObservation | None) -> Event:
        """Return the event with its trace; ``seen`` is the request that it comes from, if any."""
        parent = None if seen is None else trace_of(seen.serialized)
        observed_at = self._clock() if seen is None else seen.seen_at
        return msgspec.structs.replace(event, trace=begin_trace(parent, self._ratio, observed_at))

    def committed(self, event: Event, receipt: Receipt) -> None:
        trace = event.trace
        if trace is None or not trace.sampled or not receipt.fired:
            return
        attributes: dict[str, str | int] = {
            **message_attributes("publish", "send", event.source, event.id),
            "kong_event_hooks.event": event.event,
            "kong_event_hooks.hooks": len(receipt.fired),
        }
        self._record(
            EndedSpan(
                name=f"publish {event.source}",
                kind="producer",
                trace_id=trace.trace_id,
                span_id=trace.span_id,
                parent_id=trace.parent_id,
                started_at=trace.observed_at,
                ended_at=self._clock(),
                attributes=attributes,
            )
        )
