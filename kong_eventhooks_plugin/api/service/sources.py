"""The use case of ``/event-hooks/sources``: which events there are to hook on, in Kong Enterprise's three levels."""

from typing import Any

from kong_eventhooks_plugin.errors import UnknownSource
from kong_eventhooks_plugin.sources.catalogue import BY_NAME
from kong_eventhooks_plugin.sources.entry import EventEntry

Described = dict[str, Any]


def all_sources() -> dict[str, dict[str, Described]]:
    """Return source -> event -> what is known of it."""
    return {name: events_of_source(name) for name in BY_NAME}


def events_of_source(source: str) -> dict[str, Described]:
    """Return event -> what is known of it; raises ``UnknownSource``."""
    if source not in BY_NAME:
        raise UnknownSource(f"no source is called '{source[:100]}'")
    return {event.name: _described(event) for event in BY_NAME[source].events}


def event_of_source(source: str, event: str) -> Described:
    """Return what is known of one event; raises ``UnknownSource``."""
    events = events_of_source(source)
    if event not in events:
        raise UnknownSource(f"source '{source}' has no event '{event[:100]}'")
    return events[event]


def _described(event: EventEntry) -> Described:
    """Return fields, the unique ones where there are, and a text: the keys that Enterprise gives."""
    described: Described = {"fields": [field.name for field in event.fields], "description": event.description}
    if event.unique:
        described["unique"] = list(event.unique)
    return described
