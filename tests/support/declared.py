"""Whether an event is what the catalogue, and so docs/sources.md, says of it."""

from collections.abc import Iterator
from typing import Any

from kong_eventhooks_plugin.model.event import Event
from kong_eventhooks_plugin.sources.catalogue import entry_of
from kong_eventhooks_plugin.sources.entry import Kind


def undeclared(event: Event) -> list[str]:
    """What differs: a field missing, too many or out of order, a value of another kind, an unannounced null."""
    entry = entry_of(event.source, event.event)
    assert entry is not None, (event.source, event.event)
    names = [field.name for field in entry.fields]
    if list(event.data) != names:
        return [f"{list(event.data)} are not {names}"]
    return [
        f"{event.source} {event.event}: {wrong}"
        for field in entry.fields
        for wrong in (
            [f"{field.name} is null, which its description does not say"]
            if event.data[field.name] is None and "null" not in field.description
            else misfits(event.data[field.name], field.type(), field.name)
        )
    ]


def misfits(value: Any, kind: Kind, name: str) -> Iterator[str]:
    """What in a value is not of its kind."""
    if kind == "any" or value is None:
        return
    if isinstance(kind, list) and isinstance(value, list | tuple):
        for each in value:
            yield from misfits(each, kind[0], f"{name}[]")
    elif isinstance(kind, dict) and isinstance(value, dict):
        for key, each in value.items():
            if key in kind or "..." not in kind:
                yield from misfits(each, kind.get(key, "absent"), f"{name}.{key}")
    elif kind not in _KINDS or type(value) not in _KINDS[kind]:
        yield f"{name} is {value!r}, not {kind}"


_KINDS = {"text": (str,), "number": (int, float), "boolean": (bool,)}
