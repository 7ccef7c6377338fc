"""Rules that Kong's schema language cannot say; Kong takes such a hook and we refuse it, with a fault.

- A name stands once in a list.
- An event is one of its source's own (Kong is given the events of all sources together).
- ``secret`` and ``secret_file`` exclude each other also where ``secret`` is a reference.
- Values can be stored and sent as JSON (``hooks.plain``).
"""

from collections.abc import Mapping
from typing import Any

from kong_eventhooks_plugin.hooks import kong_texts as texts
from kong_eventhooks_plugin.hooks.schema import Known

Errors = dict[str, Any]


def problem(hook: Mapping[str, Any], known: Known) -> Errors | None:
    """Return what is wrong with a hook that Kong would take, in Kong's shape; None where nothing is."""
    events = known.sources.get(hook["source"], ())
    if hook["event"] is not None and events and hook["event"] not in events:
        return {"event": texts.ONE_OF.format(", ".join(events))}
    if hook["config"]["secret"] is not None and hook["config"]["secret_file"] is not None:
        return {"config": {"@entity": [texts.MUTUALLY_EXCLUSIVE.format("'secret', 'secret_file'")]}}
    return None


def repeated_name(name: str, first: int) -> Errors:
    """Return the error of a hook whose name an earlier one of the same list has."""
    return {"name": f"'{name}' is the name of hooks[{first}] already; names are unique"}
