"""Which hooks hear an event: pure, and one look-up for an event that none does.

A hook hears an event where its source tells of the event's source (``rate-limiting-advanced`` tells of two
others), where it names the event or none, and where its scope covers the entities of the request. A hook that is
switched off matches as well, so that what it misses is counted and can be listed.
"""

from collections.abc import Iterable
from typing import NamedTuple

from kong_eventhooks_plugin.dispatch.digest import digest
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.scope import GLOBAL, HookScope
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate
from kong_eventhooks_plugin.sources.catalogue import matching_sources


class _Subscriber(NamedTuple):
    """A hook, ready to be matched. ``scope`` is None where it is global."""

    scope: HookScope | None
    candidate: Candidate


class Matcher:
    """An index of hooks; made anew when hooks change.

    ``enabled`` has the pairs of source and event (None: every event) that some hook which is not switched off hears.
    ``filters`` has the filter of each hook that is not switched off and has one, by its id.
    """

    def __init__(self, hooks: Iterable[Hook]) -> None:
        self._listeners: dict[tuple[str, str | None], list[_Subscriber]] = {}
        self.enabled: set[tuple[str, str | None]] = set()
        self.filters: dict[str, str] = {}
        for hook in hooks:
            if hook.enabled and hook.filter is not None:
                self.filters[hook.id] = hook.filter
            listener = _Subscriber(None if hook.scope == GLOBAL else hook.scope, _candidate(hook))
            for source in matching_sources(hook.source):
                self._listeners.setdefault((source, hook.event), []).append(listener)
                if hook.enabled:
                    self.enabled.add((source, hook.event))

    def has_subscribers(self, source: str, events: Iterable[str]) -> bool:
        """Tell whether a hook that is not switched off hears one of the source's events."""
        return (source, None) in self.enabled or any((source, event) in self.enabled for event in events)

    def match(self, event: Event) -> tuple[Candidate, ...]:
        """Return the hooks that hear the event, with the digest where a hook filters by it."""
        found = self._matching(event)
        if not any(candidate.rule is not None for candidate in found):
            return tuple(found)
        told = digest(event)
        return tuple(_with_digest(candidate, told) for candidate in found)

    def _matching(self, event: Event) -> list[Candidate]:
        named = self._listeners.get((event.source, event.event), ())
        every = self._listeners.get((event.source, None), ())
        scope = event.scope
        return [
            listener.candidate
            for listeners in (named, every)
            for listener in listeners
            if listener.scope is None or listener.scope.covers(scope)
        ]


def _candidate(hook: Hook) -> Candidate:
    if not hook.enabled:
        return Candidate(hook.id, hook.source, refused="disabled")
    rule = SuppressionRule(hook.on_change, hook.snooze) if hook.on_change or hook.snooze else None
    return Candidate(hook.id, hook.source, rule)


def _with_digest(candidate: Candidate, told: bytes) -> Candidate:
    if candidate.rule is None:
        return candidate
    return Candidate(candidate.hook_id, candidate.source, candidate.rule, told)
