"""The source ``upstream``: Kong could not get an answer from a service and answered 502, 503 or 504. Ours alone.

Seen on Kong 3.9: a refused or broken connection is 502, one that takes too long 504; 503 is an upstream without a
target, without a healthy one or whose name does not resolve, and then there is no try at all, or a last one without an
address where the others were just found to be ill. Without a try it looks like a plugin's own 503
(request-termination's default): it is no event where a plugin in force is configured to answer so. One that can answer
with anything does not silence it. Where the service did answer and a plugin then put its own 503 in that answer's
place, it is no event either.

Limits: ``TRIES`` of an event, the oldest; ``STATUS`` characters of ``upstream_status``: a service can have 32,767
retries.
"""

import re
from typing import Any, Final

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.requests.attribution import HEADERS_ALONE, Attribution
from kong_eventhooks_plugin.sources.requests.catalogue import UPSTREAM as ENTRY
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog, Try
from kong_eventhooks_plugin.sources.requests.request_event import (
    consumer_of,
    event_kind,
    request_event,
    route_and_request,
    service_of,
)

TRIES: Final = 16
STATUS: Final = 256

_EVENT = event_kind(ENTRY)
_STATUSES: Final = frozenset((502, 503, 504))
_LAST: Final = re.compile(r"([0-9]{3})[^0-9]*$")
"""The status of the last try that there is one of: ``502, 504``, or ``502, 502 : `` where no target was left."""


class UpstreamError:
    """Hears 502, 503 and 504. ``attribution`` is that of the rate limits' sources."""

    name = ENTRY.name

    def __init__(self, attribution: Attribution = HEADERS_ALONE) -> None:
        self._attribution = attribution

    def statuses(self) -> frozenset[int]:
        """Return 502, 503 and 504."""
        return _STATUSES

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        """Return the event, or nothing."""
        if seen.status not in _STATUSES or log.source != "kong" or log.service is None or _service_answered(log):
            return []
        tries = log.attempts()
        if not tries and not log.upstream_status and self._is_a_plugins(log, seen.status):
            return []
        data = {
            "status": seen.status,
            "service": service_of(log),
            "upstream_status": str(log.upstream_status)[:STATUS] if log.upstream_status else None,
            "tries": [_attempt_data(each) for each in tries[:TRIES]],
            "try_count": len(tries),
            "consumer": consumer_of(log),
            "ip": log.client_ip,
            **route_and_request(log),
        }
        return [request_event(_EVENT, log, seen.seen_at, data)]

    def _is_a_plugins(self, log: KongLog, status: int) -> bool:
        """Tell whether a plugin, not a service, is what made Kong answer so without a try."""
        if self._attribution.is_exceeded_limit(log, status):
            return True
        known = self._attribution.active_plugins(log) or ()
        return any(each.meaning != "unknown" and each.can_answer_silently(status, asked=False) for each in known)


def _service_answered(log: KongLog) -> bool:
    """Tell whether the last try came to an answer; nginx writes 502 and 504 where it came to none."""
    last = _LAST.search(str(log.upstream_status or ""))
    return last is not None and int(last[1]) not in _STATUSES


def _attempt_data(each: Try) -> dict[str, Any]:
    return {
        "ip": each.ip,
        "port": each.port,
        "balancer_latency": each.balancer_latency,
        "state": each.state,
        "code": each.code,
    }
