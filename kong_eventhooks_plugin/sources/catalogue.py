"""Every source of events and what it tells: one piece of data, read by validation, the docs and the API.

What is here is checked by ``kong-event-hooks plugin-info``, which Kong runs at its start and waits for, so
this module imports nothing but ``typing`` and ``re``. ``sources/document.py`` writes docs/sources.md from it.

Fields, events and ``unique`` are those of Kong Enterprise's event hooks where it has the source; the fields that we
add come last.
"""

import re
from collections.abc import Mapping

from kong_eventhooks_plugin.sources.balancer import catalogue as balancer_catalogue
from kong_eventhooks_plugin.sources.certificates import catalogue as certificates_catalogue
from kong_eventhooks_plugin.sources.changes import catalogue as changes_catalogue
from kong_eventhooks_plugin.sources.entry import EventEntry, SourceEntry
from kong_eventhooks_plugin.sources.reachability import catalogue as reachability_catalogue
from kong_eventhooks_plugin.sources.requests import catalogue as requests_catalogue
from kong_eventhooks_plugin.sources.requests import limits_catalogue
from kong_eventhooks_plugin.sources.requests.limits_catalogue import RATE_LIMIT_EXCEEDED

__all__ = [
    "BY_NAME",
    "CUSTOM",
    "RATE_LIMIT_EXCEEDED",
    "SOURCES",
    "entry_of",
    "events_of",
    "matching_sources",
    "patterns_of",
    "unique_fields",
]

CUSTOM = "custom"
"""The source of events that somebody publishes through our API; who publishes names them."""

_ANY_EVENT = (
    "Whoever publishes names the event and gives its fields (docs/api.md), so a hook may name any event here, or none "
    "to hear them all."
)

_CUSTOM_SOURCE = SourceEntry(
    CUSTOM, "Something that you publish yourself, through the API.", "0.1.0", (CUSTOM,), (), notes=(_ANY_EVENT,)
)

SOURCES: tuple[SourceEntry, ...] = (
    *changes_catalogue.SOURCES,
    *limits_catalogue.SOURCES,
    *requests_catalogue.SOURCES,
    *balancer_catalogue.SOURCES,
    *certificates_catalogue.SOURCES,
    *reachability_catalogue.SOURCES,
    _CUSTOM_SOURCE,
)

BY_NAME: Mapping[str, SourceEntry] = {source.name: source for source in SOURCES}


def events_of(source: str) -> tuple[str, ...]:
    """Return the names of the source's events; empty where it takes any, or is not known."""
    entry = BY_NAME.get(source)
    return tuple(event.name for event in entry.events) if entry else ()


def patterns_of(source: str) -> tuple[tuple[str, str], ...]:
    """Return what other events the source has, as (name for people, regular expression)."""
    entry = BY_NAME.get(source)
    return tuple((family.shown, family.pattern) for family in entry.families) if entry else ()


def entry_of(source: str, event: str) -> EventEntry | None:
    """Return what is said of an event, of a family's member what is said of the family; None where it is not known."""
    entry = BY_NAME.get(source)
    if entry is None:
        return None
    listed = next((each for each in entry.events if each.name == event), None)
    if listed is not None:
        return listed
    return next((each.entry for each in entry.families if re.fullmatch(each.pattern, event)), None)


def matching_sources(source: str) -> tuple[str, ...]:
    """Return the sources whose events a hook on ``source`` hears; an unknown one hears itself."""
    entry = BY_NAME.get(source)
    return entry.matches if entry else (source,)


def unique_fields(source: str, event: str) -> tuple[str, ...]:
    """Return the fields of the event that on_change looks at; empty (all of them) where it is not known."""
    entry = entry_of(source, event)
    return entry.unique if entry else ()
