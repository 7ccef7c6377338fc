"""What the catalogue says of a source: its events, their fields, what on_change looks at.

Kong waits for ``plugin-info``, which reads the catalogue, so this imports nothing but ``typing``.
"""

from typing import NamedTuple


class EventField(NamedTuple):
    """One field of an event's data."""

    name: str
    description: str


class EventEntry(NamedTuple):
    """One event of a source. ``unique`` names the fields that on_change looks at; empty: all of them."""

    name: str
    description: str
    fields: tuple[EventField, ...]
    unique: tuple[str, ...] = ()


class EventFamily(NamedTuple):
    """Events whose names follow a pattern, for a source that cannot list them all.

    ``shown`` is the family's name for people (``<entity>:create``), ``pattern`` a regular expression of the whole
    name, ``entry`` what all of them have in common.
    """

    shown: str
    pattern: str
    entry: EventEntry


class SourceEntry(NamedTuple):
    """One source.

    ``since`` is the first release that has it. ``matches`` names the sources whose events a hook on this one hears, its
    own among them; several make it an alias. ``families`` are the events beyond ``events``; a source with neither
    takes any. ``notes`` are paragraphs for docs/sources.md.
    """

    name: str
    description: str
    since: str
    matches: tuple[str, ...]
    events: tuple[EventEntry, ...]
    families: tuple[EventFamily, ...] = ()
    notes: tuple[str, ...] = ()
