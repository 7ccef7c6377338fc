"""The source ``auth``: Kong turned a client away with 401 or 403. Ours alone.

Kong itself answers neither: it was a plugin, before the service was asked. Where the node's plugins are known, the
event names those that can have answered so, and where none but one with another purpose can (request-termination,
rate-limiting with such an ``error_code``), it is no event. Nor is what ``attribution`` takes for an exceeded rate
limit.

Limits: ``HEADER`` characters of ``www-authenticate``.
"""

from typing import TYPE_CHECKING, Final

from kong_eventhooks_plugin.sources.entry import EventEntry, EventField, SourceEntry
from kong_eventhooks_plugin.sources.requests import fields
from kong_eventhooks_plugin.sources.requests.rate_headers import texts
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource

if TYPE_CHECKING:
    from kong_eventhooks_plugin.model.event import Event
    from kong_eventhooks_plugin.model.observation import LogObservation
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

HEADER: Final = 256

_STATUSES: Final = frozenset((401, 403))

ENTRY = SourceEntry(
    "auth",
    "Kong turned a client away.",
    "0.1.0",
    (
        EventEntry(
            "failed",
            "Kong itself answered 401 or 403, without asking the service.",
            (
                EventField("status", "401 or 403.", 401),
                fields.CONSUMER._replace(example={}),
                fields.IP,
                fields.SERVICE,
                fields.ROUTE,
                fields.REQUEST,
                fields.NODE,
                EventField(
                    "plugins",
                    "The plugins on the request that can have answered so, in alphabetical order: those of Kong for "
                    "authentication and access, and others that can answer with anything. null where the plugins are "
                    "unknown (no `admin_url`).",
                    ["key-auth"],
                ),
                EventField(
                    "www_authenticate",
                    "The answer's `www-authenticate` header, which names the scheme and the realm; at most 256 "
                    "characters. null where there is none.",
                    'Key realm="demo"',
                ),
            ),
            ("status", *fields.CLIENT_AND_SERVICE),
        ),
    ),
    notes=(
        (
            "A service's own 401 or 403 is no event. Nor is an exceeded rate limit, or an answer that, of the plugins "
            "on the request, only one with another purpose can have given (request-termination with `status_code: "
            "403`)."
        ),
        "Clients cause these events at will: give the hook an `on_change` and a `snooze`.",
    ),
)


class AuthFailed(RequestSource):
    entry = ENTRY

    def statuses(self) -> frozenset[int]:
        return _STATUSES

    def events(self, log: "KongLog", seen: "LogObservation") -> "list[Event]":
        if seen.status not in _STATUSES or log.source != "kong" or log.asked_service:
            return []
        if self._attribution.is_exceeded_limit(log, seen.status):
            return []
        known = self._attribution.active_plugins(log)
        able = [each for each in known or () if each.can_answer_silently(seen.status, asked=False)]
        plugins = sorted({each.plugin for each in able if each.meaning in ("auth", "unknown")})
        if able and not plugins:
            return []
        challenges = texts(log.response.headers.get("www-authenticate"))
        own = {
            "status": seen.status,
            "plugins": None if known is None else plugins,
            "www_authenticate": challenges[0][:HEADER] if challenges else None,
        }
        return [self.event(log, seen, own)]
