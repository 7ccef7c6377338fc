"""The source ``response-ratelimiting``: Kong's plugin of that name refused an answer.

It answers 429 after the service did: Kong's log then says that Kong answered, and has the service's status beside
it. Without its headers (``hide_client_headers``) it is told, as ``inferred``, where a rule names the route or service;
with ``block_on_first_violation`` it answers before the service and looks like rate-limiting (see ``rate_limiting``).
"""

from collections.abc import Collection

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.exceeded import rate_limit_exceeded
from kong_eventhooks_plugin.sources.infer import TOO_MANY_REQUESTS, InferRule, InferRules
from kong_eventhooks_plugin.sources.kong_log import KongLog
from kong_eventhooks_plugin.sources.rate_headers import by_rate_limiting, by_response_rate_limiting


class ResponseRateLimiting:
    """Hears 429."""

    name = "response-ratelimiting"

    def __init__(self, rules: Collection[InferRule] = ()) -> None:
        self._rules = InferRules(rules)

    def statuses(self) -> frozenset[int]:
        """Return 429."""
        return frozenset((TOO_MANY_REQUESTS,))

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        """Return the event, or nothing."""
        if seen.status != TOO_MANY_REQUESTS or log.source != "kong":
            return []
        broken = by_response_rate_limiting(log)
        if broken is None and not self._may_be(log, seen.status):
            return []
        return [rate_limit_exceeded(self.name, log, broken, seen.seen_at)]

    def _may_be(self, log: KongLog, status: int) -> bool:
        """Tell whether an answer whose headers prove nothing is one that a rule names, given after the service's."""
        if not (self._rules.statuses and log.asked_service and self._rules.name(status, log.scope())):
            return False
        return by_rate_limiting(log) is None
