"""The source ``service-protection``: Kong Enterprise's plugin of that name refused a request.

It is about a service, whoever asks: its events have no consumer and no address. They need to know that the plugin is in
force: by its headers alone it cannot be told from rate-limiting.
"""

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.requests.attribution import LimitVerdict
from kong_eventhooks_plugin.sources.requests.catalogue import SERVICE_PROTECTION as ENTRY
from kong_eventhooks_plugin.sources.requests.exceeded import NOT_KNOWN
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog
from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource
from kong_eventhooks_plugin.sources.requests.request_event import (
    event_kind,
    request_event,
    route_and_request,
    service_of,
)

_EVENT = event_kind(ENTRY)


class ServiceProtection(LimitSource):
    """Hears 429 and the statuses that the plugin is configured with."""

    name = ENTRY.name

    def event(self, log: KongLog, verdict: LimitVerdict, seen_at: float) -> Event:
        """Build the event."""
        broken = verdict.exceeded or NOT_KNOWN
        data = {
            "service": service_of(log),
            "rate": broken.rate,
            "limit": broken.limit,
            "window": broken.window,
            **route_and_request(log),
            "retry_after": broken.retry_after,
            "attributed": verdict.attributed,
        }
        return request_event(_EVENT, log, seen_at, data)
