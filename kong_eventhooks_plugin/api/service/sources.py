"""The use case of ``/event-hooks/sources``: the events that hooks can name, in Kong Enterprise's three levels."""

from msgspec import UNSET

from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.errors import UnknownSource
from kong_eventhooks_plugin.sources.catalogue import BY_NAME
from kong_eventhooks_plugin.sources.entry import EventEntry


def all_sources() -> dict[str, views.Events]:
    return {name: events_of_source(name) for name in BY_NAME}


def events_of_source(source: str) -> views.Events:
    """May raise ``UnknownSource``."""
    if source not in BY_NAME:
        raise UnknownSource(f"no source is called '{source[:100]}'")
    return {event.name: _description(event) for event in BY_NAME[source].events}


def event_of_source(source: str, event: str) -> views.EventDescriptionView:
    """May raise ``UnknownSource``."""
    events = events_of_source(source)
    if event not in events:
        raise UnknownSource(f"source '{source}' has no event '{event[:100]}'")
    return events[event]


def _description(event: EventEntry) -> views.EventDescriptionView:
    return views.EventDescriptionView(
        fields=[field.name for field in event.fields],
        description=event.description,
        unique=list(event.unique) if event.unique else UNSET,
    )
