"""What the catalogue says of a source: its events, their fields, what on_change looks at.

Kong waits for ``plugin-info``, which reads the catalogue, so this imports nothing but ``typing``.
"""

from typing import Any, Final, NamedTuple

Kind = Any
"""What a field is, for filters: ``text``, ``number``, ``boolean``; ``any``: nothing is known; ``[kind]``: a list;
``{name: kind}``: an object with these fields, and perhaps others where ``...`` is one of them. Any may be null."""


class EventField(NamedTuple):
    """One field of an event's data. ``example`` is JSON: the fields' examples together are one event's data.

    ``kind`` is set where the example does not show it.
    """

    name: str
    description: str
    example: Any = None
    kind: Kind = None

    def type(self) -> Kind:
        return _kind(self.example) if self.kind is None else self.kind


def _kind(example: Any) -> Kind:
    if isinstance(example, bool):
        return "boolean"
    if isinstance(example, dict):
        return {name: _kind(value) for name, value in example.items()}
    if isinstance(example, list):
        return [_kind(example[0])] if example else ["any"]
    return "text" if isinstance(example, str) else "any" if example is None else "number"


class EventState(NamedTuple):
    """What an event begins or ends: the fields ``of`` have the same values in both, and make the key.

    ``resolved``: whether the event is the end; or the field and the value that say so.
    """

    of: tuple[str, ...]
    resolved: bool | tuple[str, Any] = False


STATE: Final = "state"
STATE_KEY: Final = "state_key"


def state_fields(example: str, key: str) -> tuple[EventField, EventField]:
    """Return the fields that every event with an ``EventState`` has; ``sources.state`` fills them."""
    return (
        EventField(STATE, "`open`, or `resolved` where this event is the end of a state.", example),
        EventField(STATE_KEY, "The same for the events that open a state and for its end, and for no other.", key),
    )


class EventEntry(NamedTuple):
    """One event of a source. ``unique`` names the fields that on_change looks at; empty: all of them.

    ``api_description`` is what Enterprise's API calls the event, where it has it.
    """

    name: str
    description: str
    fields: tuple[EventField, ...]
    unique: tuple[str, ...] = ()
    api_description: str | None = None
    state: EventState | None = None

    def example(self) -> dict[str, Any]:
        """Return an event's data; a family's fields are those of every member."""
        return {field.name: field.example for field in self.fields}


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

    ``since`` is the first release that has it. ``also_matches`` names other sources whose events a hook on this one
    receives: it is an alias then. ``families`` are the events beyond ``events``; a source with neither
    accepts any. ``notes`` are paragraphs for docs/sources.md. Without the setting ``admin_url``, a source with
    ``needs_admin_api`` has no events. ``poller`` names the class that polls the Admin API for it, below ``sources``
    (``balancer.poller:BalancerPoller``): the catalogue must not import it; ``on_each_node``: on every node of a
    cluster, because it is about that node's Kong, and not on one alone. Events that match ``named_only``, a regular
    expression, repeat another event of the source, and reach only hooks that name them. ``example`` names the event
    that stands for the source where a hook names none; the first of them else.
    """

    name: str
    description: str
    since: str
    events: tuple[EventEntry, ...]
    families: tuple[EventFamily, ...] = ()
    notes: tuple[str, ...] = ()
    needs_admin_api: bool = False
    poller: str | None = None
    on_each_node: bool = False
    named_only: str | None = None
    also_matches: tuple[str, ...] = ()
    example: str | None = None
