"""What the sources of finished requests have in common: their entry, what they decide by, and how an event is built.

``attribution`` knows which refusals are exceeded limits, and which plugins run on a request. The catalogue imports
these sources and Kong waits for ``plugin-info``, which reads the catalogue: so they import at their heads only what
imports nothing but ``typing`` and ``re`` itself.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from kong_eventhooks_plugin.sources.requests.attribution import HEADERS_ALONE, Attribution

if TYPE_CHECKING:
    from kong_eventhooks_plugin.model.event import Event
    from kong_eventhooks_plugin.model.observation import LogObservation
    from kong_eventhooks_plugin.sources.entry import SourceEntry
    from kong_eventhooks_plugin.sources.requests.kong_log import KongLog


class RequestSource:
    """A source with one event; a subclass sets ``entry`` and decides. Pure: no I/O, and each request by itself.

    ``percent`` of a limit is the threshold of ``rate-limit-approaching``.
    """

    entry: ClassVar["SourceEntry"]

    def __init__(self, attribution: Attribution = HEADERS_ALONE, percent: float = 100.0) -> None:
        from kong_eventhooks_plugin.sources.requests.request_event import RequestEvents

        self._attribution = attribution
        self._percent = percent
        self._events = RequestEvents(self.entry)

    @property
    def name(self) -> str:
        return self.entry.name

    def statuses(self) -> frozenset[int]:
        """Return the statuses that can be events: Kong is asked for no other request's log."""
        raise NotImplementedError

    def events(self, log: "KongLog", seen: "LogObservation") -> "list[Event]":
        """Return what happened, most often nothing. May raise: it is counted, and other sources still run."""
        raise NotImplementedError

    def event(self, log: "KongLog", seen: "LogObservation", own: Mapping[str, Any], *parts: str) -> "Event":
        """Build the event from the source's ``own`` fields and those that many share, in the entry's order.

        ``parts`` distinguish it from others of the same source and request.
        """
        return self._events.build(log, seen, own, *parts)
