"""The source ``rate-limiting``: Kong's plugin of that name refused a request.

=============================  ==========================================  ====================================
status                         the answer's headers                        it is
=============================  ==========================================  ====================================
429                            prove it (``rate_headers``)                 the event, attributed ``headers``
another, named by a rule       prove it                                    the event, attributed ``headers``
429, named by a rule           do not, and the service was not asked       the event, attributed ``inferred``
another, named by a rule       show no limits, service not asked           the event, attributed ``inferred``
anything else                                                              not this event
=============================  ==========================================  ====================================

An answer of the service's own is never it. A 429 that a rule names may come from response-ratelimiting with
``block_on_first_violation``: nothing tells the two apart, so it has this source as well.
"""

from collections.abc import Collection

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.exceeded import rate_limit_exceeded
from kong_eventhooks_plugin.sources.infer import TOO_MANY_REQUESTS, InferRule, InferRules
from kong_eventhooks_plugin.sources.kong_log import KongLog
from kong_eventhooks_plugin.sources.rate_headers import by_rate_limiting, shows_limits


class RateLimiting:
    """Hears 429 and the statuses that rules name."""

    name = "rate-limiting"

    def __init__(self, rules: Collection[InferRule] = ()) -> None:
        self._rules = InferRules(rules)

    def statuses(self) -> frozenset[int]:
        """Return 429 and what the rules name."""
        return self._rules.statuses | {TOO_MANY_REQUESTS}

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        """Return the event, or nothing."""
        if log.source != "kong":
            return []
        named = self._rules.name(seen.status, log.scope()) if self._rules.statuses else False
        if seen.status != TOO_MANY_REQUESTS and not named:
            return []
        broken = by_rate_limiting(log)
        if broken is None and not (named and _may_be(log, seen.status)):
            return []
        return [rate_limit_exceeded(self.name, log, broken, seen.seen_at)]


def _may_be(log: KongLog, status: int) -> bool:
    """Tell whether an answer that a rule names, and whose headers prove nothing, can be a broken limit."""
    if log.asked_service:  # rate-limiting answers before
        return False
    return status == TOO_MANY_REQUESTS or not shows_limits(log)
