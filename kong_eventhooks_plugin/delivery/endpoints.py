"""The breakers of all endpoints. Hooks that share scheme, host and port share a breaker.

Limits: a breaker that knows nothing worth keeping is forgotten when ``tidy`` runs, so there are at most as many as
endpoints that were used within the breaker's window.
"""

from kong_eventhooks_plugin.delivery.breaker import Breaker
from kong_eventhooks_plugin.delivery.limits import BreakerPolicy


class Endpoints:
    """Breakers by endpoint."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._breakers: dict[str, Breaker] = {}

    def breaker(self, endpoint: str | None) -> Breaker | None:
        """Return an endpoint's breaker, None where a handler dials nothing."""
        if endpoint is None:
            return None
        breaker = self._breakers.get(endpoint)
        if breaker is None:
            breaker = self._breakers[endpoint] = Breaker(self._policy)
        return breaker

    def tidy(self, now: float) -> None:
        """Forget what a new breaker would know as well."""
        for endpoint in [name for name, breaker in self._breakers.items() if breaker.forgettable(now)]:
            del self._breakers[endpoint]
