"""The source ``rate-limit-approaching``: a request was let through, and little of a limit is left. Ours alone.

It is read from what rate-limiting and rate-limiting-advanced write on each answer. Kong writes over a service's own
headers of these names; where neither plugin is in force, a service's are taken for Kong's unless the node's plugins are
known. An event for each window that has reached the threshold, for each request: a hook wants ``snooze``.

Limits: ``WINDOWS`` of an answer are told, the fullest; a service could send any number of such headers.
"""

from collections.abc import Collection
from math import floor
from typing import Final

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.requests.active_plugins import (
    NO_ACTIVE_PLUGINS,
    ActivePluginLookup,
    active_plugins_on,
)
from kong_eventhooks_plugin.sources.requests.catalogue import RATE_LIMIT_APPROACHING as ENTRY
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog
from kong_eventhooks_plugin.sources.requests.plugin_answers import (
    RATE_LIMITING,
    RATE_LIMITING_ADVANCED,
    SERVICE_PROTECTION,
)
from kong_eventhooks_plugin.sources.requests.rate_headers import RemainingLimit, by_enterprise, windows_left
from kong_eventhooks_plugin.sources.requests.request_event import (
    client_and_service,
    event_kind,
    request_event,
    route_and_request,
)

PERCENT: Final = 80.0
WINDOWS: Final = 6

_EVENT = event_kind(ENTRY)
_STATUSES: Final = frozenset(range(200, 500))
_WRITERS: Final = frozenset((RATE_LIMITING, RATE_LIMITING_ADVANCED, SERVICE_PROTECTION))


class RateLimitApproaching:
    """Hears every request that ended with 200 to 499. ``percent`` of a limit is the threshold."""

    name = ENTRY.name

    def __init__(self, percent: float = PERCENT, plugins: ActivePluginLookup = NO_ACTIVE_PLUGINS) -> None:
        self._percent = percent
        self._plugins = plugins

    def statuses(self) -> frozenset[int]:
        """Return 200 to 499."""
        return _STATUSES

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        """Return an event for each window that has reached the threshold; none where Kong refused."""
        near = [left for left in windows_left(log) if _used(left) * 100 >= self._percent * left.limit]
        if not near or by_enterprise(log) is not None or not self._writes(log):
            return []
        return [_event(log, left, seen.seen_at) for left in _fullest(near)]

    def _writes(self, log: KongLog) -> bool:
        known = active_plugins_on(log, self._plugins)
        return known is None or any(each.plugin in _WRITERS and each.shows_before for each in known)


def _used(left: RemainingLimit) -> int | float:
    return max(left.limit - left.remaining, 0)


def _fullest(near: Collection[RemainingLimit]) -> list[RemainingLimit]:
    return sorted(near, key=lambda left: left.remaining / left.limit)[:WINDOWS]


def _event(log: KongLog, left: RemainingLimit, seen_at: float) -> Event:
    used = _used(left)
    data = {
        **client_and_service(log),
        "used": used,
        "limit": left.limit,
        "remaining": left.remaining,
        "window": left.window,
        "percent": floor(used * 100 / left.limit),
        **route_and_request(log),
    }
    return request_event(_EVENT, log, seen_at, data, left.window)
