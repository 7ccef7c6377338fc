"""Which hooks match an event: pure, and one look-up for an event that none matches.

A hook matches an event where its source includes the event's (``rate-limiting-advanced`` includes two others), where it
names the event or none, and where its scope covers the entities of the request. An event that repeats another one of
its source (``consumers:create`` beside ``consumers``) matches only hooks that name it. A disabled hook matches as well,
so that what it misses is counted and can be listed.

Limit: of ``REMEMBERED`` events it is remembered which hooks name them or none; past it all are forgotten.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec.structs import replace

from kong_eventhooks_plugin.dispatch.digest import digest
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.model.hook import Hook
from kong_eventhooks_plugin.model.scope import GLOBAL, HookScope
from kong_eventhooks_plugin.model.suppression import SuppressionRule
from kong_eventhooks_plugin.queue.contract import Candidate
from kong_eventhooks_plugin.sources.catalogue import is_named_only, matching_sources

REMEMBERED: Final = 1_024


class _Subscriber(NamedTuple):
    """A hook, ready to be matched. ``scope`` is None where it is global."""

    scope: HookScope | None
    candidate: Candidate


class _Subscribers(NamedTuple):
    """Of an event. ``always``: all of them, where that needs neither its scope nor its digest."""

    all: list[_Subscriber]
    suppressing: bool
    always: tuple[Candidate, ...] | None


_NOBODY: Final = _Subscribers([], suppressing=False, always=())


class Matcher:
    """An index of hooks; made anew when hooks change.

    ``enabled`` has the pairs of source and event (None: every event) that enabled hooks match, ``filters`` the filters
    of enabled hooks by hook id.
    """

    def __init__(self, hooks: Iterable[Hook]) -> None:
        self._subscribers: dict[tuple[str, str | None], list[_Subscriber]] = {}
        self._by_event: dict[tuple[str, str], _Subscribers] = {}
        self.enabled: set[tuple[str, str | None]] = set()
        self.filters: dict[str, str] = {}
        for hook in hooks:
            if hook.enabled and hook.filter is not None:
                self.filters[hook.id] = hook.filter
            subscriber = _Subscriber(None if hook.scope == GLOBAL else hook.scope, _candidate(hook))
            for source in matching_sources(hook.source):
                self._subscribers.setdefault((source, hook.event), []).append(subscriber)
                if hook.enabled:
                    self.enabled.add((source, hook.event))

    def has_subscribers(self, source: str, events: Iterable[str]) -> bool:
        """Return whether an enabled hook matches one of the source's events."""
        return (source, None) in self.enabled or any((source, event) in self.enabled for event in events)

    def match(self, event: Event) -> tuple[Candidate, ...]:
        """Return the hooks that match, with the event's digest where a hook suppresses by it."""
        subscribers, suppressing, always = self._subscribers_of(event.source, event.event)
        if always is not None:
            return always
        scope = event.scope
        found = tuple([one for where, one in subscribers if where is None or where.covers(scope)])
        if not suppressing or all(one.rule is None for one in found):
            return found
        data_digest = digest(event)
        return tuple(one if one.rule is None else replace(one, digest=data_digest) for one in found)

    def _subscribers_of(self, source: str, event: str) -> _Subscribers:
        """Return the hooks that name the event or none."""
        known = self._by_event.get((source, event))
        if known is not None:
            return known
        named = self._subscribers.get((source, event), [])
        every = [] if is_named_only(source, event) else self._subscribers.get((source, None), [])
        both = [*named, *every]
        if not both:  # who publishes names events as it likes; hooks name few
            return _NOBODY
        suppressing = any(one.candidate.rule is not None for one in both)
        everywhere = not suppressing and all(one.scope is None for one in both)
        found = _Subscribers(both, suppressing, tuple([one.candidate for one in both]) if everywhere else None)
        if len(self._by_event) >= REMEMBERED:
            self._by_event.clear()
        self._by_event[source, event] = found
        return found


def fires_for(hook: Hook, source: str, event: str) -> bool:
    """Return whether a hook matches an event of a source, on whatever entities."""
    if source not in matching_sources(hook.source):
        return False
    return hook.event == event or (hook.event is None and not is_named_only(source, event))


def _candidate(hook: Hook) -> Candidate:
    if not hook.enabled:
        return Candidate(hook.id, hook.source, refused="disabled")
    rule = SuppressionRule(hook.on_change, hook.snooze) if hook.on_change or hook.snooze else None
    return Candidate(hook.id, hook.source, rule)
