"""The catalogue's example events, as events: what dry runs, tests of hooks, the docs and the console show."""

import uuid
from typing import Any, Final

from msgspec.structs import replace

from kong_eventhooks_plugin.errors import UnknownSource
from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.catalogue import (
    BY_NAME,
    CUSTOM,
    REQUEST_SOURCES,
    entry_of,
    events_of,
    unique_fields,
)
from kong_eventhooks_plugin.sources.requests.request_event import COMPARED

CUSTOM_EVENT: Final = "example"
CUSTOM_DATA: Final[dict[str, Any]] = {"message": "an event of your own"}

_REQUEST_SOURCES: Final = frozenset(source.entry.name for source in REQUEST_SOURCES)


def example_name(source: str) -> str:
    """Return which event stands for a source where a hook names none."""
    entry = BY_NAME.get(source)
    if entry is None or source == CUSTOM:
        return CUSTOM_EVENT
    return entry.example or next(iter(events_of(source)), CUSTOM_EVENT)


def example_event(source: str, name: str | None, now: float) -> Event:
    """Return an event's example; ``name`` None: the source's. Raises ``UnknownSource``."""
    name = name or example_name(source)
    if source != CUSTOM and entry_of(source, name) is None:
        raise UnknownSource(f"source '{source[:100]}' has no event '{name[:100]}'")
    return event_with(source, name, example_data(source, name), now)


def example_data(source: str, name: str) -> dict[str, Any]:
    """Return the data of an event's example; of one that the catalogue has not, ``CUSTOM_DATA``."""
    entry = entry_of(source, name)
    return CUSTOM_DATA if entry is None else entry.example()


def event_with(source: str, name: str, data: dict[str, Any], now: float) -> Event:
    """Return an event of the source with that data."""
    unique = unique_fields(source, name)
    return comparable(Event(id=str(uuid.uuid4()), source=source, event=name, data=data, time=now, unique=unique))


def comparable(event: Event) -> Event:
    """Return an event that was recorded, or made up, with what on_change compares of it, which is not stored."""
    if event.source not in _REQUEST_SOURCES:
        return event
    try:
        return replace(event, compared=COMPARED)
    except (AttributeError, TypeError):  # an event that is made up need not have an entity's fields
        return event
