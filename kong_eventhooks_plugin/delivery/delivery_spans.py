"""The spans of a delivery: one from the event's observation to the last attempt, and one for each attempt.

=============  =================  ===========================================================
span           parent             kind and conventions
=============  =================  ===========================================================
deliver HOOK   the event's        consumer, messaging; recorded when the delivery has settled
POST           the delivery's     client, HTTP: an attempt of a handler that calls a URL
lambda, log    the delivery's     internal: an attempt of another handler
=============  =================  ===========================================================

The delivery's id gives its span its id, so that attempts before a restart have the same parent as those after it. A
delivery that is replayed records its span again, longer. ``url.full`` is left out: the path of a webhook is often its
credential. What a process that was killed had in flight has no span.
"""

from urllib.parse import urlsplit

from kong_eventhooks_plugin.delivery.hook_readiness import Ready
from kong_eventhooks_plugin.model.delivery import Attempt, Delivery
from kong_eventhooks_plugin.model.trace import Trace
from kong_eventhooks_plugin.queue.contract import Settlement
from kong_eventhooks_plugin.telemetry.spans import EndedSpan, RecordSpan, message_attributes

_SETTLED = ("delivered", "dead")


class DeliverySpans:
    def __init__(self, record: RecordSpan) -> None:
        self._record = record

    def attempted(self, span_id: str, delivery: Delivery, ready: Ready, settled: Settlement) -> None:
        """Record the attempt of a settlement, whose span is ``span_id``, and the delivery where that was its last."""
        trace, attempt = delivery.event.trace, settled.attempt
        if trace is None or attempt is None or not trace.sampled:
            return
        parent_id = trace.derived_span_id(delivery.id)
        self._record(_attempt_span(trace, span_id, parent_id, ready, attempt))
        if settled.state in _SETTLED:
            self._record(_delivery_span(trace, parent_id, delivery, ready, settled, attempt))


def _attempt_span(trace: Trace, span_id: str, parent_id: str, ready: Ready, attempt: Attempt) -> EndedSpan:
    attributes: dict[str, str | int] = {"kong_event_hooks.hook": ready.hook.name}
    endpoint = ready.handler.endpoint(ready.config)
    name = ready.handler.name
    if endpoint is not None:
        name = str(ready.config.get("method") or "POST")
        attributes |= _http_attributes(name, endpoint, attempt)
    return EndedSpan(
        name=name,
        kind="internal" if endpoint is None else "client",
        trace_id=trace.trace_id,
        span_id=span_id,
        parent_id=parent_id,
        started_at=attempt.started_at,
        ended_at=attempt.started_at + attempt.seconds,
        attributes=attributes,
        error=_error_type(attempt),
    )


def _error_type(attempt: Attempt) -> str | None:
    """Return what the conventions for HTTP ask for: the status where it is one, else the class of the error."""
    return attempt.error if attempt.status is None or attempt.error is None else str(attempt.status)


def _http_attributes(method: str, endpoint: str, attempt: Attempt) -> dict[str, str | int]:
    url = urlsplit(endpoint)
    found: dict[str, str | int | None] = {
        "http.request.method": method,
        "http.response.status_code": attempt.status,
        "http.request.resend_count": attempt.number - 1 or None,
        "server.address": url.hostname,
        "server.port": url.port,
    }
    return {name: value for name, value in found.items() if value is not None}


def _delivery_span(
    trace: Trace, span_id: str, delivery: Delivery, ready: Ready, settled: Settlement, last: Attempt
) -> EndedSpan:
    return EndedSpan(
        name=f"deliver {ready.hook.name}",
        kind="consumer",
        trace_id=trace.trace_id,
        span_id=span_id,
        parent_id=trace.span_id,
        started_at=trace.observed_at,
        ended_at=last.started_at + last.seconds,
        attributes={
            **message_attributes("deliver", "process", delivery.source, delivery.event.id),
            "kong_event_hooks.hook": ready.hook.name,
            "kong_event_hooks.delivery_id": delivery.id,
            "kong_event_hooks.attempts": last.number,
        },
        error=_error_type(last) if settled.state == "dead" else None,
    )
