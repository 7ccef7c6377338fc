"""The use case of ``/event-hooks/sources``: the events that hooks can name, in Kong Enterprise's three levels."""

from msgspec import UNSET

from kong_eventhooks_plugin.api.service import views
from kong_eventhooks_plugin.errors import UnknownSource
from kong_eventhooks_plugin.sources.catalogue import BY_NAME, entry_of, events_of
from kong_eventhooks_plugin.sources.entry import EventEntry
from kong_eventhooks_plugin.suggestions import did_you_mean


def all_sources() -> dict[str, views.Events]:
    return {name: events_of_source(name) for name in BY_NAME}


def events_of_source(source: str) -> views.Events:
    """May raise ``UnknownSource``."""
    if source not in BY_NAME:
        raise UnknownSource(f"no source is called '{source[:100]}'{did_you_mean(source, BY_NAME)}")
    return {event.name: _view(source, event) for event in BY_NAME[source].events}


def event_of_source(source: str, event: str) -> views.EventDescriptionView:
    """May raise ``UnknownSource``."""
    entry = entry_of(source, event)
    if entry is None:
        meant = did_you_mean(event, events_of(source))
        raise UnknownSource(f"source '{source[:100]}' has no event '{event[:100]}'{meant}")
    return _view(source, entry)


def _view(source: str, event: EventEntry) -> views.EventDescriptionView:
    return views.EventDescriptionView(
        fields=[field.name for field in event.fields],
        description=event.api_description or event.description,
        unique=list(event.unique) if event.unique else UNSET,
    )
