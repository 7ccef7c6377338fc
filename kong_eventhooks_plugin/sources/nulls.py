"""Events as handlers send them: a null field is absent, as Kong removes nulls from its own events before it posts them.

Events that somebody publishes stay as they are, and so does a null in a list. The queue keeps the nulls: filters can
compare them, and the digests of on_change stay what they were.
"""

from typing import Any, Final

from msgspec.structs import replace

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.catalogue import CUSTOM

_WHOLE: Final = frozenset({str, int, float, bool})
"""Most fields have one of these, and nothing in it."""


def without_nulls(event: Event) -> Event:
    """Return the event without null fields, at every depth; one that is too deep for that as it is."""
    if event.source == CUSTOM:
        return event
    try:
        return replace(event, data=present(event.data))
    except RecursionError:
        return event


def present(value: Any) -> Any:
    """Return a JSON value without the null fields of its objects."""
    if isinstance(value, dict):
        return {
            name: field if type(field) in _WHOLE else present(field)
            for name, field in value.items()
            if field is not None
        }
    return [present(each) for each in value] if isinstance(value, list | tuple) else value
