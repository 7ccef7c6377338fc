"""Short ids of deliveries: as the list shows them, and as ``show`` and ``replay`` take them.

A delivery's id is its event's and its hook's, 73 characters. The short one has the beginning of each, as much as tells
the listed ones apart: ``0193f6aa-12b4_c2a1``. An event's id begins with its time, so a short one stays good for long.
The id of an event with a key, or of a change that nodes share, has no time and is not cut that short.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from kong_eventhooks_plugin.errors import RemoteError

_WHOLE: Final = 36
_EVENT: Final = (13, 18, 23, _WHOLE)
_TIMELESS: Final = "00000000-0000-"
_HOOK: Final = (4, 8, _WHOLE)
_CANDIDATES: Final = 100

Page = Callable[[str, int], Iterable[dict[str, Any]]]
"""Takes the beginning of an event's id and a size; returns deliveries."""


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Return id -> short id, each of them another."""
    known = list(ids)
    for event in _EVENT:
        for hook in _HOOK:
            found = {one: _cut(one, event, hook) for one in known}
            if len(set(found.values())) == len(found):
                return found
    return {one: one for one in known}


def whole_id(short: str, page: Page) -> str:
    """Return the id that a short one stands for, a whole one as it is. Raises ``RemoteError``."""
    event, _, hook = short.partition("_")
    if len(event) >= _WHOLE and len(hook) >= _WHOLE:
        return short
    listed = page(event, _CANDIDATES) if event else ()
    found = [str(one["id"]) for one in listed if one["id"].partition("_")[2].startswith(hook)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RemoteError(f"there is no delivery '{short}'; 'kong-event-hooks deliveries list' lists them")
    raise RemoteError(f"'{short}' may be any of: {', '.join(short_ids(found).values())}")


def _cut(one: str, event: int, hook: int) -> str:
    ours, _, theirs = one.partition("_")
    if ours.startswith(_TIMELESS):
        event = max(event, 23)
    return f"{ours[:event]}_{theirs[:hook]}"
