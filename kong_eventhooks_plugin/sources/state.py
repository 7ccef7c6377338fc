"""The fields ``state`` and ``state_key`` of an event that begins or ends a state, as the catalogue defines them. Pure.

The presets of alerting services group by the key; it has a fixed length, and letters, digits and hyphens alone.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from kong_eventhooks_plugin.sources.entry import STATE, STATE_KEY, EventEntry


def state_of(source: str, entry: EventEntry, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the two fields for an event of ``source`` with this data; none where it is about no state."""
    if entry.state is None:
        return {}
    about = "\0".join((source, *(str(data[name]) for name in entry.state.of)))
    resolved = entry.state.resolved
    ended = resolved if isinstance(resolved, bool) else data[resolved[0]] == resolved[1]
    return {
        STATE: "resolved" if ended else "open",
        STATE_KEY: "event-hooks-" + blake2b(about.encode(), digest_size=16).hexdigest(),
    }
