"""The types of the fields that a hook's filter may read, from the catalogue (``sources.entry.Kind``)."""

from collections.abc import Mapping
from functools import lru_cache

from kong_eventhooks_plugin.sources.catalogue import (
    entry_of,
    events_of,
    is_named_only,
    matching_sources,
    patterns_of,
)
from kong_eventhooks_plugin.sources.entry import EventEntry, Kind


@lru_cache(256)
def field_types(source: str, event: str | None) -> Mapping[str, Kind] | None:
    """Return the types of the fields of every event that a hook receives; None where nothing is known of them.

    A field that only some events have is there; one that has several types may be anything.
    """
    entries: list[EventEntry] = []
    for each in matching_sources(source):
        names = (event,) if event is not None else _received(each)
        found = [entry_of(each, name) for name in names]
        if event is None and not found:
            return None
        entries += [entry for entry in found if entry is not None]
    if not entries:
        return None
    merged: dict[str, Kind] = {}
    for entry in entries:
        for field in entry.fields:
            kind = field.type()
            merged[field.name] = kind if merged.get(field.name, kind) == kind else "any"
    return merged


def _received(source: str) -> tuple[str, ...]:
    """Return the events that reach a hook without ``event``; of those that a pattern stands for one is enough."""
    names = tuple(name for name in events_of(source) if not is_named_only(source, name))
    return names[:1] if patterns_of(source) else names
