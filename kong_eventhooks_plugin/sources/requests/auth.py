"""The source ``auth``: Kong turned a client away with 401 or 403. Ours alone.

Kong itself answers neither: it was a plugin, before the service was asked. Where the plugins in force are known, the
event names those that can have answered so, and where none but one with another purpose can (request-termination,
rate-limiting with such an ``error_code``), it is no event. Nor is what ``attribution`` takes for a broken rate limit.

Limits: ``HEADER`` characters of ``www-authenticate``.
"""

from typing import Final

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.requests.attribution import HEADERS_ALONE, Attribution
from kong_eventhooks_plugin.sources.requests.catalogue import AUTH as ENTRY
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog
from kong_eventhooks_plugin.sources.requests.rate_headers import text
from kong_eventhooks_plugin.sources.requests.request_event import (
    client_and_service,
    event_kind,
    request_event,
    route_and_request,
)

HEADER: Final = 256

_EVENT = event_kind(ENTRY)
_STATUSES: Final = frozenset((401, 403))


class AuthFailed:
    """Hears 401 and 403. ``attribution`` is that of the rate limits' sources."""

    name = ENTRY.name

    def __init__(self, attribution: Attribution = HEADERS_ALONE) -> None:
        self._attribution = attribution

    def statuses(self) -> frozenset[int]:
        """Return 401 and 403."""
        return _STATUSES

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        """Return the event, or nothing."""
        if seen.status not in _STATUSES or log.source != "kong" or log.asked_service:
            return []
        if self._attribution.is_exceeded_limit(log, seen.status):
            return []
        known = self._attribution.active_plugins(log)
        able = [each for each in known or () if each.can_answer_silently(seen.status, asked=False)]
        plugins = sorted({each.plugin for each in able if each.meaning in ("auth", "unknown")})
        if able and not plugins:
            return []
        challenge = text(log.response.headers.get("www-authenticate"))
        data = {
            "status": seen.status,
            **client_and_service(log),
            **route_and_request(log),
            "plugins": None if known is None else plugins,
            "www_authenticate": None if challenge is None else challenge[:HEADER],
        }
        return [request_event(_EVENT, log, seen.seen_at, data)]
