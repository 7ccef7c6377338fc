"""docs/sources.md, written from the catalogue: ``python -m kong_eventhooks_plugin.sources.document > docs/sources.md``.

A test compares the file with what this writes, and rate-limiting's example with a recorded request's event.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from kong_eventhooks_plugin.sources.catalogue import SOURCES
from kong_eventhooks_plugin.sources.entry import EventEntry, Kind, SourceEntry
from kong_eventhooks_plugin.sources.nulls import present

_Shown = dict[tuple[tuple[str, str, str], ...], str]
"""The fields that have a table, and whose they are."""

_HEAD = """# Sources and events

<!-- Written by `python -m kong_eventhooks_plugin.sources.document`; change the catalogue, not this file. -->

A hook names a `source` and, where it wants only one of them, an `event`. `webhook` sends the event's fields at the
top level of a JSON object, beside `source` and `event`, as the examples show. Later releases may add fields; a receiver
should ignore fields that it does not know.

A field that is null is absent from what a hook sends and from what its templates, its lambdas and its log line see, as
Kong removes nulls from its own events. A filter and `GET /events` have it as null. Events of `custom` stay as you
publish them.

The type of a field is what a filter is checked against: `text`, `number`, `boolean`, a list, an object. Of an object
the description names the fields. Nothing is known of `any`, so a filter may do with it whatever it likes. Any field can
be null. The examples are those of `kong-event-hooks try` and of the console.

`unique` names the fields that `on_change`, and `snooze` together with it, compare: two events with the same values
there are the same to the hook.

A state begins with one event and ends with another: `unreachable` and `recovered` of `gateway`, `expiring` and
`resolved` of `certificate`, `endpoint.disabled` and `endpoint.recovered` of `event-hooks`. `health` of `balancer` is
both, its `health` says which, and its `resolved` ends what is no longer seen. Each has `state` (`open` or `resolved`)
and `state_key`, by which a receiver finds the beginning that an end belongs to. A hook that names no `event` receives
both; one that names an event, or filters (`data.state == "resolved"`), only those.
"""


def document() -> str:
    """Return the whole page as Markdown."""
    return "\n".join([_HEAD, *_overview(), *_details()]) + "\n"


def _overview() -> Iterator[str]:
    yield "| source | events | since | what happened |"
    yield "|---|---|---|---|"
    for source in SOURCES:
        names = ", ".join(f"`{name}`" for name, _ in _shown(source)) or "-"
        yield f"| `{source.name}` | {names} | {source.since} | {source.description} |"
    yield ""


def _details() -> Iterator[str]:
    """Yield a chapter for each source; events with the same fields share a table and an example."""
    shown: _Shown = {}
    for source in SOURCES:
        yield f"## {source.name}\n"
        yield f"{source.description}\n"
        for note in source.notes:
            yield f"{note}\n"
        for name, event in _shown(source):
            yield from _event(source, name, event, shown)


def _shown(source: SourceEntry) -> list[tuple[str, EventEntry]]:
    """Return the source's events by their names for people; for families, the patterns."""
    families = [(family.shown, family.entry) for family in source.families]
    return families or [(event.name, event) for event in source.events]


def _event(source: SourceEntry, name: str, event: EventEntry, shown: _Shown) -> Iterator[str]:
    yield f"### `{name}`\n"
    unique = ", ".join(f"`{name}`" for name in event.unique) or "all fields"
    yield f"{event.description} unique: {unique}.\n"
    title = f"{source.name}, {name}"
    rows = tuple((field.name, kind_text(field.type()), field.description) for field in event.fields)
    first = shown.setdefault(rows, title)
    if first != title:
        yield f"Fields: those of {first}.\n"
    else:
        yield from _table(rows)
    yield f"```json\n{json.dumps(example(source, event), indent=2)}\n```\n"


def _table(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    yield "| field | type | what it is |"
    yield "|---|---|---|"
    for name, kind, description in rows:
        yield f"| `{name}` | {kind} | {description} |"
    yield ""


def kind_text(kind: Kind) -> str:
    """Return what a field is, for people."""
    if isinstance(kind, list):
        return "list" if kind == ["any"] else f"list of {kind_text(kind[0])}"
    return "object" if isinstance(kind, dict) else str(kind)


def example(source: SourceEntry, event: EventEntry) -> dict[str, Any]:
    """Return what a ``webhook`` hook receives."""
    name = example_event(source, event)
    return {"source": source.name, "event": name, **present(event.example())}


def example_event(source: SourceEntry, event: EventEntry) -> str:
    """Return an event's name; for one of a family the member whose example it is."""
    return event.name.replace("<entity>", source.example or "<entity>")


if __name__ == "__main__":
    sys.stdout.write(document())
