"""Which of several declarations of a hook is in force.

The strongest place holds (``model.hook.PRECEDENCE``), within a place the first, but of plugin instances the one started
last: Kong does not close the instance of a plugin that a hook was moved away from. What was only stored and not yet
declared anew since the start is the last of its place, and nothing is said of its conflicts: its plugin
instance may be gone.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from kong_eventhooks_plugin.hooks.contract import DeclarationError
from kong_eventhooks_plugin.hooks.in_force.scope_comparison import certainly_differ
from kong_eventhooks_plugin.model.hook import PRECEDENCE, Hook, Origin, OriginPlace


class HookSet(NamedTuple):
    """The hooks that one place declares under one key. ``stored``: known from before the start alone."""

    place: OriginPlace
    hooks: tuple[Hook, ...]
    stored: bool = False


class Merged(NamedTuple):
    """The hooks in force by id, where else each stands (strongest first), and the conflicts."""

    hooks: Mapping[str, Hook]
    also: Mapping[str, tuple[Origin, ...]]
    errors: tuple[DeclarationError, ...]


def merge(sets: Iterable[HookSet]) -> Merged:
    """Merge sets; those of one place in the order in which they were declared."""
    hooks: dict[str, Hook] = {}
    only_stored: set[str] = set()
    also: dict[str, list[Origin]] = {}
    faults: list[DeclarationError] = []
    ordered = list(sets)
    latest_first = [one for one in reversed(ordered) if one.place == "instance"]
    ordered = latest_first + [one for one in ordered if one.place != "instance"]
    for each in sorted(ordered, key=lambda one: (PRECEDENCE.index(one.place), one.stored)):
        for hook in each.hooks:
            holds = hooks.setdefault(hook.id, hook)
            if holds is hook:
                only_stored.update([hook.id] if each.stored else [])
                continue
            also.setdefault(hook.id, []).append(hook.origin)
            conflict = None if each.stored or hook.id in only_stored else _conflict(holds, hook)
            if conflict is not None:
                faults.append(conflict)
    return Merged(hooks, {hook_id: tuple(origins) for hook_id, origins in also.items()}, tuple(faults))


def _conflict(holds: Hook, hook: Hook) -> DeclarationError | None:
    where = hook.origin.path
    if holds.origin.place == hook.origin.place:
        return DeclarationError(
            where=where, path="name", message=f"'{hook.name}' is declared by {holds.origin.path} too, which holds"
        )
    if certainly_differ(holds.scope, hook.scope):
        text = f"'{hook.name}' has another scope than in {holds.origin.path}, which holds"
        return DeclarationError(where=where, path="", message=text)
    return None
