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
from typing import TYPE_CHECKING, Any, Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry
from kong_eventhooks_plugin.sources.requests import fields
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource

if TYPE_CHECKING:
    from kong_eventhooks_plugin.model.event import Event
    from kong_eventhooks_plugin.model.observation import LogObservation
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog, Try

TRIES: Final = 16
STATUS: Final = 256

_STATUSES: Final = frozenset((502, 503, 504))
_LAST: Final = re.compile(r"([0-9]{3})[^0-9]*$")
"""The status of the last try that has one: ``502, 504``, or ``502, 502 : `` where no target remained."""

ENTRY = SourceEntry(
    "upstream",
    "Kong could not get an answer from a service.",
    "0.1.0",
    (
        EventEntry(
            "error",
            "Kong itself answered 502, 503 or 504: the service refused the connection, broke it off or took too "
            "long, or there was no target to ask.",
            (
                EventField("status", "The client's status: 502, 503 or 504.", 502),
                fields.SERVICE,
                EventField(
                    "upstream_status",
                    "The status of each try, as Kong's log has it (`502, 502`; at most 256 characters). null without "
                    "a try, and where Kong buffered the answer.",
                    "502, 502",
                ),
                EventField(
                    "tries",
                    "The tries, oldest first, at most 16: `ip`, `port`, `balancer_latency` (milliseconds), `state` "
                    "and `code` (null where it did not fail). Empty where no target was found: none is configured "
                    "or healthy, or the name did not resolve.",
                    [{"ip": "127.0.0.1", "port": 9190, "balancer_latency": 0, "state": "failed", "code": 502}] * 2,
                ),
                EventField("try_count", "The number of tries.", 2),
                fields.CONSUMER,
                fields.IP,
                fields.ROUTE,
                fields.REQUEST,
                fields.NODE,
            ),
            ("status", "service"),
        ),
    ),
    notes=(
        (
            "A service's own 502, 503 or 504 is no event, nor is one that a plugin put in the place of the "
            "service's answer, nor one on a route without a service. An answer without any try is no event where it "
            "is an exceeded rate limit, or where a plugin on the request is configured to answer so "
            "(request-termination, whose `status_code` is 503 by default): that needs the setting `admin_url`."
        ),
    ),
)


class UpstreamError(RequestSource):
    entry = ENTRY

    def statuses(self) -> frozenset[int]:
        return _STATUSES

    def events(self, log: "KongLog", seen: "LogObservation") -> "list[Event]":
        if seen.status not in _STATUSES or log.source != "kong" or log.service is None or _service_answered(log):
            return []
        tries = log.attempts()
        if not tries and not log.upstream_status and self._is_from_a_plugin(log, seen.status):
            return []
        own = {
            "status": seen.status,
            "upstream_status": str(log.upstream_status)[:STATUS] if log.upstream_status else None,
            "tries": [_attempt_data(each) for each in tries[:TRIES]],
            "try_count": len(tries),
        }
        return [self.event(log, seen, own)]

    def _is_from_a_plugin(self, log: "KongLog", status: int) -> bool:
        """Return whether a plugin, not a service, can have made Kong answer so without a try."""
        if self._attribution.is_exceeded_limit(log, status):
            return True
        known = self._attribution.active_plugins(log) or ()
        return any(each.meaning != "unknown" and each.can_answer_silently(status, asked=False) for each in known)


def _service_answered(log: "KongLog") -> bool:
    """Return whether the last try got an answer; nginx writes 502 and 504 where it got none."""
    last = _LAST.search(str(log.upstream_status or ""))
    return last is not None and int(last[1]) not in _STATUSES


def _attempt_data(each: "Try") -> dict[str, Any]:
    return {name: getattr(each, name) for name in each.__struct_fields__}
