"""A source: it turns what a Kong phase saw into events."""

from typing import Protocol

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog


class LogSource(Protocol):
    """A source of the log phase. Pure: no I/O, and no request changes what comes of another."""

    @property
    def name(self) -> str:
        """The source's name in the catalogue; its events carry it."""

    def statuses(self) -> frozenset[int]:
        """Return the statuses that can be events: Kong is asked for no other request's log."""

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        """Return what happened, most often nothing. May raise: it is counted, and other sources still run."""
