"""The source ``ai-rate-limiting-advanced``: Kong Enterprise's plugin of that name refused a request.

It is told by headers of its own (``ai_rate_headers``), also where nothing is known of the node's plugins.
"""

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.requests.ai_rate_headers import query_cost
from kong_eventhooks_plugin.sources.requests.attribution import LimitVerdict
from kong_eventhooks_plugin.sources.requests.catalogue import AI_RATE_LIMITING_ADVANCED as ENTRY
from kong_eventhooks_plugin.sources.requests.exceeded import NOT_KNOWN
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog
from kong_eventhooks_plugin.sources.requests.limit_source import LimitSource
from kong_eventhooks_plugin.sources.requests.request_event import (
    client_and_service,
    event_kind,
    request_event,
    route_and_request,
)

_EVENT = event_kind(ENTRY)


class AiRateLimitingAdvanced(LimitSource):
    """Hears 429 and the statuses that the plugin is configured with."""

    name = ENTRY.name

    def event(self, log: KongLog, verdict: LimitVerdict, seen_at: float) -> Event:
        """Build the event. What was used is not known: the plugin counts tokens, and says only that none are left."""
        broken = verdict.exceeded or NOT_KNOWN
        data = {
            **client_and_service(log),
            "rate": None,
            "limit": broken.limit,
            "window": broken.window,
            **route_and_request(log),
            "retry_after": broken.retry_after,
            "attributed": verdict.attributed,
            "provider": broken.name,
            "strategy": verdict.strategy,
            "query_cost": query_cost(log),
        }
        return request_event(_EVENT, log, seen_at, data)
