"""What the sources of broken rate limits have in common: ``attribution`` decides whose a refusal is."""

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.observation import LogObservation
from kong_eventhooks_plugin.sources.requests.attribution import HEADERS_ALONE, Attribution, LimitVerdict
from kong_eventhooks_plugin.sources.requests.exceeded import rate_limit_exceeded
from kong_eventhooks_plugin.sources.requests.kong_log import KongLog


class LimitSource:
    """A ``LogSource`` of one plugin."""

    name: str

    def __init__(self, attribution: Attribution = HEADERS_ALONE) -> None:
        self._attribution = attribution

    def statuses(self) -> frozenset[int]:
        """Return 429, and what its plugin is configured to answer with or a rule names; it changes with the plugins."""
        return self._attribution.statuses(self.name)

    def events(self, log: KongLog, seen: LogObservation) -> list[Event]:
        """Return the event, or nothing."""
        verdict = self._attribution.verdict(log, seen.status)
        if verdict is None or verdict.source != self.name:
            return []
        return [self.event(log, verdict, seen.seen_at)]

    def event(self, log: KongLog, verdict: LimitVerdict, seen_at: float) -> Event:
        """Build the event."""
        return rate_limit_exceeded(log, verdict, seen_at)
