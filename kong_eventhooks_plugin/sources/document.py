"""docs/sources.md, written from the catalogue: ``python -m kong_eventhooks_plugin.sources.document > docs/sources.md``.

A test compares the file with what this writes, and the example with what the recorded request becomes.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from kong_eventhooks_plugin.sources.catalogue import SOURCES
from kong_eventhooks_plugin.sources.entry import EventEntry, SourceEntry

_HEAD = """# Sources and events

<!-- Written by `python -m kong_eventhooks_plugin.sources.document`; change the catalogue, not this file. -->

A hook names a `source` and, where it wants only one of them, an `event`. `webhook` sends the event's fields at the
top level of a JSON object, beside `source` and `event`. Fields may be added in later releases; a receiver should
leave alone what it does not know.

`unique` names the fields that `on_change`, and `snooze` together with it, look at: two events that are the same in
these are the same to the hook.
"""

EXAMPLE: dict[str, Any] = {
    "source": "rate-limiting",
    "event": "rate-limit-exceeded",
    "consumer": {"id": "100315c7-51e7-55e6-b065-e6ddc0571148", "username": "Joe", "custom_id": None},
    "ip": "127.0.0.1",
    "service": {
        "id": "9ac1131b-7f5c-52be-86cd-f1b6c8a84204",
        "name": "secured",
        "host": "127.0.0.1",
        "port": 9190,
        "protocol": "http",
        "path": "/secured",
    },
    "rate": 3,
    "limit": 2,
    "window": "minute",
    "route": {"id": "c294447b-97f7-5a3e-ac5c-bbf43d62fb4d", "name": "secured"},
    "request": {"method": "GET", "path": "/secured", "id": "7d051d5703285456c4efb40f48ccda0c"},
    "retry_after": 5,
    "limit_name": None,
    "attributed": "headers",
}
"""What a recorded request over the limit becomes."""


def document() -> str:
    """Return the whole page as Markdown."""
    return "\n".join([_HEAD, *_overview(), *_details(), *_example()]) + "\n"


def _overview() -> Iterator[str]:
    yield "| source | events | since | what happened |"
    yield "|---|---|---|---|"
    for source in SOURCES:
        names = ", ".join(f"`{name}`" for name, _ in _shown(source)) or "-"
        yield f"| `{source.name}` | {names} | {source.since} | {source.description} |"
    yield ""


def _details() -> Iterator[str]:
    """Yield a chapter for each source that is there; events with the same fields share a table."""
    shown: dict[tuple[object, ...], str] = {}
    for source in SOURCES:
        yield f"## {source.name}\n"
        yield f"{source.description}\n"
        for note in source.notes:
            yield f"{note}\n"
        for name, event in _shown(source):
            yield from _event(source, name, event, shown)


def _shown(source: SourceEntry) -> list[tuple[str, EventEntry]]:
    """Return the source's events by their names for people: of those that follow patterns, the patterns."""
    families = [(family.shown, family.entry) for family in source.families]
    return families or [(event.name, event) for event in source.events]


def _event(source: SourceEntry, name: str, event: EventEntry, shown: dict[tuple[object, ...], str]) -> Iterator[str]:
    yield f"### `{name}`\n"
    unique = ", ".join(f"`{name}`" for name in event.unique) or "all fields"
    yield f"{event.description} unique: {unique}.\n"
    title = f"{source.name}, {name}"
    first = shown.setdefault(event.fields, title)
    if first != title:
        yield f"Fields: those of {first}.\n"
        return
    yield from _table((field.name, field.description) for field in event.fields)


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "| field | what it is |"
    yield "|---|---|"
    for name, description in rows:
        yield f"| `{name}` | {description} |"
    yield ""


def _example() -> Iterator[str]:
    yield "## Example\n"
    yield "What a `webhook` hook receives for a request over two a minute:\n"
    yield f"```json\n{json.dumps(EXAMPLE, indent=2)}\n```"


if __name__ == "__main__":
    sys.stdout.write(document())
