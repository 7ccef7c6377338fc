"""What the sources of exceeded rate limits have in common: ``attribution`` decides which plugin refused."""

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from kong_eventhooks_plugin.sources.entry import EventEntry
from kong_eventhooks_plugin.sources.requests import fields
from kong_eventhooks_plugin.sources.requests.rate_headers import ExceededLimit
from kong_eventhooks_plugin.sources.requests.request_source import RequestSource

if TYPE_CHECKING:
    from kong_eventhooks_plugin.model.event import Event
    from kong_eventhooks_plugin.model.observation import LogObservation
    from kong_eventhooks_plugin.sources.requests.attribution import LimitVerdict
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog

_UNKNOWN: Final = ExceededLimit(None, None)


class LimitSource(RequestSource):
    """The source of one plugin, named after it."""

    def statuses(self) -> frozenset[int]:
        """Return 429, and what its plugin is configured to answer with or a rule names; it changes with the plugins."""
        return self._attribution.statuses(self.name)

    def events(self, log: "KongLog", seen: "LogObservation") -> "list[Event]":
        verdict = self._attribution.verdict(log, seen.status)
        if verdict is None or verdict.source != self.name:
            return []
        return [self.event(log, seen, self.values(log, verdict))]

    def values(self, log: "KongLog", verdict: "LimitVerdict") -> Mapping[str, Any]:
        """Return the fields that are about the limit, of any plugin."""
        return _values(verdict)


@lru_cache(maxsize=256)
def _values(verdict: "LimitVerdict") -> Mapping[str, Any]:
    exceeded = verdict.exceeded or _UNKNOWN
    return {
        "rate": exceeded.rate,
        "limit": exceeded.limit,
        "window": exceeded.window,
        "retry_after": exceeded.retry_after,
        "limit_name": exceeded.name,
        "attributed": verdict.attributed,
    }


def exceeded_event(description: str, api_description: str | None = None) -> EventEntry:
    """Return the entry of the open-source plugins' event, and of rate-limiting-advanced's."""
    return EventEntry(
        fields.RATE_LIMIT_EXCEEDED,
        description,
        (
            fields.CONSUMER, fields.IP, fields.SERVICE, fields.RATE, fields.LIMIT, fields.WINDOW, fields.ROUTE,
            fields.REQUEST, fields.NODE, fields.RETRY_AFTER, fields.LIMIT_NAME, fields.ATTRIBUTED,
        ),
        fields.CLIENT_AND_SERVICE,
        api_description,
    )  # fmt: skip
