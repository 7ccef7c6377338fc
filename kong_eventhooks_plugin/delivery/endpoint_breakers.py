"""The breakers of all hooks' endpoints. Hooks that share scheme, host and port share a hold, not a breaker.

Limits: ``prune`` forgets a breaker that a new one would equal, so there are at most as many as hooks and endpoints
that were used within the breaker's window, or failed within ``breaker.UNUSED_SECONDS``.
"""

from kong_eventhooks_plugin.delivery.breaker import Breaker, Hold
from kong_eventhooks_plugin.delivery.limits import BreakerPolicy


class EndpointBreakers:
    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._holds: dict[str, Hold] = {}

    def breaker(self, hook_id: str, endpoint: str | None) -> Breaker | None:
        """Return the breaker of a hook's endpoint, None where a handler dials nothing."""
        if endpoint is None:
            return None
        breaker = self._breakers.get((hook_id, endpoint))
        if breaker is None:
            hold = self._holds.setdefault(endpoint, Hold())
            breaker = self._breakers[hook_id, endpoint] = Breaker(self._policy, hold)
        return breaker

    def prune(self, now: float) -> None:
        for key in [key for key, breaker in self._breakers.items() if breaker.forgettable(now)]:
            del self._breakers[key]
        used = {endpoint for _, endpoint in self._breakers}
        for endpoint in [endpoint for endpoint in self._holds if endpoint not in used]:
            del self._holds[endpoint]
