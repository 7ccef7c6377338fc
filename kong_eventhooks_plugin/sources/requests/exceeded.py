"""The event ``rate-limit-exceeded`` of a finished request: the same for every source that tells it, or nearly."""

from typing import Any, Final

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.catalogue import RATE_LIMIT_EXCEEDED, unique_fields
from kong_eventhooks_plugin.sources.requests.attribution import LimitVerdict
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog
from kong_eventhooks_plugin.sources.requests.plugin_answers import (
    RATE_LIMITING,
    RATE_LIMITING_ADVANCED,
    RESPONSE_RATE_LIMITING,
)
from kong_eventhooks_plugin.sources.requests.rate_headers import ExceededLimit
from kong_eventhooks_plugin.sources.requests.request_event import (
    EventKind,
    client_and_service,
    request_event,
    route_and_request,
)

_EVENTS: Final = {
    source: EventKind(source, RATE_LIMIT_EXCEEDED, unique_fields(source, RATE_LIMIT_EXCEEDED))
    for source in (RATE_LIMITING, RESPONSE_RATE_LIMITING, RATE_LIMITING_ADVANCED)
}
NOT_KNOWN: Final = ExceededLimit(None, None)


def rate_limit_exceeded(log: KongLog, verdict: LimitVerdict, seen_at: float) -> Event:
    """Build the event of rate-limiting, response-ratelimiting or rate-limiting-advanced."""
    broken = verdict.exceeded or NOT_KNOWN
    data: dict[str, Any] = {
        **client_and_service(log),
        "rate": broken.rate,
        "limit": broken.limit,
        "window": broken.window,
        **route_and_request(log),
        "retry_after": broken.retry_after,
        "limit_name": broken.name,
        "attributed": verdict.attributed,
    }
    return request_event(_EVENTS[verdict.source], log, seen_at, data)
