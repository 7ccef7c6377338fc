"""The source ``response-ratelimiting``: Kong's plugin of that name refused an answer.

It always answers 429, and always after the service did: Kong's log then says that Kong answered, and has the
service's status beside it. Without its headers it cannot be told (see ``rate_limiting``).
"""

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.exceeded import rate_limit_exceeded
from kong_eventhooks_plugin.sources.infer import TOO_MANY_REQUESTS
from kong_eventhooks_plugin.sources.kong_log import KongLog
from kong_eventhooks_plugin.sources.rate_headers import by_response_rate_limiting


class ResponseRateLimiting:
    """Hears 429."""

    name = "response-ratelimiting"

    def statuses(self) -> frozenset[int]:
        """Return 429."""
        return frozenset((TOO_MANY_REQUESTS,))

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        """Return the event, or nothing."""
        if seen.status != TOO_MANY_REQUESTS or log.source != "kong":
            return []
        broken = by_response_rate_limiting(log)
        return [] if broken is None else [rate_limit_exceeded(self.name, log, broken, seen.seen_at)]
