"""What the sources of finished requests have in common: their entry, what they decide by, and how an event is built.

``attribution`` knows which refusals are exceeded limits, and which plugins run on a request. The catalogue imports
these sources and Kong waits for ``plugin-info``, which reads the catalogue: so they import at their heads only what
imports nothing but ``typing`` and ``re`` itself.
"""

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from kong_eventhooks_plugin.sources.requests.attribution import HEADERS_ALONE, Attribution

if TYPE_CHECKING:
    from kong_eventhooks_plugin.model.event import Event
    from kong_eventhooks_plugin.model.observation import LogObservation
    from kong_eventhooks_plugin.sources.entry import SourceEntry
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog


class RequestSettings(NamedTuple):
    """``approaching_percent`` of a limit is the threshold of ``rate-limit-approaching``."""

    approaching_percent: float


class RequestSource:
    """A ``LogSource`` with one event; a subclass sets ``entry`` and decides."""

    entry: ClassVar["SourceEntry"]

    def __init__(self, attribution: Attribution = HEADERS_ALONE) -> None:
        self._attribution = attribution

    @classmethod
    def build(cls, attribution: Attribution, _: RequestSettings) -> Self:
        return cls(attribution)

    @property
    def name(self) -> str:
        return self.entry.name

    def statuses(self) -> frozenset[int]:
        raise NotImplementedError

    def events(self, log: "KongLog", seen: "LogObservation") -> "list[Event]":
        raise NotImplementedError

    def event(self, log: "KongLog", seen_at: float, own: dict[str, Any], *parts: str) -> "Event":
        """Build the event from the source's ``own`` fields and those that many share, in the entry's order.

        ``parts`` distinguish it from others of the same source and request.
        """
        from kong_eventhooks_plugin.sources.requests.request_event import request_event

        return request_event(self.entry, log, seen_at, own, *parts)
